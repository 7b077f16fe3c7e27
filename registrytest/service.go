package registrytest

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/conn"
)

// drainTime is how long that which is being served may take to end once its
// connections are closed. It is long, because what takes it has failed.
const drainTime = 5 * time.Second

// A port is something that a service listens on.
type port struct {
	listen func() (net.Listener, error)
	tls    bool
}

// A service serves a handler on its ports. It knows its connections and the
// requests that are being served, so that they can be brought to an end, and
// named if they do not end.
//
// It can be stopped and started any number of times, which an [http.Server]
// that has been closed cannot: so it is never closed, but what it has is.
type service struct {
	t       TB
	name    string
	handler http.Handler
	ports   []port
	http    http.Server
	log     logBuffer
	leaks   leakCheck
	door    door

	// transport is the service's own, if it is nobody else's.
	transport *http.Transport

	mu        sync.Mutex
	running   bool
	closed    bool
	hung      bool // and the test has been told
	listeners []net.Listener
	accepting int // goroutines
	accepted  int // connections, since the service was made
	conns     map[net.Conn]context.CancelCauseFunc
	clients   map[*clientConn]struct{}
	hungUp    []*clientConn // those there were when connections were closed last
	hijacked  map[net.Conn]context.CancelCauseFunc
	calls     map[*http.Request]struct{}
	waiters   []waiter
}

// A waiter is told when its condition is met, by its channel being closed.
type waiter struct {
	met  func() bool
	done chan struct{}
}

// init makes the service of a handler. Name is for people.
func (s *service) init(t TB, name string, handler http.Handler) {
	s.t, s.name, s.handler = t, name, handler
	s.conns = make(map[net.Conn]context.CancelCauseFunc)
	s.clients = make(map[*clientConn]struct{})
	s.hijacked = make(map[net.Conn]context.CancelCauseFunc)
	s.calls = make(map[*http.Request]struct{})
	s.http.Handler = s
	s.http.ErrorLog = log.New(&s.log, "", 0)
	s.http.ConnContext = s.connContext
	s.http.ConnState = s.connState
	s.leaks.begin(fmt.Sprintf("%s %s %p", t.Name(), name, s)) // A name may be in use in several networks.
}

// start listens on all ports, or on none if there is an error.
func (s *service) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.closed {
		return nil
	}
	err := s.open()
	s.running = err == nil
	return err
}

// open listens on all ports, or on none if there is an error. The lock is
// held.
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
		s.accepting++
		go s.accept(s.ports[i], &doorListener{l, &s.door})
	}
	return nil
}

func (s *service) accept(p port, l net.Listener) {
	s.leaks.mark(func() {
		// The error is that the listener was closed.
		if p.tls {
			s.http.ServeTLS(l, "", "")
		} else {
			s.http.Serve(l)
		}
	})
	s.mu.Lock()
	s.accepting--
	s.wake()
	s.mu.Unlock()
}

// stop closes all ports and connections, and waits for what is being served to
// end.
func (s *service) stop() {
	s.t.Helper()
	s.mu.Lock()
	s.running = false
	s.closePorts()
	s.hangUp()
	ended := s.wait(func() bool { return s.accepting == 0 && len(s.conns) == 0 && len(s.calls) == 0 })
	s.mu.Unlock()
	s.await(ended)
}

// closePorts ends the listening. The lock is held.
func (s *service) closePorts() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.listeners = nil
}

// close stops the service for good, if it was ever started.
func (s *service) close() {
	s.t.Helper()
	s.mu.Lock()
	first := !s.closed && s.handler != nil
	s.closed = true
	for c := range s.conns {
		abandon(c)
	}
	s.mu.Unlock()
	if s.transport != nil {
		s.transport.CloseIdleConnections() // is quicker than to have it notice
	}
	s.stop()
	s.mu.Lock()
	hung := s.hung
	s.mu.Unlock()
	if first && !hung {
		s.leaks.end(s.t)
	}
}

// disconnect closes all connections, and waits for what was being served to
// end.
func (s *service) disconnect() {
	s.t.Helper()
	s.mu.Lock()
	s.hangUp()
	calls := slices.Collect(maps.Keys(s.calls))
	ended := s.wait(func() bool {
		return !slices.ContainsFunc(calls, func(r *http.Request) bool { _, ok := s.calls[r]; return ok })
	})
	s.mu.Unlock()
	s.await(ended)
}

// hangUp closes all connections. The lock is held.
func (s *service) hangUp() {
	s.hungUp = slices.Collect(maps.Keys(s.clients))
	for _, conns := range []map[net.Conn]context.CancelCauseFunc{s.conns, s.hijacked} {
		for c, cancel := range conns {
			cancel(conn.ErrClosed)
			netConn(c).Close()
		}
	}
	clear(s.hijacked)
}

// netConn is the connection below TLS: whoever closes that need not wait for
// anybody to read a farewell.
func netConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// abandon has the connection leave no trace when it is closed. Hundreds of
// tests that each leave one in TIME_WAIT would use up the ports of the machine,
// and make it slow to find one long before that.
func abandon(c net.Conn) {
	if l, ok := netConn(c).(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
}

// wait returns a channel that is closed as soon as the condition is met. The
// lock is held, and it is whenever the condition is asked.
func (s *service) wait(met func() bool) <-chan struct{} {
	done := make(chan struct{})
	s.waiters = append(s.waiters, waiter{met, done})
	s.wake()
	return done
}

// wake looks after the waiters, when something has ended. The lock is held.
func (s *service) wake() {
	if s.waiters == nil {
		return
	}
	var left []waiter
	for _, w := range s.waiters {
		if w.met() {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	s.waiters = left
}

// await reports whether the channel is closed in time.
func await(done <-chan struct{}, d time.Duration) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case <-done:
		return true
	case <-timeout.C:
		return false
	}
}

// await waits for what has been told to end, and fails the test if it does
// not.
func (s *service) await(ended <-chan struct{}) {
	s.t.Helper()
	if await(ended, drainTime) {
		return
	}
	s.mu.Lock()
	var hanging strings.Builder
	for r := range s.calls {
		hanging.WriteString("\n\t" + describeRequest(r))
	}
	if hanging.Len() == 0 {
		for c := range s.conns {
			hanging.WriteString("\n\tthe connection from " + c.RemoteAddr().String())
		}
	}
	s.hung = true
	s.mu.Unlock()
	s.t.Errorf("registrytest: %s hangs: %v after their connections were closed, it is still serving%s\n\n%s",
		s.name, drainTime, &hanging, strings.Join(labelled(s.leaks.label), "\n"))
}

// ServeHTTP is on the way of every request.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls[r] = struct{}{}
	s.mu.Unlock()
	defer func() {
		cause := recover()
		s.mu.Lock()
		delete(s.calls, r)
		s.wake()
		hung := s.hung
		s.mu.Unlock()
		if cause == nil {
			return
		}
		if cause != http.ErrAbortHandler && !hung { // else the test may have ended
			s.t.Errorf("registrytest: %s: panic while serving %s: %v\n%s", s.name, describeRequest(r), cause, debug.Stack())
		}
		panic(http.ErrAbortHandler)
	}()
	s.handler.ServeHTTP(w, r)
}

// connContext has requests cancelled with their connection, also if there is a
// body that nobody has read: for then, net/http does not notice.
func (s *service) connContext(ctx context.Context, c net.Conn) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.conns[c] = cancel
	s.accepted++
	number := s.accepted
	s.mu.Unlock()
	return conn.WithNumber(ctx, number)
}

func (s *service) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.mu.Lock()
		if !s.running {
			c.Close()
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
