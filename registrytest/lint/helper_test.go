package lint

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

// A script sends the requests of a client to a registry that has the options of a
// linter.
type script struct {
	t       *testing.T
	journal journal.Journal
	handler http.Handler
	store   registry.Store
}

// newScript returns a script that sends requests to a new, empty registry.
func newScript(t *testing.T, opts ...registry.Option) *script {
	s := &script{t: t, store: memstore.New()}
	opts = append([]registry.Option{
		registry.WithRecorder(&s.journal),
		registry.WithMiddleware(new(states).middleware),
	}, opts...)
	s.journal.ReadManifests()
	s.handler = s.journal.Handler(registry.New(s.store, opts...))
	return s
}

// recorded returns the records, which get numbers and default values, as Requests.
func recorded(records ...journal.Record) journal.Requests {
	list := make([]*journal.Record, len(records))
	for i := range records {
		list[i] = &records[i]
		list[i].Number = i + 1
		if list[i].Method == "" {
			list[i].Method = "GET"
		}
		if list[i].URL == nil {
			list[i].URL = &url.URL{Scheme: "http", Host: "127.0.0.1:4321", Path: "/v2/"}
		}
	}
	return journal.NewRequests(list...)
}

// A message is a request that a script sends.
type message struct {
	method, url string
	header      http.Header
	body        string
	unannounced bool // whether the request has no Content-Length
}

// send sends a request and returns the header of the response. Header has pairs of
// names and values.
func (s *script) send(method, target, body string, header ...string) http.Header {
	s.t.Helper()
	m := message{method, target, http.Header{}, body, false}
	for i := 0; i < len(header); i += 2 {
		m.header.Add(header[i], header[i+1])
	}
	return s.sendMessage(m)
}

func (s *script) sendMessage(m message) http.Header {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), m.method, "http://registry.test"+strings.TrimPrefix(m.url, "http://registry.test"), strings.NewReader(m.body))
	require.NoError(s.t, err)
	r.RequestURI = r.URL.RequestURI()
	r.Header = m.header
	if m.unannounced {
		r.ContentLength = -1
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
				panic(cause)
			}
		}()
		s.handler.ServeHTTP(w, r)
	}()
	return w.Header()
}

// withParam returns the URL with the query parameter added or replaced.
func withParam(location, name, value string) string {
	u, err := url.Parse(location)
	if err != nil {
		panic(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

const (
	uploads   = "/v2/app/blobs/uploads/"
	manifests = "/v2/app/manifests/"
	octets    = "application/octet-stream"
	testType  = "application/vnd.oci.image.manifest.v1+json"
)

func (s *script) start() string { return s.send("POST", uploads, "").Get("Location") }

// chunk sends a chunk with PATCH, and returns the Location of the response.
func (s *script) chunk(location, content string, contentRange string) string {
	return s.send("PATCH", location, content, "Content-Type", octets, "Content-Range", contentRange).Get("Location")
}

// finish closes an upload session with a PUT that has the content and its digest.
func (s *script) finish(location, content string) {
	s.send("PUT", withParam(location, "digest", dig(content)), content, "Content-Type", octets)
}

// close closes an upload session whose content has been sent in chunks.
func (s *script) close(location, content string) {
	s.send("PUT", withParam(location, "digest", dig(content)), "")
}

// put pushes a manifest, after putting its blobs into the store without a request.
func (s *script) put(c content.Content, ref string, header ...string) {
	for b := range c.Blobs() {
		require.NoError(s.t, content.PutBlob(s.t.Context(), s.store, "app", b))
	}
	s.send("PUT", manifests+ref, string(c.Manifest), header...)
}

// pushTags puts the tags a, b and c of repository app into the store.
func (s *script) pushTags() {
	for _, tag := range []string{"a", "b", "c"} {
		require.NoError(s.t, content.Put(s.t.Context(), s.store, "app:"+tag, content.Image()))
	}
}

// nextLink returns the URL in the Link of a header.
func nextLink(h http.Header) string {
	target, _, _ := strings.Cut(strings.TrimPrefix(h.Get("Link"), "<"), ">")
	return target
}

func dig(content string) string { return string(digest.FromString(content)) }

// challenge makes the registry refuse requests without credentials, with a challenge.
func challenge() registry.Option {
	return registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Header.Get("Authorization") == "" {
				e := registry.Errorf(registry.CodeUnauthorized, "authentication required")
				e.Header = http.Header{"Www-Authenticate": {`Basic realm="x"`}}
				return e
			}
			return next(w, r)
		}
	})
}

// busy makes the registry respond to the first request with the status and a
// Retry-After.
func busy(status int, after string) registry.Option {
	first := true
	return registry.WithFaults(func(*registry.Request) *registry.Fault {
		if !first {
			return nil
		}
		first = false
		return &registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error {
			return &registry.Error{Code: registry.CodeTooManyRequests, Status: status, Header: http.Header{"Retry-After": {after}}}
		}}
	})
}

// failing makes the registry inject a fault into the first request for the operation.
func failing(op registry.Op, f registry.Fault) registry.Option {
	done := false
	return registry.WithFaults(func(r *registry.Request) *registry.Fault {
		if r.Op != op || done {
			return nil
		}
		done = true
		return &f
	})
}

func reset(http.ResponseWriter, *registry.Request) error { return registry.ResetConnection }

// movedTo returns a fault that puts an origin in front of the path in Location.
func movedTo(origin string) registry.Fault {
	return registry.Fault{Header: func(status int, h http.Header) int {
		h.Set("Location", origin+h.Get("Location"))
		return status
	}}
}

func unavailable(http.ResponseWriter, *registry.Request) error { return errors.New("out of order") }

// A ruleTest tests a rule with requests that keep it or break it.
type ruleTest struct {
	rule Rule
	name string
	opts []registry.Option
	lint Linter
	do   func(s *script)
	want string // the request's number and the beginning of the finding's text, or "" for no finding
}

func testRules(t *testing.T, tests []ruleTest) {
	t.Parallel()
	for _, c := range tests {
		t.Run(fmt.Sprintf("%s, %s", c.rule, c.name), func(t *testing.T) {
			t.Parallel()
			// The clock of a bubble begins at the start of the year 2000.
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, c.opts...)
				c.do(s)
				c.lint.Rules = []Rule{c.rule}
				var found []string
				for _, f := range c.lint.Lint(s.journal.Requests()) {
					require.Equal(t, c.rule, f.Rule)
					found = append(found, fmt.Sprintf("%d: %s", f.Record.Number, f.Text))
				}
				if c.want == "" {
					require.Empty(t, found)
				} else {
					require.Len(t, found, 1)
					require.True(t, strings.HasPrefix(found[0], c.want), "%q should begin with %q", found[0], c.want)
				}
				c.lint.Except = []Rule{c.rule}
				require.Empty(t, c.lint.Lint(s.journal.Requests()))
			})
		})
	}
}
