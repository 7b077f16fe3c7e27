package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/remote"
)

// A Proxy is a registry that passes every request on to another registry, the
// upstream, and sends back the response. [NewProxy] returns one. It is a store for
// [registry.New] and an option of package registrytest:
//
//	handler := registry.New(upstream.NewProxy("https://registry.example.com"))
//
// The methods of [registry.Store] read and change the content of the upstream,
// for the test. Only their requests use the user and the password in the URL.
// Requests on behalf of a client have the client's own credentials; see
// [Proxy.StoreFor].
type Proxy struct {
	registry.Store
	base       *url.URL // URL of the upstream without user, and without a slash at its end
	err        error
	keepRealms bool
	transport  *http.Transport
	tokens     *http.Transport // for token services, unless a proxy makes the connection
	buffers    buffers
	realms     realms
}

// A ProxyOption configures a [Proxy].
type ProxyOption func(*Proxy)

// Transport makes a Proxy send its requests with a copy of t, for example to set
// certificates, proxies, timeouts or a network of package registrytest. Without
// this option, the proxies are those of [http.ProxyFromEnvironment].
func Transport(t *http.Transport) ProxyOption {
	return func(u *Proxy) {
		if t == nil {
			u.err = errors.New("the argument of Transport is nil; leave the option out")
			return
		}
		u.transport = t.Clone()
	}
}

// KeepRealms makes a Proxy leave the realm of a challenge unchanged. Clients then
// request their tokens from the upstream's token service, and not through the
// Proxy.
func KeepRealms() ProxyOption {
	return func(u *Proxy) { u.keepRealms = true }
}

// NewProxy returns a registry that passes every request on to the registry at the
// address, which is a base URL such as "https://registry.example.com" or
// "http://localhost:5000/path", without /v2/.
//
// The upstream gets the method, the path, the query, the header and the body of
// each request as they arrive, and the client gets the status, the header and
// the body of the response. Bodies are streamed. A Proxy changes these fields:
//
//   - Host, in requests, is the host of the upstream.
//   - Location and Link, in responses, name the host of the Proxy in place of the
//     upstream.
//   - WWW-Authenticate, in responses, names the Proxy as the token service, with
//     the path /token. The Proxy passes token requests on to the token service of
//     the upstream. The parameters service and scope stay the same. See
//     [KeepRealms].
//   - Fields that concern a single connection are removed (RFC 9110, section
//     7.6.1).
//
// If the upstream ends a response early, so does the Proxy. If the upstream
// cannot be reached, the response is 502.
func NewProxy(address string, opts ...ProxyOption) *Proxy {
	u := &Proxy{Store: registry.UnimplementedStore{}}
	for _, o := range opts {
		if o == nil {
			u.err = errNilOption
		} else {
			o(u)
		}
	}
	if u.transport == nil {
		u.transport = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	dials := u.transport.DialContext == nil && u.transport.DialTLSContext == nil
	prepare(u.transport)
	u.tokens = u.transport
	base, user, err := parse(address)
	if u.base = base; u.err == nil {
		u.err = err
	}
	if u.err == nil {
		if dials {
			u.tokens = u.transport.Clone()
			u.tokens.DialContext = patiently(remote.PassDialer(u.base).DialContext)
		}
		own := &remote.Transport{Registry: u.base, Next: u.transport}
		if password, ok := user.Password(); ok {
			own.Login = func(context.Context) (remote.Login, error) {
				return remote.Login{Username: user.Username(), Password: password}, nil
			}
		}
		u.Store = &remote.Store{Base: u.base.String(), Client: &http.Client{Transport: own}}
	}
	return u
}

// parse checks and returns the URL of an upstream without its user, and the
// user.
func parse(address string) (base *url.URL, user *url.Userinfo, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		err = errors.New("it is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		err = errors.New("want http:// or https:// and a host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		err = errors.New("it has a query or a fragment; leave that out")
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v2"):
		err = errors.New("leave out /v2, where the API begins")
	}
	if err != nil {
		if u == nil {
			u = new(url.URL) // The address may contain a password, so the error does not show it.
		}
		return nil, nil, fmt.Errorf("the URL %q of the upstream: %w", u.Redacted(), err)
	}
	user, u.User = u.User, nil
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, user, nil
}

// StoreFor returns the content of the upstream that the client of the request
// may see. Requests to the upstream have the Authorization of the client's
// request, or none. Package registry passes this store to hooks; see
// [registry.Request.Store].
func (u *Proxy) StoreFor(r *registry.Request) registry.Store {
	if u.err != nil {
		return u.Store
	}
	as := &remote.Transport{Registry: u.base, Next: u.transport, OnBehalf: http.Header{}}
	if auth, ok := r.Header["Authorization"]; ok {
		as.OnBehalf["Authorization"] = auth
	}
	return &remote.Store{Base: u.base.String(), Client: &http.Client{Transport: as}}
}

// Options returns no options, since a Proxy is the store of the registry.
func (u *Proxy) Options() []registry.Option { return nil }

// Exclusive returns "store". It tells package registrytest that a server has only
// one store.
func (u *Proxy) Exclusive() string { return "store" }

// Err returns an error if the URL of the upstream or an option is not valid. Package
// registrytest fails the test with it, and [Proxy.Operate] returns it.
func (u *Proxy) Err() error { return u.err }

// Close closes idle connections to the upstream. Package registrytest calls it
// after the server with the Proxy has been closed. A Proxy can be used afterwards.
func (u *Proxy) Close() error {
	u.transport.CloseIdleConnections()
	u.tokens.CloseIdleConnections()
	return nil
}

// Operate passes a request on to the upstream and sends back the response.
// Package registry calls it.
func (u *Proxy) Operate(w http.ResponseWriter, r *registry.Request) (err error) {
	if u.err != nil {
		return u.err
	}
	p := &passage{proxy: u, request: r, out: &responseWriter{ResponseWriter: w}, target: u.target(r)}
	p.body = newBody(r.Body, w)
	defer p.body.end()
	// Without full duplex, net/http reads the rest of the request before it
	// sends an early response.
	http.NewResponseController(w).EnableFullDuplex()
	proxy := httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		ModifyResponse: p.modify,
		ErrorHandler:   p.fail,
		Transport:      u.transportTo(p.target),
		BufferPool:     &u.buffers,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler {
			err = p.broken()
		} else if cause != nil {
			panic(cause)
		}
	}()
	in := *r.Request
	in.Body = p.body
	if in.ContentLength == 0 {
		in.Body = http.NoBody
	}
	proxy.ServeHTTP(p.out, &in)
	return p.broken()
}
