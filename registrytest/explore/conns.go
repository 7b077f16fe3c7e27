package explore

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// conns tracks the open connections of a client that uses the registry's
// transport or a clone of it.
type conns struct {
	mu   sync.Mutex
	open map[*clientConn]struct{}

	// abandoned is set after a run that did not end. New connections then block
	// forever. If they failed, a client that goes on would dial in an endless loop.
	abandoned atomic.Bool
}

// watch makes c track each new connection of the transport.
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

// inUse returns the number of connections with a response body that the client
// has neither read to its end nor closed. On all other connections, net/http waits
// for data. With HTTP/2 it always waits, so inUse returns 0.
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
