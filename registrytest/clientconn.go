package registrytest

import (
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// noticeTime is how long a client that does not read may take to notice that its
// connection was closed, before that is left to its next request. One that reads
// notices as soon as it is its turn, for which readTime is enough.
const (
	noticeTime = 50 * time.Millisecond
	readTime   = 2 * time.Second
)

// A clientConn is the client's end of a connection, as the server's own
// transport has it. When connections have been closed, that transport must not
// try to use them again: it closes its end as soon as it has noticed.
type clientConn struct {
	net.Conn
	service *service

	// reads is true while it is read, and when that has failed.
	reads atomic.Bool
}

// client makes the connection one of the service's own transport.
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

// ReadFrom keeps open the way by which the operating system sends a file.
func (c *clientConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(c.Conn, r)
}

func (c *clientConn) Read(p []byte) (int, error) {
	c.reads.Store(true)
	n, err := c.Conn.Read(p)
	c.reads.Store(err != nil)
	return n, err
}

// settle waits for the server's own clients to notice that their connections
// have been closed, as far as they have been.
func (s *service) settle() {
	s.mu.Lock()
	clients := slices.Clone(s.hungUp)
	s.mu.Unlock()
	s.awaitClose(clients, noticeTime)
	s.awaitClose(slices.DeleteFunc(clients, func(c *clientConn) bool { return !c.reads.Load() }), readTime)
}

// awaitClose waits until the clients have closed their ends, but no longer than
// the limit.
func (s *service) awaitClose(clients []*clientConn, limit time.Duration) {
	s.mu.Lock()
	closed := s.wait(func() bool {
		return !slices.ContainsFunc(clients, func(c *clientConn) bool { _, ok := s.clients[c]; return ok })
	})
	s.mu.Unlock()
	await(closed, limit)
}
