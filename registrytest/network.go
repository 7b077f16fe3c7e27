package registrytest

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// A Network has names such as registry.example.com that are served by
// registries and other handlers of this process. There is no DNS and there are
// no ports: connections are in memory, so that all of it works in a bubble of
// package testing/synctest. Clients get there by its [Network.Transport] or
// [Network.DialContext], or by its [Network.Proxy].
//
// Nothing else is there. An unknown name fails as in DNS, with a
// [*net.DNSError] that says IsNotFound, and where nobody listens the connection
// is refused.
//
// Its methods may be called concurrently.
type Network struct {
	t         TB
	ca        *CA
	transport func() *http.Transport
	proxy     func() string

	mu        sync.Mutex
	names     map[string]bool          // all hosts, without ports
	listeners map[string]*pipeListener // by host:port
	servers   []*Server
	clients   int // how many connections there have been
}

// NewNetwork returns a network for one test, with nobody in it.
func NewNetwork(t TB) *Network {
	n := &Network{
		t:         t,
		ca:        newCA(t),
		names:     make(map[string]bool),
		listeners: make(map[string]*pipeListener),
	}
	n.transport = sync.OnceValue(func() *http.Transport {
		return &http.Transport{
			DialContext:       n.dialOwn,
			TLSClientConfig:   n.ca.clientConfig(),
			ForceAttemptHTTP2: true,
		}
	})
	n.proxy = sync.OnceValue(n.startProxy)
	return n
}

// Registry starts a registry at the host. It is as [NewServer] makes it, and
// its [Server.Client], Transport and CA are those of the network.
//
// If the host has no port, the registry is at ports 80, for HTTP, and 443, for
// HTTPS. At a port, such as in "localhost:5000", HTTPS is spoken if that is 443
// or if [WithTLS] is given, and else HTTP.
//
// The name docker.io also stands for registry-1.docker.io and index.docker.io,
// where clients go when they are told docker.io.
func (n *Network) Registry(host string, opts ...Option) *Server {
	n.t.Helper()
	set, err := newSettings(opts)
	if err != nil {
		n.t.Fatalf("registrytest: starting a registry at %s: %v", host, err)
	}
	if set.external != "" {
		(&Server{env: set.env}).inProcess(n.t, "a network")
	}
	s := newServer(n.t, set)
	s.listenOn(n, host, set)
	return s
}

// Handle serves the handler at the host. The ports are those of
// [Network.Registry], and [WithTLS] is the only option: any other fails the
// test.
func (n *Network) Handle(host string, h http.Handler, opts ...Option) {
	n.t.Helper()
	set, err := newSettings(opts)
	if err != nil {
		n.t.Fatalf("registrytest: serving a handler at %s: %v", host, err)
	}
	for _, name := range set.given {
		if name != "WithTLS" {
			n.t.Fatalf("registrytest: serving a handler at %s: %s is for registries; Network.Handle takes only WithTLS", host, name)
		}
	}
	s := &service{}
	s.init(n.t, host, h)
	s.leaks.always = true
	n.serve(s, host, set)
	n.t.Cleanup(s.close)
}

// listenOn has the server be at the host of the network.
func (s *Server) listenOn(n *Network, host string, set *settings) {
	n.t.Helper()
	s.ca, s.transport = n.ca, n.transport
	s.init(host)
	s.URL = n.serve(&s.service, host, set)
	n.mu.Lock()
	n.servers = append(n.servers, s)
	n.mu.Unlock()
}

// serve starts the service at the host, and returns its URL.
func (n *Network) serve(s *service, host string, set *settings) (url string) {
	n.t.Helper()
	name, portName, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if name == "" || strings.Contains(name, ":") && net.ParseIP(name) == nil || err == nil && portName == "" {
		n.t.Fatalf("registrytest: %q is not a host of a network", host)
	}
	hosts := []string{canonical(name)}
	if name == "docker.io" {
		hosts = append(hosts, "registry-1.docker.io", "index.docker.io")
	}
	s.serveTLS(n.ca, name, set.variant)
	https := portName == "" || portName == "443" || set.tls
	for _, h := range hosts {
		switch {
		case portName != "":
			s.ports = append(s.ports, n.port(s, h, portName, https))
		default:
			s.ports = append(s.ports, n.port(s, h, "80", false), n.port(s, h, "443", true))
		}
	}
	if err := s.start(); err != nil {
		n.t.Fatalf("registrytest: listening at %s: %v", host, err)
	}
	if https {
		return "https://" + strings.TrimSuffix(host, ":443")
	}
	return "http://" + strings.TrimSuffix(host, ":80")
}

// port is a port of the network, for the service.
func (n *Network) port(s *service, host, portName string, https bool) port {
	return port{tls: https, listen: func() (net.Listener, error) {
		number, err := strconv.ParseUint(portName, 10, 16)
		if err != nil {
			return nil, err
		}
		key := net.JoinHostPort(host, portName)
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.listeners[key] != nil {
			return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		}
		l := newPipeListener(s, loopback(int(number)), func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.listeners, key)
		})
		n.listeners[key], n.names[host] = l, true
		return l, nil
	}}
}

// loopback is what the ends of a connection in memory say that they are.
func loopback(port int) net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
}

// canonical returns a name as it is looked up.
func canonical(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Client returns a client that uses [Network.Transport].
func (n *Network) Client() *http.Client {
	return &http.Client{Transport: n.Transport()}
}

// Transport returns the network's own transport, which trusts its CA. Clone it
// to change it.
func (n *Network) Transport() *http.Transport { return n.transport() }

// CA returns the authority that the certificates of the network are signed by.
func (n *Network) CA() *CA { return n.ca }

// firstClientPort is where operating systems begin to count, too.
const firstClientPort = 49152

// DialContext connects to an address of the network. It is meant for an
// [http.Transport], and for other things that have a field of this type.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, _, err := n.dial(ctx, network, address)
	return c, err
}

// dialOwn is for the network's own transport.
func (n *Network) dialOwn(ctx context.Context, network, address string) (net.Conn, error) {
	c, s, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return s.client(c), nil
}

func (n *Network) dial(ctx context.Context, network, address string) (net.Conn, *service, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	host = canonical(host)
	n.mu.Lock()
	l, known := n.listeners[net.JoinHostPort(host, port)], n.names[host]
	from := loopback(firstClientPort + n.clients%(1<<16-firstClientPort))
	n.clients++
	n.mu.Unlock()
	switch {
	case l != nil:
		c, err := l.dial(ctx, from)
		return c, l.service, err
	case known || net.ParseIP(host) != nil:
		number, _ := strconv.Atoi(port)
		return nil, nil, errRefused(loopback(number))
	}
	return nil, nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{
		Err: "no such host", Name: host, IsNotFound: true,
	}}
}
