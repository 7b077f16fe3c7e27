package conformance_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// A broken registry violates the spec in one way. The check must fail for exactly
// the requirements whose names are in found. If found is nil, the registry violates
// nothing.
type broken struct {
	name    string
	handler http.Handler
	found   []string
}

func TestBrokenRegistriesAreFound(t *testing.T) {
	t.Parallel()
	unproven := map[string]bool{}
	for _, r := range conformance.Requirements() {
		unproven[r.Name] = true
	}
	test := func(tt broken, without ...registry.Feature) {
		for _, name := range tt.found {
			delete(unproven, name)
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := directly(tt.handler)
			target.ManifestLimit = 4 << 20
			target.Without = without
			// To save time, check only the categories of the requirements in
			// found.
			categories := map[string]bool{}
			for _, r := range conformance.Requirements() {
				categories[r.Category] = categories[r.Category] || slices.Contains(tt.found, r.Name)
			}
			failures := checkAll(target, func(r conformance.Requirement) bool {
				return !slices.Contains(tt.found, r.Name) && (large(r) || !categories[r.Category] && tt.found != nil)
			})
			slices.Sort(tt.found)
			require.Equal(t, tt.found, slices.Sorted(maps.Keys(failures)), "%s", strings.Join(slices.Collect(maps.Values(failures)), "\n"))
		})
	}
	for _, tt := range slices.Concat(brokenAPIs(), brokenPulls(), brokenBlobPushes(), brokenManifestPushes(), brokenLists(), brokenReferrers(), brokenDeletions()) {
		test(tt)
	}
	test(broken{"registry has the features that it claims to lack", good(), []string{
		"OCI-Subject is absent without the referrers API", "anonymous mount starts an upload if unsupported",
		"deleting a blob is 400 or 405 if disabled", "deleting a manifest is 400 or 405 if disabled", "deleting a tag is 400 or 405 if disabled",
		"mount starts an upload if unsupported", "referrers are 404 if the API is unsupported", "single POST is 202 if unsupported",
	}}, registry.ListReferrers, registry.AnonymousMount, registry.DeleteBlob, registry.DeleteManifest,
		registry.DeleteTag, registry.MountBlob, registry.PostBlob)
	// TestFailureNamesTheStepThatFailed shows that this requirement can fail. A
	// registry that violates it violates most others, too.
	delete(unproven, "upload starts with 202 and Location")
	require.Empty(t, unproven, "no broken registry violates these requirements")
}

// good returns a correct registry on an empty memstore.
func good(opts ...registry.Option) http.Handler { return registry.New(memstore.New(), opts...) }

// path returns a function that reports whether a request has the method and the
// text in its path. The method "" stands for any.
func path(method, text string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.Contains(r.URL.Path, text)
	}
}

// when returns a correct registry, except that the function serve responds to each
// request r for which is(r) is true.
func when(is func(*http.Request) bool, serve func(w http.ResponseWriter, r *http.Request, good http.Handler), opts ...registry.Option) http.Handler {
	h := good(opts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if is(r) {
			serve(w, r, h)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// record calls the handler and returns the recorded response.
func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// replay writes a recorded response.
func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// setBody replaces the body of a recorded response.
func setBody(rec *httptest.ResponseRecorder, body string) {
	rec.Body = bytes.NewBufferString(body)
	rec.Header().Del("Content-Length")
}

// edit returns a correct registry, except that it edits requests with the method
// and the text in their path, and the responses to them.
func edit(method, text string, response func(*httptest.ResponseRecorder), requests ...func(*http.Request)) http.Handler {
	return when(path(method, text), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		for _, edit := range requests {
			edit(r)
		}
		rec := record(h, r)
		response(rec)
		replay(w, rec)
	})
}

// request returns a correct registry, except that the function edit changes each
// request first.
func request(edit func(*http.Request)) http.Handler {
	return when(path("", ""), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		edit(r)
		h.ServeHTTP(w, r)
	})
}

// query returns a correct registry, except that it ignores the named query
// parameter.
func query(name string) http.Handler {
	return request(func(r *http.Request) {
		if q := r.URL.Query(); q.Has(name) {
			q.Del(name)
			r.URL.RawQuery = q.Encode()
		}
	})
}

// respond returns a function for when that responds with the status and no body.
func respond(status int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(status) }
}

// status returns a correct registry, except that it responds with the status to
// requests with the method and the text in their path.
func status(method, text string, status int) http.Handler {
	is := path(method, text)
	if text == "/v2/" {
		is = func(r *http.Request) bool { return r.Method == method && r.URL.Path == text }
	}
	return when(is, respond(status))
}

// statusOf returns a correct registry, except that it replaces one status by
// another in responses to requests with the method and the text in their path.
func statusOf(method, text string, from, to int) http.Handler {
	return edit(method, text, func(rec *httptest.ResponseRecorder) {
		if rec.Code == from {
			rec.Code = to
		}
	})
}

// without returns a correct registry, except that responses to requests with the
// method and the text in their path lack the named header field.
func without(name, method, text string, opts ...registry.Option) http.Handler {
	return when(path(method, text), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		h.ServeHTTP(dropping{w, name}, r)
	}, opts...)
}

// A dropping is a ResponseWriter that removes a header field from the response.
type dropping struct {
	http.ResponseWriter
	name string
}

func (d dropping) WriteHeader(status int) {
	d.Header().Del(d.name)
	d.ResponseWriter.WriteHeader(status)
}

// header returns a correct registry, except that it sets the named header field
// of successful responses to requests with the method and the text in their
// path.
func header(method, text, name, value string) http.Handler {
	return edit(method, text, func(rec *httptest.ResponseRecorder) {
		if rec.Code < 300 {
			rec.Header().Set(name, value)
		}
	})
}

// redirected returns a copy of the request with another path.
func redirected(r *http.Request, path string) *http.Request {
	c := r.Clone(r.Context())
	c.URL.Path, c.URL.RawPath = path, ""
	return c
}

// lookup sends the handler a GET request for the path and returns the response.
func lookup(h http.Handler, path string) *httptest.ResponseRecorder {
	return record(h, httptest.NewRequest("GET", (&url.URL{Path: path}).String(), nil))
}

// body reads the body of the request and replaces it by a copy.
func body(r *http.Request) []byte {
	content, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(content))
	return content
}

// manifestPath splits the URL path of a manifest into its reference and the part
// before it.
func manifestPath(r *http.Request) (before, reference string) {
	at := strings.LastIndex(r.URL.Path, "/") + 1
	return r.URL.Path[:at], r.URL.Path[at:]
}
