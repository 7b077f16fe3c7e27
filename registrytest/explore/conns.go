package explore

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// conns are the connections that a client has made with the transport of the
// registry or a copy of it.
type conns struct {
	mu   sync.Mutex
	open map[*clientConn]struct{}

	// abandoned makes new connections block forever. Otherwise a client that
	// continues after its run would fail to connect in a loop.
	abandoned atomic.Bool
}

// watch notes the connections that the transport makes from now on.
func (c *conns) watch(t *http.Transport) {
	c.open = make(map[*clientConn]struct{})
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if c.abandoned.Load() {
			select {}
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		cc := &clientConn{Conn: conn, of: c}
		c.mu.Lock()
		c.open[cc] = struct{}{}
		c.mu.Unlock()
		return cc, nil
	}
}

// inUse returns the number of connections that have a response whose body the
// client has neither read to its end nor closed. In every other state net/http
// reads from the connection. With HTTP/2 it always reads.
func (c *conns) inUse() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cc := range c.open {
		if !cc.reads.Load() {
			n++
		}
	}
	return n
}

// A clientConn is the client's end of a connection.
type clientConn struct {
	net.Conn
	of    *conns
	reads atomic.Bool
}

func (c *clientConn) Read(p []byte) (int, error) {
	c.reads.Store(true)
	n, err := c.Conn.Read(p)
	c.reads.Store(err != nil)
	return n, err
}

func (c *clientConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
