package registrytest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
)

// drainTime limits how long a request may be served after its connection was
// closed. It is generous, since a handler that takes longer fails the test.
const drainTime = 5 * time.Second

// A port is an address that a service listens at.
type port struct {
	listen func() (net.Listener, error)
	tls    bool
}

// A service serves a handler at its ports. It keeps track of its connections and
// requests, so that it can end them and name the requests that do not end.
//
// A service can stop and start any number of times. An [http.Server] cannot be
// started again after Close, so stop closes its listeners and connections
// instead.
type service struct {
	address string // the name of the service in messages
	handler http.Handler
	ports   []port
	http    http.Server
	log     logBuffer
	leaks   leakCheck
	silence silence

	// refuseFirst has the connections that [Server.Refuse] with a number affects: at
	// a port the service resets them, in memory it refuses them.
	refuseFirst countdown

	// serveTLS serves a listener with TLS. It is nil until secure is called, so
	// that tests without TLS do not link its server, 0.3 MB.
	serveTLS func(net.Listener) error

	// transport is the transport of the service's own clients, or nil if other
	// services share it.
	transport *http.Transport

	// alarm, if not nil, is called with each failure as soon as it happens.
	alarm func(error)

	// refusals counts the refused connections that the service knows of. At a port,
	// the operating system refuses clients, and the service learns only of those that
	// use its transport.
	refusals atomic.Int64

	mu        sync.Mutex
	running   bool
	closed    bool
	closedAt  string // the place in the user's code that closed the service, or ""
	stoppedAt string // the place in the user's code that stopped the service, or ""
	hung      bool   // a request hangs, and may outlive the test; its panic is no failure
	failures  []error
	listeners []net.Listener
	acceptors int // the number of goroutines that accept connections
	numbered  int // the number of the newest connection, counted from 1
	conns     map[net.Conn]context.CancelCauseFunc
	clients   map[*clientConn]struct{}
	hungUp    []*clientConn // the clients that the last hangUp disconnected
	hijacked  map[net.Conn]context.CancelCauseFunc
	requests  map[*http.Request]struct{}
	waiters   []waiter
}

// setUp prepares the service to serve the handler. The parameter test is the name of
// the test that started the service, or the name of the package if there is no test.
func (s *service) setUp(test, address string, handler http.Handler) {
	s.address, s.handler = address, handler
	s.conns = make(map[net.Conn]context.CancelCauseFunc)
	s.clients = make(map[*clientConn]struct{})
	s.hijacked = make(map[net.Conn]context.CancelCauseFunc)
	s.requests = make(map[*http.Request]struct{})
	s.http.Handler = s
	s.http.ErrorLog = log.New(&s.log, "", 0)
	s.http.ConnContext = s.connContext
	s.http.ConnState = s.connState
	// The pointer makes the label unique: several networks may use one address.
	s.leaks.begin(fmt.Sprintf("%s %s %p", test, address, s))
}

// fail notes a failure, which close returns.
func (s *service) fail(err error) {
	s.mu.Lock()
	s.failures = append(s.failures, err)
	s.mu.Unlock()
	if s.alarm != nil {
		s.alarm(err)
	}
}

// start listens at all ports, or at none if it returns an error.
func (s *service) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("it was closed for good; an outage begins with Stop, not with Close")
	}
	if s.running {
		return nil
	}
	err := s.open()
	if err == nil {
		s.running, s.stoppedAt = true, ""
	}
	return err
}

// open listens at all ports, or at none if it returns an error. The caller
// holds the lock.
func (s *service) open() error {
	for _, p := range s.ports {
		l, err := p.listen()
		if err != nil {
			s.closePorts()
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	for i, l := range s.listeners {
		s.acceptors++
		go s.accept(s.ports[i], &troubledListener{l, s})
	}
	return nil
}

func (s *service) accept(p port, l net.Listener) {
	var err error
	s.leaks.mark(func() {
		serve := s.http.Serve
		if p.tls {
			serve = s.serveTLS
		}
		err = serve(l)
	})
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		s.fail(fmt.Errorf("accepting connections at %s: %w", s.address, err))
	}
	s.mu.Lock()
	s.acceptors--
	s.wake()
	s.mu.Unlock()
}

// stop closes all ports and connections, and waits for the requests to end. It
// returns an error if they do not.
func (s *service) stop() error {
	s.mu.Lock()
	s.running = false
	s.closePorts()
	s.hangUp()
	ended := s.when(func() bool { return s.acceptors == 0 && len(s.conns) == 0 && len(s.requests) == 0 })
	s.mu.Unlock()
	return s.awaitEnd(ended)
}

// closePorts closes the listeners. The caller holds the lock.
func (s *service) closePorts() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.listeners = nil
}

// refuse closes the listeners, but no connections. It waits until no goroutine
// accepts connections.
func (s *service) refuse() error {
	s.mu.Lock()
	s.closePorts()
	ended := s.when(func() bool { return s.acceptors == 0 })
	s.mu.Unlock()
	return s.awaitEnd(ended)
}

// admit listens again after refuse, unless the service was stopped or started
// since.
func (s *service) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || len(s.listeners) > 0 {
		return nil
	}
	return s.open()
}

// close stops the service for good. It returns the failures since the last
// call.
func (s *service) close() []error {
	s.mu.Lock()
	// Only the first call looks for leaks, and only after setUp.
	unchecked := !s.closed && s.handler != nil
	s.closed = true
	for c := range s.conns {
		// Otherwise hundreds of tests would fill the machine with connections in TIME_WAIT.
		conn.AbortOnClose(c)
	}
	s.mu.Unlock()
	if s.transport != nil {
		s.transport.CloseIdleConnections() // This is faster than waiting until the transport notices.
	}
	err := s.stop()
	s.mu.Lock()
	hung := s.hung
	s.mu.Unlock()
	if err == nil && unchecked && !hung {
		err = s.leaks.end()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	failures := s.failures
	if err != nil {
		failures = append(failures, err)
	}
	s.failures = nil
	return failures
}

// disconnect closes all connections, and waits for the requests that are being
// served now. It returns an error if they do not end.
func (s *service) disconnect() error {
	s.mu.Lock()
	s.hangUp()
	var served []*http.Request
	for r := range s.requests {
		served = append(served, r)
	}
	ended := s.when(func() bool {
		for _, r := range served {
			if _, open := s.requests[r]; open {
				return false
			}
		}
		return true
	})
	s.mu.Unlock()
	return s.awaitEnd(ended)
}

// hangUp closes all connections. The caller holds the lock.
func (s *service) hangUp() {
	s.hungUp = nil
	for c := range s.clients {
		s.hungUp = append(s.hungUp, c)
	}
	for _, conns := range []map[net.Conn]context.CancelCauseFunc{s.conns, s.hijacked} {
		for c, cancel := range conns {
			cancel(conn.ErrClosed)
			conn.Below(c).Close()
		}
	}
	clear(s.hijacked)
}

// awaitEnd waits until ended is closed. After drainTime, it returns an error that
// names the requests that are still being served.
func (s *service) awaitEnd(ended <-chan struct{}) error {
	if closedWithin(ended, drainTime) {
		return nil
	}
	s.mu.Lock()
	var hanging strings.Builder
	for r := range s.requests {
		hanging.WriteString("\n\t" + describeRequest(r))
	}
	if hanging.Len() == 0 {
		for c := range s.conns {
			hanging.WriteString("\n\tthe connection from " + c.RemoteAddr().String())
		}
	}
	s.hung = true
	s.mu.Unlock()
	return fmt.Errorf("%s hangs: %v after it closed the connections, it is still serving%s\n\n%s",
		s.address, drainTime, &hanging, strings.Join(labelled(s.leaks.label), "\n"))
}

// ServeHTTP calls the handler, and keeps track of the request. A panic other than
// ErrAbortHandler is a failure of the service. ServeHTTP passes every panic on as
// ErrAbortHandler, for which net/http logs nothing.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests[r] = struct{}{}
	s.mu.Unlock()
	defer func() {
		cause := recover()
		s.mu.Lock()
		hung := s.hung
		s.mu.Unlock()
		if cause != nil && cause != http.ErrAbortHandler && !hung {
			s.fail(fmt.Errorf("%s: panic while serving %s: %v\n%s", s.address, describeRequest(r), cause, debug.Stack()))
		}
		s.mu.Lock()
		delete(s.requests, r)
		s.forgetEnded()
		s.wake()
		s.mu.Unlock()
		if cause != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	s.handler.ServeHTTP(w, r)
}

// describeRequest returns a request as a registry understands it, such as
// "get-manifest team/app:v1".
func describeRequest(hr *http.Request) string {
	r, _ := registry.ParseRequest(hr) // Even with an error, r has a description.
	return r.String()
}

// connContext returns the context of a connection's requests, which is canceled when
// the connection ends. By itself, net/http does not notice the end if the handler has
// not read the body of a request.
func (s *service) connContext(ctx context.Context, c net.Conn) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.conns[c] = cancel
	s.numbered++
	number := s.numbered
	s.mu.Unlock()
	return conn.WithNumber(ctx, number)
}

func (s *service) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.mu.Lock()
		if !s.running {
			c.Close() // The connection was accepted while stop was closing the others.
		}
		s.mu.Unlock()
	case http.StateHijacked:
		s.mu.Lock()
		s.hijacked[c] = s.conns[c]
		delete(s.conns, c)
		if !s.running {
			s.hangUp()
		}
		s.mu.Unlock()
	case http.StateClosed:
		s.mu.Lock()
		s.conns[c](conn.ErrClosed)
		delete(s.conns, c)
		s.wake()
		s.mu.Unlock()
	}
}

// forgetEnded removes the hijacked connections that were closed, because net/http
// does not report their end. The caller holds the lock.
func (s *service) forgetEnded() {
	for c, cancel := range s.hijacked {
		if isClosed(c) {
			cancel(conn.ErrClosed)
			delete(s.hijacked, c)
		}
	}
}
