package registrytest

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// drainTime is how long that which is being served may take to end once its
// connections are closed. It is long, because what takes it has failed.
const drainTime = 5 * time.Second

// errClosed is why requests are cancelled when their connection is closed.
var errClosed = errors.New("registrytest: connection closed by the server")

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

	mu        sync.Mutex
	running   bool
	closed    bool
	listeners []net.Listener
	accepting int // goroutines
	conns     map[net.Conn]context.CancelCauseFunc
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
	s.hijacked = make(map[net.Conn]context.CancelCauseFunc)
	s.calls = make(map[*http.Request]struct{})
	s.http.Handler = s
	s.http.ErrorLog = log.New(&s.log, "", 0)
	s.http.ConnContext = s.connContext
	s.http.ConnState = s.connState
	s.leaks.begin(t.Name() + " " + name)
}

// start listens on all ports, or on none if there is an error.
func (s *service) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.closed {
		return nil
	}
	for _, p := range s.ports {
		l, err := p.listen()
		if err != nil {
			for _, l := range s.listeners {
				l.Close()
			}
			s.listeners = nil
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	s.running = true
	for i, l := range s.listeners {
		s.accepting++
		go s.accept(s.ports[i], l)
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
	for _, l := range s.listeners {
		l.Close()
	}
	s.listeners = nil
	s.closeConns()
	ended := s.wait(func() bool { return s.accepting == 0 && len(s.conns) == 0 && len(s.calls) == 0 })
	s.mu.Unlock()
	s.await(ended)
}

// close stops the service for good.
func (s *service) close() {
	s.t.Helper()
	s.stop()
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		s.leaks.end(s.t)
	}
}

// disconnect closes all connections, and waits for what was being served to
// end.
func (s *service) disconnect() {
	s.t.Helper()
	s.mu.Lock()
	s.closeConns()
	calls := make([]*http.Request, 0, len(s.calls))
	for r := range s.calls {
		calls = append(calls, r)
	}
	ended := s.wait(func() bool {
		for _, r := range calls {
			if _, ok := s.calls[r]; ok {
				return false
			}
		}
		return true
	})
	s.mu.Unlock()
	s.await(ended)
}

// closeConns closes all connections. The lock is held.
func (s *service) closeConns() {
	for _, conns := range []map[net.Conn]context.CancelCauseFunc{s.conns, s.hijacked} {
		for c, cancel := range conns {
			cancel(errClosed)
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn() // without a farewell that nobody may read
			}
			c.Close()
		}
	}
	clear(s.hijacked)
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

// await waits for what has been told to end, and fails the test if it does
// not.
func (s *service) await(ended <-chan struct{}) {
	s.t.Helper()
	timeout := time.NewTimer(drainTime)
	defer timeout.Stop()
	select {
	case <-ended:
		return
	case <-timeout.C:
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
	s.closed = true // What comes to an end later is of no interest any more.
	s.mu.Unlock()
	s.t.Errorf("registrytest: %s hangs: %v after their connections were closed, it is still serving%s", s.name, drainTime, &hanging)
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
		closed := s.closed
		s.mu.Unlock()
		if cause == nil {
			return
		}
		if cause != http.ErrAbortHandler && !closed {
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
	s.mu.Unlock()
	return ctx
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
			s.closeConns()
		}
		s.mu.Unlock()
	case http.StateClosed:
		s.mu.Lock()
		s.conns[c](errClosed)
		delete(s.conns, c)
		s.wake()
		s.mu.Unlock()
	}
}
