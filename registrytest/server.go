package registrytest

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A Server is a registry for one test. Its methods may be called concurrently,
// as by subtests that run in parallel.
type Server struct {
	// URL is the base URL, such as "http://127.0.0.1:43121".
	URL string

	// Store is what the server serves. A test may look at it and change it at
	// any time.
	Store registry.Store

	t         TB
	options   []registry.Option
	handler   atomic.Pointer[http.Handler]
	service   service
	transport func() *http.Transport

	mu    sync.Mutex
	atEnd []func()
	ended bool
}

// NewServer starts a registry on a port of its own at 127.0.0.1. It is ready
// when NewServer returns, logs nothing unless the test fails, and is closed at
// the end of the test. The options are those of package registry and of this
// one. Without [WithStore] it is empty, and keeps its content in memory.
//
// At the end, the test fails if serving a request does not end although its
// connection was closed, or if goroutines that were started to serve one go
// on. It fails at once if serving a request panics.
func NewServer(t TB, opts ...registry.Option) *Server {
	t.Helper()
	first, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("registrytest: starting a server: %v", err)
	}
	address := first.Addr().String()
	s := newServer(t, newSettings(opts), "http://"+address)
	s.transport = sync.OnceValue(func() *http.Transport { return &http.Transport{} })
	s.service.ports = []port{{listen: func() (net.Listener, error) {
		if l := first; l != nil {
			first = nil
			return l, nil
		}
		return listen(address)
	}}}
	s.service.start() // It cannot fail: it has its listener already.
	return s
}

// newServer makes a server that does not listen yet.
func newServer(t TB, set *settings, url string) *Server {
	s := &Server{URL: url, Store: set.store, t: t, options: set.handler}
	if s.Store == nil {
		s.Store = memstore.New()
	}
	s.newHandler()
	s.service.init(t, url, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// newHandler begins anew, with no upload sessions.
func (s *Server) newHandler() {
	h := registry.New(s.Store, s.options...)
	s.handler.Store(&h)
}

// Host returns the host and the port, such as "127.0.0.1:43121".
func (s *Server) Host() string {
	_, host, _ := strings.Cut(s.URL, "://")
	return host
}

// Ref returns the reference by which a client names the content of a
// repository: given "team/app:v1", it is "127.0.0.1:43121/team/app:v1".
func (s *Server) Ref(name string) string {
	return s.Host() + "/" + name
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

// Handler returns the registry without the network.
func (s *Server) Handler() http.Handler {
	return &s.service
}

// CloseClientConnections closes all connections, those in use as well as
// those that are idle, and waits until nobody is served any more.
func (s *Server) CloseClientConnections() {
	s.t.Helper()
	s.service.disconnect()
}

// Restart has the registry begin anew: connections are closed, and upload
// sessions are forgotten. It keeps its address, what is in its store, and its
// options.
func (s *Server) Restart() {
	s.t.Helper()
	s.newHandler()
	s.service.disconnect()
}

// Stop begins an outage: connections are closed, and new ones refused.
func (s *Server) Stop() {
	s.t.Helper()
	s.service.stop()
}

// Start ends the outage that [Server.Stop] began. The server is ready again, at
// the same address, when Start returns.
//
// While a server is stopped its port is free, and somebody else's program may
// get hold of it. Start waits for a while for it to be free again.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.service.start(); err != nil {
		s.t.Fatalf("registrytest: starting %s again: %v", s.Host(), err)
	}
}

// Close ends the server before the test ends.
func (s *Server) Close() {
	s.t.Helper()
	s.mu.Lock()
	ended, atEnd := s.ended, s.atEnd
	s.ended = true
	s.mu.Unlock()
	if ended {
		return
	}
	s.transport().CloseIdleConnections()
	s.service.close()
	for _, check := range slices.Backward(atEnd) {
		check()
	}
	lines := s.service.log.close()
	if s.t.Failed() && len(lines) > 0 {
		s.t.Logf("registrytest: the log of %s:\n%s", s.Host(), strings.Join(lines, "\n"))
	}
}

// onEnd has f called when the server has been closed, after what was given to
// onEnd later.
func (s *Server) onEnd(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atEnd = append(s.atEnd, f)
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
