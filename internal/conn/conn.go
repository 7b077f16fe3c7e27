// Package conn has code for connections that several packages of a server need:
// the number of a connection and the cause of its end, both in the context of
// requests; the errors of the operating system; and a [Writer] that notices when
// a response begins.
package conn

import (
	"context"
	"errors"
	"net"
)

// ErrClosed is the cause of a request's cancelled context if the server itself
// closed the connection. Any other cause means that the client hung up.
var ErrClosed = errors.New("registrytest: the server closed the connection")

type numberKey struct{}

// WithNumber returns a context for the requests on the connection with the
// number n, counted from 1.
func WithNumber(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, numberKey{}, n)
}

// Number returns the number of the connection that a request with this context
// arrived on. It returns 0 if the server does not count its connections.
func Number(ctx context.Context) int {
	n, _ := ctx.Value(numberKey{}).(int)
	return n
}

// Below returns the connection that carries c, below TLS and other wrappers with
// a method NetConn. Closing it sends no close_notify of TLS, for which a close of c
// might wait if the peer does not read.
func Below(c net.Conn) net.Conn {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = outer.NetConn()
	}
}

// AbortOnClose makes Close reset the connection, so that neither end keeps it
// in the state TIME_WAIT. It returns the connection below c.
func AbortOnClose(c net.Conn) net.Conn {
	c = Below(c)
	if c, ok := c.(interface{ SetLinger(sec int) error }); ok {
		c.SetLinger(0)
	}
	return c
}
