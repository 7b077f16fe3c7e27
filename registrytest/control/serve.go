package control

import (
	"bytes"
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
	pattern string // of an [http.ServeMux]
	serve   func(*Control, http.ResponseWriter, *http.Request) error
}

// routes returns all endpoints.
func routes() []route {
	return slices.Concat([]route{
		{"GET /v1/{$}", (*Control).about},
		{"GET /v1/openapi.json", (*Control).describe},
		{"GET /v1/registry/{path...}", (*Control).browse},
	}, ruleRoutes, requestRoutes, contentRoutes, stateRoutes, outageRoutes)
}

// An apiError is an error with the status of its response.
type apiError struct {
	status   int
	text     string
	position *int // in the text of a rule, or nil
}

func (e *apiError) Error() string { return e.text }

func fail(status int, format string, args ...any) error {
	return &apiError{status: status, text: fmt.Sprintf(format, args...)}
}

// notFound is the error for an ID that does not exist.
func notFound(noun, id string) error {
	return fail(http.StatusNotFound, "there is no %s %.100q; it may have been removed by a reset", noun, id)
}

// handler returns the API, with the page.
func (c *Control) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, hr *http.Request) {
			c.answer(w, r.serve(c, w, hr))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := c.refuse(r); err != nil {
			c.answer(w, err)
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
			c.answer(w, fail(http.StatusUnauthorized, "send the token that the command has printed: Authorization: Bearer TOKEN"))
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			c.answer(w, missed(mux, w, r))
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

// answer writes the error, if it is not nil.
func (c *Control) answer(w http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	e := &apiError{status: http.StatusInternalServerError, text: err.Error()}
	if !errors.As(err, &e) && errors.Is(err, fs.ErrNotExist) {
		e.status = http.StatusNotFound
	}
	var body struct {
		Error    string `json:"error"`
		Position *int   `json:"position,omitempty"`
	}
	body.Error, body.Position = e.text, e.position
	reply(w, e.status, body)
}

// reply writes a response in JSON.
func reply(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return encode(w, v)
}

// encode writes a value in a line of JSON.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// maxBody is the size in bytes of the largest body in JSON or text.
const maxBody = 1 << 20

// readBody returns the body of a request without the spaces around it.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fail(http.StatusBadRequest, "reading the body: %v", err)
	case len(body) > maxBody:
		return nil, fail(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxBody)
	}
	return bytes.TrimSpace(body), nil
}

// decode decodes a body, which is one object in JSON or, if it may be left out,
// empty.
func decode(body []byte, optional bool, v any) error {
	if len(body) == 0 && optional {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.Decode(new(json.RawMessage)) != io.EOF {
		err = errors.New("there is more than one value")
	}
	if err != nil {
		return fail(http.StatusBadRequest, "the body is not the JSON that this request needs: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// query returns the parameters of a request. An error says that one is not among
// those known.
func query(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "the query is not valid: %v", err)
	}
	for name := range values {
		if !slices.Contains(known, name) {
			return nil, fail(http.StatusBadRequest, "no parameter is called %.100q; the parameters are %s", name, strings.Join(known, ", "))
		}
	}
	return values, nil
}

// is reports whether a parameter is given, and not as false.
func is(q url.Values, name string) bool {
	return q.Has(name) && q.Get(name) != "false" && q.Get(name) != "0"
}

// duration returns the duration in a parameter, or the default if there is none.
func duration(q url.Values, name string, d time.Duration) (time.Duration, error) {
	if !q.Has(name) {
		return d, nil
	}
	d, err := time.ParseDuration(q.Get(name))
	if err != nil || d < 0 {
		return 0, fail(http.StatusBadRequest, "%s=%.100q is not a duration, such as 5s", name, q.Get(name))
	}
	return d, nil
}

// about serves GET /v1/.
func (c *Control) about(w http.ResponseWriter, r *http.Request) error {
	type registryInfo struct {
		Name    string `json:"name"`
		URL     string `json:"url"`
		CA      string `json:"ca,omitempty"`
		Profile string `json:"profile,omitempty"`
	}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	c.outage.Lock()
	listener := c.listener
	c.outage.Unlock()
	_, host, _ := strings.Cut(c.URL, "://")
	return reply(w, http.StatusOK, map[string]any{
		"version":    version,
		"listener":   listener,
		"now":        c.now().Format(time.RFC3339Nano),
		"registries": []registryInfo{{host, c.URL, c.CA, c.Profile}},
	})
}

// describe serves GET /v1/openapi.json.
func (c *Control) describe(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(openAPI)
	return err
}

// browsePath is the path below which the API of the registry is served.
const browsePath = "/v1/registry"

// browse serves GET /v1/registry/v2/…: the content of the registry, without its
// faults, its journal and its users.
func (c *Control) browse(w http.ResponseWriter, r *http.Request) error {
	registry.New(c.reg.Store, registry.WithReadOnly(), registry.WithPathPrefix(browsePath)).ServeHTTP(w, r)
	return nil
}
