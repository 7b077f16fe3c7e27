// Package jsonapi serves APIs whose requests and responses are JSON, to the programs
// of one machine.
//
// Each request carries a token. Requests that a web page of another host may have sent
// are refused. A request with a parameter or a member that its endpoint does not have
// is an error, and each error is a response with one sentence: {"error": "…"}.
package jsonapi

import (
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/names"
)

// An API is an http.Handler that serves endpoints. Its fields must not change
// while it serves requests.
type API struct {
	Name   string // the name of the API in messages, such as "control"
	Prefix string // the prefix of all its paths, such as "/v1"
	Help   string // says where the requests of the API are listed
	Token  string // the token of each request, after "Authorization: Bearer "

	// Hosts are the names by which clients reach the API, besides localhost and
	// IP addresses.
	Hosts []string

	// Page, if it is not nil, serves all paths outside of the API, without a token.
	Page http.Handler

	mux http.ServeMux
}

// An Endpoint handles the requests of an API that match a pattern.
type Endpoint struct {
	Pattern    string // a pattern of [http.ServeMux]
	Status     int    // the status of a response without an error, or 0 if Serve writes the response
	Parameters string // the names of query parameters, separated by spaces; * permits any

	// Serve returns the object in the response, or an error, such as one made by [Fail].
	Serve func(*Call) (any, error)
}

// Handle adds an endpoint. It panics if its pattern conflicts with an earlier one.
func (a *API) Handle(e Endpoint) { a.mux.Handle(e.Pattern, e) }

// ServeHTTP implements [http.Handler]. The API calls it with a [*Response].
func (e Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := w.(*Response)
	var object any
	c, err := newCall(out, r, e.Parameters)
	if err == nil {
		object, err = e.Serve(c)
	}
	out.reply(e.Status, object, err)
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	err := a.refuse(r)
	if own := r.URL.Path == a.Prefix || strings.HasPrefix(r.URL.Path, a.Prefix+"/"); err == nil && !own && a.Page != nil {
		a.Page.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if err == nil {
		err = a.authenticate(w, r)
	}
	if err == nil && !a.takes(r) {
		err = a.missed(w, r)
	}
	if out := (&Response{ResponseWriter: w}); err != nil {
		out.reply(0, nil, err)
	} else {
		a.mux.ServeHTTP(out, r)
	}
}

// takes reports whether the API has an endpoint for the request. For an unclean
// path, such as /v1/../v1/, it returns false: for such a path, the mux has only a
// handler that redirects the request.
func (a *API) takes(r *http.Request) bool {
	h, _ := a.mux.Handler(r)
	_, ok := h.(Endpoint)
	return ok
}

// missed returns the error for a request without an endpoint: 405 if the path
// exists with other methods, and 404 otherwise.
func (a *API) missed(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		other := *r
		if other.Method = method; a.takes(&other) {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return Fail(http.StatusNotFound, "the %s API has no %.200q; %s", a.Name, r.URL.Path, a.Help)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return Fail(http.StatusMethodNotAllowed, "%.200q takes %s, not %.20q", r.URL.Path, strings.Join(allowed, ", "), r.Method)
}

// authenticate returns an error unless the request has the token.
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && a.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(a.Token)) == 1 {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+a.Name+`"`)
	return Fail(http.StatusUnauthorized, "send the token that the command printed: Authorization: Bearer TOKEN")
}

// refuse returns an error if a web page of another host may have sent the request.
func (a *API) refuse(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	// DNS rebinding needs a host name, so an IP address is safe, and a web page
	// cannot connect to a Unix socket.
	socket := local != nil && local.Network() == "unix"
	if !socket && net.ParseIP(host) == nil && !names.Loopback(host) && !slices.Contains(a.Hosts, host) {
		return Fail(http.StatusForbidden, "%.200q is not a name of the %s API; use its address", r.Host, a.Name)
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	for _, origin := range r.Header.Values("Origin") {
		if socket || !strings.EqualFold(origin, scheme+r.Host) {
			return Fail(http.StatusForbidden, "the %s API takes no requests from web pages of %.200q", a.Name, origin)
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return Fail(http.StatusForbidden, "the %s API takes no requests from web pages of another site", a.Name)
	}
	return nil
}
