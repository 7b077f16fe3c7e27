package registrytest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/hint"
)

// A Network maps host names such as registry.example.com to registries and
// other handlers of this process. A network uses neither DNS nor ports of the
// machine: its connections are in memory, so they work in a bubble of package
// testing/synctest. Clients connect with [Network.Transport] or
// [Network.DialContext], or through [Network.Proxy].
//
// Clients of a network cannot reach anything else. Dialing an unknown name fails
// as in DNS, with a [*net.DNSError] whose IsNotFound is true. If a known name, or
// an IP address, has no listener at the port, the connection is refused.
//
// Several goroutines may call the methods of a Network.
type Network struct {
	t         TB
	ca        *CA
	plain     bool // whether no server of the network uses HTTPS
	client    func() *http.Client
	proxyOnce sync.Once
	proxy     string // the URL of the proxy

	transportOnce sync.Once
	transport     *http.Transport // shared by the network's client and those of its servers

	mu      sync.Mutex
	hosts   map[string]bool   // the names of all hosts, without ports
	places  map[string]*place // by host and port, as in "docker.io:443"
	servers []*Server
	dialed  int // the number of connections so far
	outages []*outage
}

// A place is a host and port of a network. Its listener is nil while the
// service refuses connections.
type place struct {
	service  *service
	listener *pipeListener
}

// NewNetwork returns an empty network for one test.
func NewNetwork(t TB) *Network {
	needTest(t, "NewNetwork")
	return newNetwork(t)
}

func newNetwork(t TB) *Network {
	n := &Network{
		t:      t,
		ca:     newCA(t),
		hosts:  make(map[string]bool),
		places: make(map[string]*place),
	}
	n.client = n.newClient()
	return n
}

// Registry starts a registry at the host. It is like one that [NewServer]
// starts, but its [Server.Transport] and [Server.CA] are those of the network.
//
// A host without a port serves HTTP at port 80 and HTTPS at port 443. A host
// with a port, such as "localhost:5000", serves HTTPS if the port is 443 or
// [WithTLS] is given, and HTTP otherwise.
//
// The host docker.io also stands for registry-1.docker.io and index.docker.io,
// which clients connect to for docker.io.
func (n *Network) Registry(host string, opts ...Option) *Server {
	n.t.Helper()
	set, err := newSettings(opts)
	if err != nil {
		n.t.Fatalf("registrytest: starting a registry at %s: %v", host, err)
	}
	s := newServer(n.t, set)
	if err := s.listenOn(n, host, set); err != nil {
		n.t.Fatalf("registrytest: starting a registry: %v", err)
	}
	s.endWithTest(set, userCode(0))
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
	if hint.IsNil(h) {
		n.t.Fatalf("registrytest: serving a handler at %s: the handler is nil; http.NotFoundHandler() serves nothing", host)
	}
	s := &service{}
	s.setUp(n.t.Name(), host, h)
	s.leaks.always = true
	if _, err := n.serve(s, host, set); err != nil {
		n.t.Fatalf("registrytest: serving a handler: %v", err)
	}
	n.closeAtEnd(s, userCode(0))
}

// closeAtEnd closes the service at the end of the test, and reports its failures.
// The parameter at is the line of the test that started the service.
func (n *Network) closeAtEnd(s *service, at string) {
	n.t.Helper()
	n.t.Cleanup(func() {
		n.t.Helper()
		for _, err := range s.close() {
			n.t.Errorf("registrytest: the server started at %s failed: %v", at, err)
		}
	})
}

// listenInMemory makes a server listen in a network of its own.
func listenInMemory(s *Server, set *settings) error {
	n := newNetwork(s.t)
	n.plain = set.secure == nil
	return s.listenOn(n, "127.0.0.1:1", set)
}

// listenOn makes the server listen at the host of the network.
func (s *Server) listenOn(n *Network, host string, set *settings) (err error) {
	if set.listener != nil {
		return fmt.Errorf("WithListener has no effect on a server in memory; leave it out")
	}
	s.ca, s.client, s.transport, s.inMemory = n.ca, n.newClient(), n.Transport, true
	s.serve(host)
	if s.URL, err = n.serve(&s.service, host, set); err != nil {
		return err
	}
	n.mu.Lock()
	n.servers = append(n.servers, s)
	n.mu.Unlock()
	return nil
}

// serve starts the service at the ports of the host, and returns its base URL.
func (n *Network) serve(s *service, host string, set *settings) (url string, err error) {
	if _, bare, ok := strings.Cut(host, "://"); ok {
		bare, _, _ = strings.Cut(bare, "/")
		return "", fmt.Errorf("%q is a URL: leave out the scheme and the path, as in %q", host, bare)
	}
	name, portName, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if name == "" || strings.ContainsAny(host, "/?#@ ") || strings.Contains(name, ":") && net.ParseIP(name) == nil || err == nil && portName == "" {
		return "", fmt.Errorf("%q is not a host of a network: want a name, or a name and a port", host)
	}
	hosts := []string{canonical(name)}
	if name == "docker.io" {
		hosts = append(hosts, "registry-1.docker.io", "index.docker.io")
	}
	if _, err := strconv.ParseUint(portName, 10, 16); portName != "" && err != nil {
		return "", fmt.Errorf("%q is not a host of a network: %q is not the number of a port", host, portName)
	}
	s.secure(n.ca, name, set.variant)
	https := portName == "" || portName == "443" || set.secure != nil
	for _, h := range hosts {
		switch {
		case portName != "":
			s.ports = append(s.ports, n.port(s, h, portName, https))
		default:
			s.ports = append(s.ports, n.port(s, h, "80", false), n.port(s, h, "443", true))
		}
	}
	set.configure(s)
	if err := s.start(); err != nil {
		return "", fmt.Errorf("listening at %s: %w", host, err)
	}
	if https {
		return "https://" + strings.TrimSuffix(host, ":443"), nil
	}
	return "http://" + strings.TrimSuffix(host, ":80"), nil
}

// port returns the port of a host at which the service listens in the network.
func (n *Network) port(s *service, host, portName string, https bool) port {
	return port{tls: https, listen: func() (net.Listener, error) { return n.listen(s, host, portName) }}
}

// listen makes the service listen at the port of a host in the network.
func (n *Network) listen(s *service, host, portName string) (net.Listener, error) {
	number, err := strconv.ParseUint(portName, 10, 16)
	if err != nil {
		return nil, err
	}
	key := net.JoinHostPort(host, portName)
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.places[key]
	if p != nil && p.listener != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", conn.InUse)}
	}
	p = &place{service: s}
	p.listener = newPipeListener(loopback(int(number)), func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		p.listener = nil
	})
	n.places[key], n.hosts[host] = p, true
	return p.listener, nil
}

// loopback returns the TCP address 127.0.0.1 with the port, which an end of a
// connection in memory reports.
func loopback(port int) net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
}

// canonical returns a host name in lower case and without a final dot, which is the
// form that the network stores and looks up.
func canonical(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// newClient returns a function that returns the same client in every call. The
// first call gives the client its transport, because most tests use only one of a
// network's clients.
func (n *Network) newClient() func() *http.Client {
	var once sync.Once
	client := new(http.Client)
	return func() *http.Client {
		once.Do(func() { client.Transport = n.Transport() })
		return client
	}
}

// Client returns the network's client, which uses [Network.Transport]. Every
// call returns the same client.
func (n *Network) Client() *http.Client { return n.client() }

// Transport returns the transport of the network's client. The transport trusts the
// network's CA. To change it, clone it first.
func (n *Network) Transport() *http.Transport {
	n.transportOnce.Do(func() {
		// Without a server for HTTPS, no client meets a certificate of the CA. Making the
		// CA's key and certificate takes 0.32 ms. An iteration of BenchmarkServerInMemory
		// takes only 0.22 ms without them.
		pool := x509.NewCertPool()
		if !n.plain {
			pool = n.ca.Pool()
		}
		n.transport = &http.Transport{
			DialContext:       n.dialOwn,
			TLSClientConfig:   n.ca.clientConfig(pool),
			ForceAttemptHTTP2: true,
		}
	})
	return n.transport
}

// CA returns the authority that issues the network's certificates.
func (n *Network) CA() *CA { return n.ca }

// firstClientPort is the first of the dynamic ports (RFC 6335, section 6), from which
// some operating systems choose the ports of clients.
const firstClientPort = 49152

// DialContext connects to an address of the network. It can be the DialContext of an
// [http.Transport].
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, _, err := n.dial(ctx, network, address)
	return c, err
}

// dialOwn is DialContext for the network's own transport: the services keep track
// of its connections.
func (n *Network) dialOwn(ctx context.Context, network, address string) (net.Conn, error) {
	c, s, err := n.dial(ctx, network, address)
	if err != nil || s == nil {
		return c, err
	}
	return s.client(c), nil
}

// dial connects to an address of the network, and returns the service there. For a
// connection that [Network.Silence] has made silent, the service is nil.
func (n *Network) dial(ctx context.Context, network, address string) (net.Conn, *service, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	host = canonical(host)
	n.mu.Lock()
	known := n.hosts[host]
	var s *service
	var l *pipeListener
	if p := n.places[net.JoinHostPort(host, port)]; p != nil {
		s, l = p.service, p.listener
	}
	from := loopback(firstClientPort + n.dialed%(1<<16-firstClientPort))
	n.dialed++
	out := n.outageAt(host, port)
	n.mu.Unlock()
	number, _ := strconv.Atoi(port)
	to := loopback(number)
	switch {
	case out != nil && out.silent:
		return n.silent(out, from, to), nil, nil
	case out != nil:
		return nil, nil, errRefused(to)
	case l != nil && s.refuseFirst.take():
		return nil, nil, s.refused(errRefused(to))
	case l != nil:
		c, err := l.dial(ctx, from)
		if err != nil {
			return nil, nil, s.refused(err)
		}
		return c, s, nil
	case s != nil:
		return nil, nil, s.refused(errRefused(to))
	case known || net.ParseIP(host) != nil:
		return nil, nil, errRefused(to)
	}
	return nil, nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{
		Err: "no such host", Name: host, IsNotFound: true,
	}}
}
