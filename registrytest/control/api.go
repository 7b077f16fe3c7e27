package control

import (
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

//go:embed openapi.json
var openAPI []byte

// A route is an endpoint of the API.
type route struct {
	pattern    string  // of an [http.ServeMux]
	status     int     // of a response without an error, or 0 if serve writes it
	parameters string  // in the query, with spaces between them; * is any
	serve      handler // returns the object in the response
}

type handler func(*Control, *call) (any, error)

// routes are all endpoints.
var routes = []route{
	{"GET /v1/{$}", 200, "", (*Control).about},
	{"GET /v1/openapi.json", 200, "", (*Control).describe},
	{"GET /v1/registry/{path...}", 0, "*", (*Control).browse},

	{"POST /v1/faults", 201, "session", (*Control).addRule},
	{"GET /v1/faults", 200, "session", (*Control).list},
	{"DELETE /v1/faults", 204, "session check", (*Control).remove},
	{"GET /v1/faults/{id}", 200, "", one((*Control).get)},
	{"DELETE /v1/faults/{id}", 204, "check", (*Control).remove},

	{"POST /v1/holds", 201, "session", (*Control).addRule},
	{"GET /v1/holds", 200, "session", (*Control).list},
	{"DELETE /v1/holds", 204, "session check", (*Control).remove},
	{"GET /v1/holds/{id}", 200, "wait count", one((*Control).get)},
	{"DELETE /v1/holds/{id}", 204, "check", (*Control).remove},
	{"POST /v1/holds/{id}/release", 200, "", one((*Control).release)},

	{"GET /v1/requests", 0, properties + " " + flags + " since session wait timeout follow format bodies", (*Control).requests},
	{"DELETE /v1/requests", 200, "session", (*Control).forget},
	{"GET /v1/findings", 200, "session since", (*Control).findings},

	{"GET /v1/content", 0, "repo", (*Control).export},
	{"PUT /v1/content", 200, "", (*Control).replaceContent},
	{"POST /v1/content", 201, "", (*Control).addContent},

	{"POST /v1/tamper", 201, "", body((*Control).tamper)},
	{"GET /v1/tamper", 200, "", (*Control).list},
	{"DELETE /v1/tamper", 204, "check", (*Control).remove},
	{"DELETE /v1/tamper/{id}", 204, "check", (*Control).remove},

	{"POST /v1/snapshots", 201, "", body((*Control).takeSnapshot)},
	{"GET /v1/snapshots", 200, "", (*Control).list},
	{"POST /v1/snapshots/{id}/restore", 200, "session", one((*Control).restoreSnapshot)},
	{"DELETE /v1/snapshots/{id}", 204, "", (*Control).remove},

	{"PUT /v1/users/{name}", 200, "config", body((*Control).putUser)},
	{"DELETE /v1/users/{name}", 204, "", (*Control).revoke},
	{"DELETE /v1/tokens", 204, "", (*Control).expireTokens},
	{"POST /v1/clock", 200, "", body((*Control).advance)},
	{"POST /v1/listener/{action}", 200, "", body((*Control).listen)},
	{"POST /v1/reset", 204, "session", body((*Control).reset)},
}

// body returns the handler of a request with an object in JSON, or with no body.
func body[T any](serve func(*Control, *call, T) (any, error)) handler {
	return func(c *Control, r *call) (any, error) {
		var in T
		text, err := r.text()
		if err == nil && text != "" {
			err = decode(text, &in)
		}
		if err != nil {
			return nil, err
		}
		return serve(c, r, in)
	}
}

// An endpoint is a route of a Control.
type endpoint struct {
	route
	*Control
}

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := w.(*response)
	c, err := newCall(out, r, e.parameters)
	var object any
	if err == nil {
		object, err = e.serve(e.Control, c)
	}
	var own *apiError
	if err != nil && e.behind() && !errors.As(err, &own) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		err = fail(http.StatusBadGateway, "the registry behind this one: %w", err)
	}
	out.reply(e.status, object, err)
}

// handler returns the API, with the page.
func (c *Control) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.pattern, endpoint{rt, c})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := c.refuse(r)
		if api := r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/"); err == nil && !api && c.Page != nil {
			c.Page.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
		if err == nil {
			err = c.authenticate(w, r)
		}
		if err == nil && !takes(mux, r) {
			err = missed(mux, w, r)
		}
		if out := (&response{ResponseWriter: w}); err != nil {
			out.reply(0, nil, err)
		} else {
			mux.ServeHTTP(out, r)
		}
	})
}

// takes reports whether an endpoint takes the request. The mux would redirect a
// request for a path such as /v1/../v1/.
func takes(mux *http.ServeMux, r *http.Request) bool {
	h, _ := mux.Handler(r)
	_, ok := h.(endpoint)
	return ok
}

// missed returns the error for a request that no endpoint takes.
func missed(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		other := *r
		if other.Method = method; takes(mux, &other) {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return fail(http.StatusNotFound, "the control API has no %.200q; GET /v1/openapi.json lists its requests", r.URL.Path)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return fail(http.StatusMethodNotAllowed, "%.200q takes %s, not %.20q", r.URL.Path, strings.Join(allowed, ", "), r.Method)
}

// authenticate returns an error for a request without the token.
func (c *Control) authenticate(w http.ResponseWriter, r *http.Request) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(token), []byte(c.Config.Token)) == 1 {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="control"`)
	return fail(http.StatusUnauthorized, "send the token that the command has printed: Authorization: Bearer TOKEN")
}

// refuse returns an error for a request that a web page of another host may have
// sent.
func (c *Control) refuse(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	// No page chooses an IP address as its own name, and no page reaches a socket.
	socket := local != nil && local.Network() == "unix"
	if !socket && net.ParseIP(host) == nil && !names.Loopback(host) && !slices.Contains(c.Hosts, host) {
		return fail(http.StatusForbidden, "%.200q is no name of the control API; use its address", r.Host)
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	for _, origin := range r.Header.Values("Origin") {
		if socket || !strings.EqualFold(origin, scheme+r.Host) {
			return fail(http.StatusForbidden, "the control API takes no requests from web pages of %.200q", origin)
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return fail(http.StatusForbidden, "the control API takes no requests from web pages of another site")
	}
	return nil
}

// describe serves GET /v1/openapi.json.
func (c *Control) describe(*call) (any, error) { return json.RawMessage(openAPI), nil }

// browse serves GET /v1/registry/v2/…: the content of the registry, without its
// faults, its journal and its users.
func (c *Control) browse(r *call) (any, error) {
	registry.New(c.reg.Store, registry.WithReadOnly(), registry.WithPathPrefix("/v1/registry")).ServeHTTP(r.w.ResponseWriter, r.Request)
	return nil, nil
}
