package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry/internal/remote"
)

// maxHeader is the default limit in bytes for the header of an upstream's
// response.
const maxHeader = 1 << 20

// prepare configures t to pass requests and responses on unchanged.
func prepare(t *http.Transport) {
	t.DisableCompression = true // The transport would request compressed responses.
	t.ForceAttemptHTTP2 = true
	if t.MaxResponseHeaderBytes == 0 {
		t.MaxResponseHeaderBytes = maxHeader
	}
	if t.ExpectContinueTimeout == 0 {
		t.ExpectContinueTimeout = time.Second // With 0, the transport would not wait for 100 Continue.
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
	t.DialContext = patiently(dial)
}

// transportTo returns the transport for requests to the URL. The transport for
// a token service refuses addresses of this machine and its network, except
// those that [remote.PassDialer] permits. It cannot check the address if a
// proxy or the caller's dialer makes the connection.
func (u *Proxy) transportTo(to *url.URL) *http.Transport {
	if remote.Origin(to) == remote.Origin(u.base) {
		return u.transport
	}
	if u.transport.Proxy != nil {
		proxy, err := u.transport.Proxy(&http.Request{URL: to})
		if proxy != nil || err != nil {
			return u.transport
		}
	}
	return u.tokens
}

// A dialFunc opens a connection, like [net.Dialer.DialContext].
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// patiently returns a dialFunc whose connections are patientConns.
func patiently(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c}, nil
	}
}

// A patientConn is a connection to the upstream. An upstream may respond and
// close the connection before it has read the whole request. Then writing the
// rest fails, and [http.Transport] would return that error instead of the
// response. So Write discards the rest and reports success; Read returns the
// response or the end of the connection.
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
