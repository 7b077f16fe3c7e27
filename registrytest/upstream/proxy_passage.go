package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/ocireg/registry"
)

// A passage is a client's request on its way to the upstream, and the response
// to it.
type passage struct {
	proxy   *Proxy
	request *registry.Request
	out     *responseWriter
	target  *url.URL // URL of the request to the upstream or a token service
	body    *body    // body of the request

	err     error // response to send, or the reason to end the connection
	readErr error // error of reading the response body
}

// target returns the URL to which the Proxy sends the request: at the upstream,
// or at a token service.
func (u *Proxy) target(r *registry.Request) *url.URL {
	if realm := u.realmOf(r); realm != nil {
		return realm
	}
	t := *u.base
	t.RawQuery, t.ForceQuery = r.URL.RawQuery, r.URL.ForceQuery
	path, raw := strings.TrimPrefix(r.URL.Path, r.Prefix), strings.TrimPrefix(r.URL.EscapedPath(), r.Prefix)
	t.Path, t.RawPath = u.base.Path+path, u.base.EscapedPath()+raw
	return &t
}

// forwarded are the header fields with which proxies describe the client.
// [httputil.ReverseProxy] would remove them.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// rewrite changes the outgoing request, which is a copy of the client's: it sets
// the URL, and restores fields that the ReverseProxy removed.
func (p *passage) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL, pr.Out.Host = p.target, ""
	if pr.Out.Body != nil {
		pr.Out.Body = p.body // ReverseProxy wraps the body, and its Close does not reach p.body.
	}
	pr.Out.Header.Del("Connection")
	pr.Out.Header.Del("Upgrade")
	for _, name := range forwarded {
		if values, ok := pr.In.Header[name]; ok {
			pr.Out.Header[name] = slices.Clone(values)
		}
	}
}

// modify changes the upstream's response for the client: URLs at the upstream
// become URLs at the Proxy.
func (p *passage) modify(resp *http.Response) error {
	if resp.StatusCode < 100 {
		return fmt.Errorf("its response has the status %03d", resp.StatusCode) // net/http would panic.
	}
	for _, name := range []string{"Content-Type", "Date"} {
		if len(resp.Header[name]) == 0 {
			p.out.Header()[name] = nil // net/http would add a missing field
		}
	}
	for i, to := range resp.Header["Location"] {
		resp.Header["Location"][i] = p.reachable(to)
	}
	for i, link := range resp.Header["Link"] {
		resp.Header["Link"][i] = eachLink(link, p.reachable)
	}
	if !p.proxy.keepRealms {
		for i, challenge := range resp.Header["Www-Authenticate"] {
			resp.Header["Www-Authenticate"][i] = eachRealm(challenge, p.realm)
		}
	}
	p.out.left = resp.ContentLength
	resp.ContentLength = 0 // p.out.left has the length; see responseWriter
	resp.Body = &responseBody{resp.Body, p}
	return nil
}

// fail sets p.err if the upstream sent no response, or one that cannot be passed on. The
// error is a response for the client, or the reason to end the connection.
func (p *passage) fail(_ http.ResponseWriter, _ *http.Request, err error) {
	switch {
	case p.request.Context().Err() != nil:
		p.err = fmt.Errorf("the request ended: %w", context.Cause(p.request.Context()))
	case p.body.failed() != nil:
		p.err = p.unfinished(p.body.failed())
	case brokeOff(err):
		p.err = fmt.Errorf("%w, because the upstream ended its connection: %w", registry.CloseConnection, err)
	default:
		e := &registry.Error{Code: "UNKNOWN", Status: http.StatusBadGateway}
		e.Message = fmt.Sprintf("the upstream, %s, sent no valid response: %v", p.target.Host, err)
		p.request.Note(e.Message)
		p.err = e
	}
}

// brokeOff reports whether err means that the upstream closed the connection
// before it sent a response.
func brokeOff(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// broken returns the reason why the client did not get a whole response from the
// upstream, or nil.
func (p *passage) broken() error {
	switch {
	case p.err != nil:
		return p.err
	case p.out.err != nil:
		return p.out.err
	case p.readErr != nil:
		return fmt.Errorf("the upstream broke off: %w", p.readErr)
	}
	return nil
}
