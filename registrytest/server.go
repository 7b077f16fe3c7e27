package registrytest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Server is a registry that runs in this process. Several goroutines may call
// its methods, such as those of parallel subtests.
//
// A method that takes a test reports failures to that test. The others report to
// the test that the server was made for. If [StartServer] made the server, there is no
// test, and [Server.Close] returns these failures.
type Server struct {
	// URL is the base URL, such as "http://127.0.0.1:43121".
	URL string

	// State is the content of the registry. A test may inspect and change it at
	// any time, without a request.
	content.State

	t         TB                // the test of the server; a noTest if StartServer made the server
	options   []registry.Option // the options of the handler
	variant   TLSVariant
	ca        *CA
	handler   atomic.Pointer[http.Handler]
	service   service
	client    func() *http.Client
	transport func() *http.Transport
	journal   journal.Journal
	faults    inject.Rules
	tampered  tamperings
	checkers  []checker
	closers   []closer
	logging   bool
	noJournal bool
	inMemory  bool

	mu    sync.Mutex
	ended bool
}

// NewServer starts a registry on a free port of 127.0.0.1. The server is ready
// when NewServer returns, logs nothing unless the test fails, and is closed at
// the end of the test. Without [WithStore] it is empty and keeps its content in
// memory.
//
// The test fails if a request panics, if a request does not end after its
// connection was closed, or if goroutines that were started while serving
// outlive the server.
func NewServer(t TB, opts ...Option) *Server {
	needTest(t, "NewServer")
	t.Helper()
	set, err := newSettings(opts)
	if err != nil {
		t.Fatalf("registrytest: starting a server: %v", err)
	}
	s := newServer(t, set)
	if err := set.listen(s, set); err != nil {
		t.Fatalf("registrytest: starting a server: %v", err)
	}
	s.endWithTest(set, userCode(0))
	return s
}

// StartServer starts a registry as [NewServer] does, without a test: for TestMain,
// examples and programs. The caller has to call [Server.Close]. Options that
// need a test, such as [WithLogs], are an error.
func StartServer(opts ...Option) (*Server, error) {
	set, err := newSettings(opts)
	if err == nil && len(set.needTest) > 0 {
		err = fmt.Errorf("%s needs a test; use NewServer", strings.Join(set.needTest, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("registrytest: starting a server: %w", err)
	}
	s := newServer(new(noTest), set)
	s.service.alarm = func(err error) { s.service.http.ErrorLog.Print(err) }
	if err := set.listen(s, set); err != nil {
		return nil, fmt.Errorf("registrytest: starting a server: %w", err)
	}
	return s, nil
}

// newServer makes a server that does not listen yet.
func newServer(t TB, set *settings) *Server {
	s := &Server{State: content.State{Store: set.store}, t: t, variant: set.variant, noJournal: set.noJournal, checkers: set.checkers, closers: set.closers}
	if s.Store == nil {
		s.Store = memstore.New()
	}
	if !s.noJournal {
		s.options = append(s.options, registry.WithRecorder(&s.journal))
	}
	s.options = append(s.options, registry.WithFaults(s.faults.Inject))
	if set.logger != nil {
		s.logging = true
		s.options = append(s.options, set.logger(s))
	}
	s.options = append(s.options, set.handler...)
	s.service.leaks.always = len(set.handler) > 0
	s.journal.KeepBodies(set.bodies)
	s.journal.KeepLast(set.last)
	for _, o := range set.observers {
		o.Observe(&s.journal)
	}
	s.newHandler()
	return s
}

// newHandler gives the server a new handler, without upload sessions, and ends the
// upload sessions of the old handler.
func (s *Server) newHandler() {
	var store registry.Store = &tamperedStore{s.Store, &s.tampered}
	if operates(s.Store) {
		store = s.Store
	}
	var h http.Handler = registry.New(store, s.options...)
	if old := s.handler.Swap(&h); old != nil {
		endUploads(*old)
	}
}

// endUploads ends the upload sessions of a handler that [registry.New] made. The store
// then deletes the bytes of these uploads, such as files.
func endUploads(h http.Handler) { h.(interface{ EndUploads() }).EndUploads() }

// endWithTest closes the server at the end of its test. The parameter at is the line
// of the test that started the server.
func (s *Server) endWithTest(set *settings, at string) {
	s.t.Helper()
	if t, ok := s.t.(interface{ Fail() }); ok {
		// The cleanup below reports the error, with the line that started the server.
		s.service.alarm = func(error) { t.Fail() }
	}
	s.t.Cleanup(func() {
		s.t.Helper()
		// In a bubble, go test prints no line of the user's test for a cleanup.
		s.end(fmt.Sprintf("the server started at %s failed: ", at))
		s.explain()
		for _, o := range set.afterTest {
			o.AfterTest(s.t, s)
		}
	})
}

// end closes the server for good, and reports failures with the prefix. The first
// call also closes the options, and lets them check the requests.
func (s *Server) end(prefix string) {
	s.t.Helper()
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	for _, err := range s.service.close() {
		s.t.Errorf("registrytest: %s%v", prefix, err)
	}
	endUploads(*s.handler.Load())
	if ended {
		return
	}
	for _, c := range s.closers {
		if err := c.Close(); err != nil {
			s.t.Errorf("registrytest: %s%v", prefix, err)
		}
	}
	for _, c := range s.checkers {
		c.CheckRequests(s.t, s.journal.Requests())
	}
}

// serve sets up the service that serves the registry at the address.
func (s *Server) serve(address string) {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.handler.Load()).ServeHTTP(w, r)
	})
	if !s.noJournal {
		h = s.journal.Handler(h)
	}
	s.service.setUp(s.t.Name(), address, h)
}

// listenOnPort makes the server listen on a free port of this machine, or at
// the listener of [WithListener].
func listenOnPort(s *Server, set *settings) error {
	l := set.listener
	if l == nil {
		var err error
		if l, err = listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	address := l.Addr()
	s.URL = "http://" + address.String()
	s.serve(address.String())
	transport := &http.Transport{DialContext: s.service.dialer(address)}
	if set.secure != nil {
		s.URL = "https://" + address.String()
		host, _, _ := net.SplitHostPort(address.String())
		transport.TLSClientConfig, transport.ForceAttemptHTTP2 = set.secure(s, host), true
	}
	s.service.transport = transport
	s.transport = func() *http.Transport { return transport }
	client := &http.Client{Transport: transport}
	s.client = func() *http.Client { return client }
	s.service.ports = []port{{tls: set.secure != nil, listen: func() (net.Listener, error) {
		if first := l; first != nil {
			l = nil
			return first, nil
		}
		return listen(address.Network(), address.String())
	}}}
	set.configure(&s.service)
	return s.service.start()
}

// Host returns the host and the port, such as "127.0.0.1:43121".
func (s *Server) Host() string {
	_, host, _ := strings.Cut(s.URL, "://")
	return host
}

// Ref returns the reference by which a client names content of the server:
// given "team/app:v1", it returns "127.0.0.1:43121/team/app:v1".
func (s *Server) Ref(name string) string {
	return s.Host() + "/" + name
}

// Push puts the content into the store, without a request, and returns it. The
// reference has no host: "team/app:v1" tags the content v1 in the repository
// team/app, see [content.Put].
func (s *Server) Push(t TB, ref string, c content.Content) content.Content {
	needTest(t, "Server.Push")
	t.Helper()
	_, bare, ok := strings.Cut(ref, "://")
	if !ok {
		bare = ref
	}
	if name, ok := strings.CutPrefix(bare, s.Ref("")); ok {
		t.Fatalf("registrytest: pushing to %s: leave out the host; Push takes %q", ref, name)
	}
	return s.State.Push(t, ref, c)
}

// Client returns the server's client, which uses [Server.Transport]. Every call
// returns the same client, and no other server has it, so a test can set its
// Timeout.
func (s *Server) Client() *http.Client { return s.client() }

// Transport returns the transport of the server's client. To change it, clone it
// first.
func (s *Server) Transport() *http.Transport { return s.transport() }

// Handler returns the registry as a handler, for the caller's own server. The
// requests that the handler serves are in the journal, too.
func (s *Server) Handler() http.Handler {
	return &s.service
}

// Requests returns the requests up to now.
func (s *Server) Requests() journal.Requests {
	return s.journal.Requests()
}

// CloseClientConnections closes all connections, including those in use, and
// waits for the requests that are being served to end.
func (s *Server) CloseClientConnections() {
	s.t.Helper()
	s.report(s.service.disconnect())
	s.service.settle()
}

// Restart closes all connections and forgets the upload sessions. The server
// keeps its address, its content, its options and its journal.
func (s *Server) Restart() {
	s.t.Helper()
	s.newHandler()
	s.report(s.service.disconnect())
	s.service.settle()
}

// ForgetUploads ends all upload sessions, as Restart does, and leaves connections
// and the requests that are being served alone. A session that a request is
// writing to ends with that request.
func (s *Server) ForgetUploads() {
	s.newHandler()
}

// Stop begins an outage, which [Server.Start] ends: it closes all connections, and the
// server refuses new ones.
func (s *Server) Stop() {
	s.t.Helper()
	s.service.mu.Lock()
	s.service.stoppedAt = userCode(0)
	s.service.mu.Unlock()
	s.report(s.service.stop())
	s.service.settle()
}

// Start ends an outage that [Server.Stop] began. The server is ready again, at the same
// address, when Start returns. The test fails if the server was closed.
//
// While the server is stopped, its port is free, since the operating system refuses
// connections only then. If another program has taken the port, Start waits for it,
// up to five seconds.
func (s *Server) Start() {
	s.t.Helper()
	err := s.service.start()
	if err == nil {
		return
	}
	err = fmt.Errorf("starting %s again: %w", s.Host(), err)
	s.report(err)
	if _, ok := s.t.(*noTest); !ok {
		s.t.Fatalf("registrytest: %v", err)
	}
}

// Shutdown closes the server as Close does, but first waits for the requests
// that are being served. If ctx is done before they end, Shutdown returns the
// error of ctx; the server then refuses new connections, but is not closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.t.Helper()
	if err := s.service.http.Shutdown(ctx); err != nil {
		return err
	}
	return s.close(userCode(0))
}

// Close closes the server before the test ends. It returns the failures of a
// server that [StartServer] made; otherwise the test reports them.
func (s *Server) Close() error {
	s.t.Helper()
	return s.close(userCode(0))
}

// close closes the server. The parameter at is the line of the user's code that called
// Close or Shutdown.
func (s *Server) close(at string) error {
	s.t.Helper()
	s.end("")
	s.service.mu.Lock()
	if s.service.closedAt == "" {
		s.service.closedAt = at
	}
	s.service.mu.Unlock()
	s.service.settle()
	if t, ok := s.t.(*noTest); ok {
		return t.end()
	}
	return nil
}
