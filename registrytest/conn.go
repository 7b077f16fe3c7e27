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

// noticeTime limits how long a server that has closed its connections waits for its
// clients to notice. For clients that are reading, the server then waits for up to
// readTime longer, because they notice as soon as they are scheduled. A client that
// has not noticed may send its next request on a closed connection, which fails.
const (
	noticeTime = 50 * time.Millisecond
	readTime   = 2 * time.Second
)

// A clientConn is the client's end of a connection that a transport of this
// package dialed. The transport must not use it for a request after the server has
// closed the connection. So the server waits until the transport has noticed, and
// has closed the clientConn.
type clientConn struct {
	net.Conn
	service *service

	// reads is true during a call of Read, and after Read has returned an error.
	reads atomic.Bool
}

// dialer returns the DialContext function for the transport of the server's client.
// The service keeps track of the connections that the transport makes to the address.
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

// refused returns the error of a client that could not connect: err, with a note if
// the user has closed or stopped the server. It counts refused connections.
func (s *service) refused(err error) error {
	if errors.Is(err, conn.Refused) {
		s.refusals.Add(1)
	}
	if note := s.refusedNote(); note != "" {
		return fmt.Errorf("%w (registrytest: %s)", err, note)
	}
	return err
}

// client returns the client's end of a connection as a clientConn, which the service
// keeps track of.
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

// ReadFrom lets net.TCPConn send a file with sendfile.
func (c *clientConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(c.Conn, r)
}

func (c *clientConn) Read(p []byte) (int, error) {
	c.reads.Store(true)
	n, err := c.Conn.Read(p)
	c.reads.Store(err != nil)
	return n, err
}

// settle waits until the service's clients have noticed that the server has closed
// their connections, or until noticeTime and readTime have passed.
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

// awaitClose waits until all of the clients have closed their ends of the
// connections, or until the limit has passed.
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

// isClosed reports whether this process has closed c. It returns false if the type
// of c has no way to tell.
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

// silence is the state of [Server.Silence]. A new connection is silent if the count
// wanted is not 0, or else if the countdown first picks the connection.
type silence struct {
	wanted atomic.Int64 // the number of calls in force that make all new connections silent
	heard  atomic.Int64 // the number of silent connections so far
	first  countdown
}

// A troubledListener applies [Server.Silence], and [Server.Refuse] with a number, to
// the connections that it accepts.
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
			// The operating system has accepted the connection already, so reset it.
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

// SetLinger passes the call on, so that [conn.AbortOnClose] works.
func (c *silentConn) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(sec)
	}
	return nil
}

// listenTime limits how long a server that starts again waits for its port.
const listenTime = 5 * time.Second

// listen listens at an address of this machine. For port 0, it falls back to the IPv6
// loopback address. For any other port, which another program may have taken, it tries
// again for up to listenTime.
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
