package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// maxHeader is the number of bytes that the header of a response may have.
const maxHeader = 1 << 20

// prepare changes a transport so that it passes messages on as they are.
func prepare(t *http.Transport) {
	t.DisableCompression = true // It would ask for compression itself.
	t.ForceAttemptHTTP2 = true
	if t.MaxResponseHeaderBytes == 0 {
		t.MaxResponseHeaderBytes = maxHeader
	}
	if t.ExpectContinueTimeout == 0 {
		t.ExpectContinueTimeout = time.Second // Without it, the body follows at once.
	}
	if t.MaxIdleConnsPerHost == 0 {
		t.MaxIdleConnsPerHost = 64
	}
	if t.IdleConnTimeout == 0 {
		t.IdleConnTimeout = 90 * time.Second
	}
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c}, nil
	}
}

// A patientConn is a connection to the upstream. An upstream may respond before
// it got all of a request, and close the connection. Writing the rest of the
// request fails then, and [http.Transport] would take this for the outcome, in
// place of the response. So writing goes on to nowhere, and reading decides: it
// gets the response, or the end of the connection.
type patientConn struct {
	net.Conn
	closed, deaf atomic.Bool
}

func (c *patientConn) Write(p []byte) (int, error) {
	if c.deaf.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if err == nil || c.closed.Load() || errors.Is(err, net.ErrClosed) {
		return n, err
	}
	c.deaf.Store(true)
	return len(p), nil
}

func (c *patientConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}
