package control

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

//go:embed openapi.json
var openAPI []byte

// A route is an endpoint of the API.
type route struct {
	pattern    string // of an [http.ServeMux]
	parameters string // in the query, with spaces between them

	// serve returns the object in the response, which is 201 if it is a created
	// and 204 if it is nil. If the object is a written, serve has responded.
	serve func(*Control, *call) (any, error)
}

type (
	created struct{ object any }
	written struct{}
)

// A call is a request to the API.
type call struct {
	*http.Request
	w       http.ResponseWriter
	query   url.Values
	session session // in the query
}

// routes returns all endpoints.
func routes() []route {
	return slices.Concat([]route{
		{"GET /v1/{$}", "", (*Control).about},
		{"GET /v1/openapi.json", "", (*Control).describe},
		{"GET /v1/registry/{path...}", "*", (*Control).browse},
	}, ruleRoutes("faults"), ruleRoutes("holds"), requestRoutes, contentRoutes, stateRoutes, outageRoutes)
}

// handler returns the API, with the page.
func (c *Control) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes() {
		mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) {
			call, err := newCall(w, r, rt.parameters)
			var object any
			if err == nil {
				object, err = rt.serve(c, call)
				err = c.blame(err)
			}
			switch out := object.(type) {
			case written:
			case created:
				reply(w, http.StatusCreated, out.object, err)
			case nil:
				reply(w, http.StatusNoContent, nil, err)
			default:
				reply(w, http.StatusOK, out, err)
			}
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := c.refuse(r); err != nil {
			reply(w, 0, nil, err)
			return
		}
		api := r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/")
		if !api && c.Page != nil {
			c.Page.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(token), []byte(c.Config.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="control"`)
			reply(w, 0, nil, fail(http.StatusUnauthorized, "send the token that the command has printed: Authorization: Bearer TOKEN"))
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			reply(w, 0, nil, missed(mux, w, r))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// missed returns the error for a request that no route takes.
func missed(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return fail(http.StatusNotFound, "the control API has no %.200q; GET /v1/openapi.json lists its requests", r.URL.Path)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return fail(http.StatusMethodNotAllowed, "%.200q takes %s, not %.20s", r.URL.Path, strings.Join(allowed, ", "), r.Method)
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

// An apiError is an error with the status of its response.
type apiError struct {
	status   int
	Text     string `json:"error"`
	Position *int   `json:"position,omitempty"` // in the text of a rule
}

func (e *apiError) Error() string { return e.Text }

func fail(status int, format string, args ...any) error {
	return &apiError{status: status, Text: fmt.Sprintf(format, args...)}
}

// notFound is the error for an ID that does not exist.
func notFound(noun, id string) error {
	return fail(http.StatusNotFound, "there is no %s %.100q; a reset may have removed it", noun, id)
}

// blame returns the error, with the status 502 if it is one of the registry behind
// this one.
func (c *Control) blame(err error) error {
	switch {
	case err == nil || !c.behind() || errors.As(err, new(*apiError)):
		return err
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported):
		return err
	}
	return fail(http.StatusBadGateway, "the registry behind this one: %v", err)
}

// reply writes the error or, if it is nil, the object.
func reply(w http.ResponseWriter, status int, object any, err error) {
	if err != nil {
		e := &apiError{status: http.StatusInternalServerError, Text: err.Error()}
		switch {
		case errors.As(err, &e):
		case errors.Is(err, fs.ErrNotExist):
			e.status = http.StatusNotFound
		case errors.Is(err, errors.ErrUnsupported):
			e.status = http.StatusConflict
		}
		status, object = e.status, e
	}
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(object)
}

// newCall returns a request whose query has only the parameters, which may be "*"
// for any.
func newCall(w http.ResponseWriter, r *http.Request, parameters string) (c *call, err error) {
	c = &call{Request: r, w: w}
	if parameters == "*" {
		return c, nil
	}
	if c.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, fail(http.StatusBadRequest, "the query is not valid: %v", err)
	}
	for name := range c.query {
		if !slices.Contains(strings.Fields(parameters), name) {
			return nil, fail(http.StatusBadRequest, "this request has no parameter %.100q; it has: %s", name, cmp.Or(parameters, "none"))
		}
	}
	c.session, err = parseSession(c.query.Get("session"))
	return c, err
}

// maxBody is the size in bytes of the largest body that is JSON or text.
const maxBody = 1 << 20

// text returns the body without the spaces around it.
func (r *call) text() (string, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return "", fail(http.StatusBadRequest, "reading the body: %v", err)
	case len(body) > maxBody:
		return "", fail(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxBody)
	}
	return string(bytes.TrimSpace(body)), nil
}

// decode decodes the body, which is one object in JSON or empty.
func (r *call) decode(v any) error {
	text, err := r.text()
	if err != nil {
		return err
	}
	return decode(text, v)
}

func decode(text string, v any) error {
	if text == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && (text[0] != '{' || d.Decode(new(json.RawMessage)) != io.EOF) {
		err = errors.New("it is not one object")
	}
	if err != nil {
		return fail(http.StatusBadRequest, "the body is not the JSON of this request: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// is reports whether a parameter is given, and not as false.
func (r *call) is(name string) bool {
	return r.query.Has(name) && r.query.Get(name) != "false" && r.query.Get(name) != "0"
}

// list returns the values of a parameter, which commas separate.
func (r *call) list(name string) (list []string) {
	for _, v := range r.query[name] {
		list = append(list, strings.Split(v, ",")...)
	}
	return list
}

// duration returns the duration in a parameter, or d if there is none.
func (r *call) duration(name string, d time.Duration) (time.Duration, error) {
	if !r.query.Has(name) {
		return d, nil
	}
	d, err := time.ParseDuration(r.query.Get(name))
	if err != nil || d < 0 {
		return 0, fail(http.StatusBadRequest, "%s=%.100q is not a duration, such as 5s", name, r.query.Get(name))
	}
	return d, nil
}

// about serves GET /v1/.
func (c *Control) about(*call) (any, error) {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
	}
	c.outage.Lock()
	defer c.outage.Unlock()
	reg := map[string]string{"name": c.host(), "url": c.URL}
	for name, value := range map[string]string{"ca": c.CA, "profile": c.Profile} {
		if value != "" {
			reg[name] = value
		}
	}
	return map[string]any{"version": version, "listener": c.listener, "now": c.now(), "registries": []any{reg}}, nil
}

// describe serves GET /v1/openapi.json.
func (c *Control) describe(*call) (any, error) { return json.RawMessage(openAPI), nil }

// browse serves GET /v1/registry/v2/…: the content of the registry, without its
// faults, its journal and its users.
func (c *Control) browse(r *call) (any, error) {
	registry.New(c.reg.Store, registry.WithReadOnly(), registry.WithPathPrefix("/v1/registry")).ServeHTTP(r.w, r.Request)
	return written{}, nil
}
