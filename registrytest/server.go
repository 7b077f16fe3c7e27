package registrytest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Server is a registry for one test. Its methods may be called concurrently,
// as by subtests that run in parallel; those that are given no test belong to
// the one that the server was made for.
type Server struct {
	// URL is the base URL, such as "http://127.0.0.1:43121".
	URL string

	// State is what the registry holds. A test may look at it and change it at
	// any time.
	content.State

	t         TB
	options   []registry.Option
	variant   TLSVariant
	ca        *CA
	env       string // where the address of another registry is from, or ""
	prefix    string // of all repositories
	handler   atomic.Pointer[http.Handler]
	service   service
	transport func() *http.Transport
	journal   journal.Journal
	faults    fault.Rules
	tampered  tamperings
	logging   bool

	mu    sync.Mutex
	atEnd []func()
	ended bool
}

// NewServer starts a registry on a port of its own at 127.0.0.1. It is ready
// when NewServer returns, logs nothing unless the test fails, and is closed at
// the end of the test. Without [WithStore] it is empty, and keeps its content in
// memory.
//
// At the end, the test fails if serving a request does not end although its
// connection was closed, or if goroutines that were started to serve one go
// on. It fails at once if serving a request panics.
func NewServer(t TB, opts ...Option) *Server {
	t.Helper()
	set, err := newSettings(opts)
	if err != nil {
		t.Fatalf("registrytest: starting a server: %v", err)
	}
	if set.external != "" {
		return newExternal(t, set)
	}
	s := newServer(t, set)
	if set.inMemory {
		s.listenOn(NewNetwork(t), "127.0.0.1:1", set)
	} else {
		s.listen(set)
	}
	return s
}

// newServer makes a server that does not listen yet.
func newServer(t TB, set *settings) *Server {
	s := &Server{State: content.State{Store: set.store}, t: t, variant: set.variant, logging: set.logs}
	s.service.t = t
	if s.Store == nil {
		s.Store = memstore.New()
	}
	s.options = []registry.Option{
		registry.WithRecorder(&s.journal),
		registry.WithFaults(s.faults.Inject),
	}
	if s.logging {
		s.service.log.live = func(line string) { t.Logf("%s: %s", s.Host(), line) }
		s.options = append(s.options, registry.WithLogger(slog.New(slog.NewTextHandler(&s.service.log, &slog.HandlerOptions{
			ReplaceAttr: withoutTime,
		}))))
	}
	for _, prepare := range set.prepare {
		prepare(s)
	}
	s.journal.KeepBodies(set.bodies)
	for _, o := range set.observers {
		o.Observe(&s.journal)
	}
	for _, c := range set.checkers {
		s.onEnd(func() { c.CheckRequests(t, s.journal.Requests()) })
	}
	s.options = append(s.options, set.handler...)
	s.service.leaks.always = len(set.handler) > 0
	s.newHandler()
	t.Cleanup(func() {
		s.end()
		s.explain()
	})
	return s
}

// newHandler begins anew, with no upload sessions.
func (s *Server) newHandler() {
	h := s.journal.Handler(registry.New(tamperedStore{s.Store, &s.tampered}, s.options...))
	s.handler.Store(&h)
}

// init makes the service, which is named for people.
func (s *Server) init(name string) {
	s.service.init(s.t, name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
}

// listen has the server be at a port of this machine.
func (s *Server) listen(set *settings) {
	s.t.Helper()
	first, err := listen("127.0.0.1:0")
	if err != nil {
		s.t.Fatalf("registrytest: starting a server: %v", err)
	}
	address := first.Addr().String()
	s.URL = "http://" + address
	s.init(address)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && addr == address {
			c = s.service.client(c)
		}
		return c, err
	}}
	if set.tls {
		host, _, _ := net.SplitHostPort(address)
		s.URL, s.ca = "https://"+address, newCA(s.t)
		s.service.serveTLS(s.ca, host, set.variant)
		transport.TLSClientConfig, transport.ForceAttemptHTTP2 = s.ca.clientConfig(), true
	}
	s.service.transport = transport
	s.transport = func() *http.Transport { return transport }
	s.service.ports = []port{{tls: set.tls, listen: func() (net.Listener, error) {
		if l := first; l != nil {
			first = nil
			return l, nil
		}
		return listen(address)
	}}}
	s.service.start() // It cannot fail: it has its listener already.
}

// Host returns the host and the port, such as "127.0.0.1:43121".
func (s *Server) Host() string {
	_, host, _ := strings.Cut(s.URL, "://")
	return host
}

// Ref returns the reference by which a client names the content of a
// repository: given "team/app:v1", it is "127.0.0.1:43121/team/app:v1".
func (s *Server) Ref(name string) string {
	return s.Host() + "/" + s.prefix + name
}

// Client returns a client that uses [Server.Transport].
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: s.Transport()}
}

// Transport returns the server's own transport, for its clients. Clone it to
// change it.
func (s *Server) Transport() *http.Transport {
	return s.transport()
}

// CA returns the authority that the server's certificate is signed by. Without
// [WithTLS] there is none, and CA fails the test.
func (s *Server) CA() *CA {
	s.t.Helper()
	s.inProcess(s.t, "CA")
	if s.ca == nil {
		s.t.Fatalf("registrytest: %s has no CA, because it was started without TLS", s.Host())
	}
	return s.ca
}

// Handler returns the registry without the network.
func (s *Server) Handler() http.Handler {
	s.t.Helper()
	s.inProcess(s.t, "Handler")
	return &s.service
}

// Requests returns the requests that there have been until now.
func (s *Server) Requests() journal.Requests {
	s.t.Helper()
	s.inProcess(s.t, "Requests")
	return s.journal.Requests()
}

// CloseClientConnections closes all connections, those in use as well as
// those that are idle, and waits until nobody is served any more.
func (s *Server) CloseClientConnections() {
	s.t.Helper()
	s.inProcess(s.t, "CloseClientConnections")
	s.service.disconnect()
	s.service.settle()
}

// Restart has the registry begin anew: connections are closed, and upload
// sessions are forgotten. It keeps its address, what is in its store, and its
// options.
func (s *Server) Restart() {
	s.t.Helper()
	s.inProcess(s.t, "Restart")
	s.newHandler()
	s.service.disconnect()
	s.service.settle()
}

// Stop begins an outage: connections are closed, and new ones refused.
func (s *Server) Stop() {
	s.t.Helper()
	s.inProcess(s.t, "Stop")
	s.service.stop()
	s.service.settle()
}

// Start ends the outage that [Server.Stop] began. The server is ready again, at
// the same address, when Start returns.
//
// While a server is stopped its port is free, as it has to be for connections
// to be refused, and another program may get hold of it. Start waits up to five
// seconds for it to be free again.
func (s *Server) Start() {
	s.t.Helper()
	s.inProcess(s.t, "Start")
	if err := s.service.start(); err != nil {
		s.t.Fatalf("registrytest: starting %s again: %v", s.Host(), err)
	}
}

// Close ends the server before the test ends.
func (s *Server) Close() {
	s.t.Helper()
	s.end()
	s.service.settle()
}

func (s *Server) end() {
	s.t.Helper()
	s.mu.Lock()
	ended, atEnd := s.ended, s.atEnd
	s.ended = true
	s.mu.Unlock()
	if ended {
		return
	}
	s.service.close()
	for _, check := range slices.Backward(atEnd) {
		check()
	}
}

// onEnd has f called when the server has been closed, after what is given to
// onEnd later.
func (s *Server) onEnd(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atEnd = append(s.atEnd, f)
}

// explain logs what happened, if the test has failed.
func (s *Server) explain() {
	s.t.Helper()
	lines := s.service.log.close()
	if !s.t.Failed() || s.logging {
		return
	}
	if requests := s.Requests(); requests.Len() > 0 {
		s.t.Logf("registrytest: the requests to %s:\n%v", s.Host(), requests)
	}
	if len(lines) > 0 {
		s.t.Logf("registrytest: the log of %s:\n%s", s.Host(), strings.Join(lines, "\n"))
	}
}

// withoutTime is for a log that is read with the test's.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// listenTime is how long a server waits for the port that it had before.
const listenTime = 5 * time.Second

// listen listens at an address of this machine.
func listen(address string) (net.Listener, error) {
	var timeout <-chan time.Time
	for {
		l, err := net.Listen("tcp", address)
		if err == nil {
			return l, nil
		}
		if strings.HasSuffix(address, ":0") {
			if l, err6 := net.Listen("tcp", "[::1]:0"); err6 == nil {
				return l, nil
			}
			return nil, fmt.Errorf("listening on the loopback interface: %w", err)
		}
		if timeout == nil {
			timeout = time.After(listenTime)
		}
		select {
		case <-timeout:
			return nil, err
		case <-time.After(time.Millisecond):
		}
	}
}
