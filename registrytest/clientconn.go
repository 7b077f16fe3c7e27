package registrytest

import (
	"io"
	"maps"
	"net"
	"slices"
	"time"
)

// noticeTime is how long a client may take to notice that its connection was
// closed, before that is left to its next request.
const noticeTime = 50 * time.Millisecond

// A clientConn is the client's end of a connection, as the server's own
// transport has it. When connections have been closed, that transport must not
// try to use them again: it closes its end as soon as it has noticed.
type clientConn struct {
	net.Conn
	service *service
}

// client makes the connection one of the service's own transport.
func (s *service) client(c net.Conn) net.Conn {
	cc := &clientConn{c, s}
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

// settle waits for the server's own clients to notice that their connections
// have been closed, as far as they have been.
func (s *service) settle() {
	s.mu.Lock()
	clients := slices.Collect(maps.Keys(s.clients))
	noticed := s.wait(func() bool {
		return !slices.ContainsFunc(clients, func(c *clientConn) bool { _, ok := s.clients[c]; return ok })
	})
	s.mu.Unlock()
	await(noticed, noticeTime)
}
