package registrytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ocireg/registry/internal/conn"
)

// A client that is not reading has noticeTime to notice that the server has closed
// its connection. If the client needs longer, its next request fails. A client
// that is reading notices as soon as it is scheduled, and has readTime.
const (
	noticeTime = 50 * time.Millisecond
	readTime   = 2 * time.Second
)

// A clientConn is the client's end of a connection that a transport of this
// package made. After the server has closed its connections, that transport
// must not use them again: it closes its end as soon as it has noticed.
type clientConn struct {
	net.Conn
	service *service

	// reads is true while the client reads, and after reading has failed.
	reads atomic.Bool
}

// dialer returns a function for the transport of a server at the address.
func (s *service) dialer(address net.Addr) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		own := addr == address.String()
		if own {
			network = address.Network()
		}
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		switch {
		case !own:
			return c, err
		case err != nil:
			return nil, s.refused(err)
		}
		return s.client(c), nil
	}
}

// refused counts a client that was refused, and returns the error that it gets.
func (s *service) refused(err error) error {
	if errors.Is(err, conn.Refused) {
		s.refusals.Add(1)
	}
	if note := s.refusedNote(); note != "" {
		return fmt.Errorf("%w (registrytest: %s)", err, note)
	}
	return err
}

// client returns the connection as one of the service's own clients.
func (s *service) client(c net.Conn) net.Conn {
	cc := &clientConn{Conn: c, service: s}
	s.mu.Lock()
	s.clients[cc] = struct{}{}
	s.mu.Unlock()
	return cc
}

func (c *clientConn) Close() error {
	s := c.service
	s.mu.Lock()
	delete(s.clients, c)
	s.wake()
	s.mu.Unlock()
	return c.Conn.Close()
}

// ReadFrom lets the operating system send a file.
func (c *clientConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(c.Conn, r)
}

func (c *clientConn) Read(p []byte) (int, error) {
	c.reads.Store(true)
	n, err := c.Conn.Read(p)
	c.reads.Store(err != nil)
	return n, err
}

// settle waits for the service's own clients to notice that their connections
// were closed.
func (s *service) settle() {
	s.mu.Lock()
	clients := s.hungUp
	s.mu.Unlock()
	s.awaitClose(clients, noticeTime)
	var reading []*clientConn
	for _, c := range clients {
		if c.reads.Load() {
			reading = append(reading, c)
		}
	}
	s.awaitClose(reading, readTime)
}

// awaitClose waits until the clients have closed their ends, at most for the
// limit.
func (s *service) awaitClose(clients []*clientConn, limit time.Duration) {
	s.mu.Lock()
	closed := s.when(func() bool {
		for _, c := range clients {
			if _, open := s.clients[c]; open {
				return false
			}
		}
		return true
	})
	s.mu.Unlock()
	closedWithin(closed, limit)
}

// isClosed reports whether this end has closed the connection. It returns false
// for a connection that does not tell.
func isClosed(c net.Conn) bool {
	switch c := conn.Below(c).(type) {
	case *pipeConn:
		return c.closed.Load()
	case syscall.Conn:
		raw, err := c.SyscallConn()
		if err == nil {
			err = raw.Control(func(uintptr) {})
		}
		return errors.Is(err, net.ErrClosed)
	}
	return false
}

// silence makes new connections silent while it is wanted.
type silence struct {
	wanted atomic.Int64 // the number of calls that want it
	heard  atomic.Int64 // the number of connections that were silent
	first  countdown
}

// A troubledListener accepts connections that may be silent, and resets those
// that are to be refused.
type troubledListener struct {
	net.Listener
	service *service
}

func (l *troubledListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		silence := &l.service.silence
		switch {
		case err != nil:
			return nil, err
		case l.service.refuseFirst.take():
			// The operating system has accepted it.
			conn.AbortOnClose(c).Close()
		case silence.wanted.Load() > 0 || silence.first.take():
			silence.heard.Add(1)
			return &silentConn{Conn: c, done: make(chan struct{})}, nil
		default:
			return c, nil
		}
	}
}

// A silentConn is a connection that the server never reads from.
type silentConn struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *silentConn) Read([]byte) (int, error) {
	<-c.done
	return 0, net.ErrClosed
}

func (c *silentConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

// SetLinger is for [conn.AbortOnClose].
func (c *silentConn) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(sec)
	}
	return nil
}

// listenTime is how long a server waits for the port that it had before.
const listenTime = 5 * time.Second

// listen listens at an address of this machine.
func listen(network, address string) (net.Listener, error) {
	var timeout <-chan time.Time
	for {
		l, err := net.Listen(network, address)
		if err == nil {
			return l, nil
		}
		if strings.HasSuffix(address, ":0") {
			if l, err6 := net.Listen(network, "[::1]:0"); err6 == nil {
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
