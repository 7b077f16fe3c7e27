package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// If a request has a part of a megabyte, the errors in the response and in the
// records quote only its beginning.
func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	var recorded []*registry.Error
	h := inMemory(t, registry.WithManifestLimit(4<<20), registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { recorded = x.Errors })))
	m := h.pushImage("app", "v1")
	blob := "/v2/app/blobs/" + string(sum("layer"))
	session := h.start("app")
	long := strings.Repeat("x", 1<<20)
	for name, r := range map[string][]string{
		"a repository":          {"GET", "/v2/" + long + "/tags/list"},
		"a bad repository":      {"GET", "/v2/" + strings.Repeat("<", 1<<20) + "/tags/list"},
		"a tag":                 {"GET", "/v2/app/manifests/" + long},
		"a tag to push":         {"PUT", "/v2/app/manifests/" + long, m},
		"a bad digest":          {"GET", "/v2/app/blobs/x:" + strings.Repeat("/", 1<<20)},
		"a digest":              {"GET", "/v2/app/blobs/x:" + long},
		"the algorithm":         {"GET", "/v2/app/blobs/" + long + ":" + long},
		"a digest to push":      {"PUT", "/v2/app/manifests/x:" + long, m},
		"a digest to delete":    {"DELETE", "/v2/app/manifests/x:" + long},
		"a digest of an upload": {"PUT", session + "?digest=x:" + long},
		"an algorithm":          {"POST", "/v2/app/blobs/uploads/?digest-algorithm=" + long},
		"a session":             {"PATCH", "/v2/app/blobs/uploads/" + long, "x"},
		"a session's status":    {"GET", "/v2/app/blobs/uploads/" + long},
		"the parameter n":       {"GET", "/v2/app/tags/list?n=" + long},
		"the parameter last":    {"GET", "/v2/app/referrers/" + string(sum(m)) + "?last=" + long},
		"the parameter tag":     {"PUT", "/v2/app/manifests/" + string(sum(m)) + "?tag=" + long, m},
		"the query":             {"GET", "/v2/app/tags/list?%" + long},
		"Range":                 {"GET", blob, "", "Range", "bytes=" + long},
		"If-Match":              {"GET", blob, "", "If-Match", long},
		"If-Match of a write":   {"DELETE", "/v2/app/manifests/v1", "", "If-Match", long},
		"Content-Range":         {"PATCH", session, "x", "Content-Range", long},
		"Content-Type":          {"PUT", "/v2/app/manifests/v2", m, "Content-Type", long + " x"},
		"a type":                {"PUT", "/v2/app/manifests/v2", `{"mediaType":"` + long + `"}`},
		"a type and another":    {"PUT", "/v2/app/manifests/v2", `{"mediaType":"` + long + `"}`, "Content-Type", "a/b"},
		"a field twice":         {"PUT", "/v2/app/manifests/v2", `{"` + long + `":1,"` + long + `":1}`, "Content-Type", imageType},
		"a number":              {"PUT", "/v2/app/manifests/v2", `{"schemaVersion":1` + strings.Repeat("0", 1<<20) + `}`, "Content-Type", imageType},
		"a digest in a manifest": {"PUT", "/v2/app/manifests/v2", `{"schemaVersion":2,"layers":[],"config":{"mediaType":"a/b","size":1,"digest":"x:` + long + `"}}`,
			"Content-Type", imageType},
		"a bad digest in it": {"PUT", "/v2/app/manifests/v2", `{"schemaVersion":2,"layers":[],"config":{"mediaType":"a/b","size":1,"digest":"` + long + `"}}`,
			"Content-Type", imageType},
		"a negative size": {"PUT", "/v2/app/manifests/v2", `{"schemaVersion":2,"layers":[],"config":{"mediaType":"a/b","size":-1,"digest":"x:` + long + `"}}`,
			"Content-Type", imageType},
	} {
		body, header := "", []string(nil)
		if len(r) > 2 {
			body, header = r[2], r[3:]
		}
		w := h.call(r[0], r[1], body, header...)
		require.GreaterOrEqual(t, w.Code, 400, name)
		require.Less(t, w.Code, 500, name)
		require.Less(t, w.Body.Len(), 25_000, name) // In JSON, each < takes six bytes.
		require.NotEmpty(t, recorded, name)
		for _, e := range recorded {
			require.LessOrEqual(t, len(e.Message), 4096, name)
		}
	}
}

// If a middleware returns a long message, the registry shortens it without
// cutting a character in half.
func TestLongMessageIsShortened(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithMiddleware(func(registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			return &registry.Error{Code: registry.CodeDenied, Message: "x" + strings.Repeat("ä", 4096), Detail: map[string]string{"name": strings.Repeat("n", 5000)}}
		}
	}))
	w := h.wantError(403, h.call("GET", "/v2/", ""), registry.CodeDenied)
	require.Equal(t, "x"+strings.Repeat("ä", 2046)+"…", errorIn(t, w).Message)
	require.Equal(t, map[string]any{"name": strings.Repeat("n", 4093) + "…"}, errorIn(t, w).Detail)
}

// errorIn returns the first error in the response.
func errorIn(t *testing.T, w *httptest.ResponseRecorder) registry.Error {
	t.Helper()
	var body struct{ Errors []registry.Error }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	return body.Errors[0]
}

// A response has at most 100 errors, even if a manifest names 5,000 missing
// blobs.
func TestManyErrors(t *testing.T) {
	overStores(t, func(t *registryTest) {
		descriptors := func(n int) string {
			all := make([]string, n)
			for i := range all {
				all[i] = fmt.Sprintf(`{"mediaType":"a/b","size":1,"digest":%q}`, sum(fmt.Sprint("missing ", i)))
			}
			return "[" + strings.Join(all, ",") + "]"
		}
		config := fmt.Sprintf(`{"mediaType":"a/b","size":1,"digest":%q}`, sum("missing"))
		for n, want := range map[int]int{98: 99, 99: 100, 100: 100, 5000: 100} {
			codes := make([]registry.Code, want)
			for i := range codes {
				codes[i] = registry.CodeManifestBlobUnknown
			}
			t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", `{"schemaVersion":2,"config":`+config+`,"layers":`+descriptors(n)+`}`, "Content-Type", imageType), codes...)
			index := `{"schemaVersion":2,"manifests":` + descriptors(n+1) + `}`
			t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", index, "Content-Type", indexType), codes...)
		}
	})
}

// If a push sets thousands of tags, OCI-Tag has several lines of at most 4096
// bytes.
func TestManyTagsInParameters(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	m := h.image("app")
	path := "/v2/app/manifests/" + string(sum(m)) + "?tag="
	tags := make([]string, 10_001)
	for i := range tags {
		tags[i] = fmt.Sprintf("v%04d", i)
	}
	put := func(query string) *httptest.ResponseRecorder {
		return h.call("PUT", path+query, m, "Content-Type", imageType)
	}
	lines := h.want(201, put(strings.Join(tags[:5000], "&tag="))).Header().Values("OCI-Tag")
	require.Len(t, lines, 9)
	for _, line := range lines {
		require.LessOrEqual(t, len(line), 4096)
	}
	require.Equal(t, strings.Join(tags[:5000], ", "), strings.Join(lines, ", "))
	require.Len(t, h.names("/v2/app/tags/list", "tags")[0], 5000)

	// If package url cannot parse the query, the response is an error, and the
	// registry sets no tags. Go 1.25.0 parses any number of parameters; later
	// releases limit their number.
	queries := []string{"a;tag=b", "a&tag=%zz"}
	if many := strings.Join(tags, "&tag="); unreadable(many) {
		queries = append(queries, many)
	}
	for _, query := range queries {
		h.wantError(400, put(query), registry.CodeUnsupported)
	}
	require.Len(t, h.names("/v2/app/tags/list", "tags")[0], 5000)
}

// unreadable reports whether package url cannot parse the query.
func unreadable(query string) bool {
	_, err := url.ParseQuery(query)
	return err != nil
}

// A Content-Range whose length is too large for an int64 is an error.
func TestContentRangeOverflows(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, last := range []string{fmt.Sprint(int64(math.MaxInt64)), fmt.Sprint(uint64(math.MaxInt64) + 1), "99999999999999999999999"} {
			for _, length := range []int64{-1, 3} {
				location := t.start("app")
				r := httptest.NewRequest("PATCH", location, strings.NewReader("abc"))
				r.Header.Set("Content-Range", "0-"+last)
				if r.ContentLength = length; length < 0 {
					r.Header.Set("Transfer-Encoding", "chunked")
				}
				w := httptest.NewRecorder()
				t.ServeHTTP(w, r)
				require.Contains(t, []int{400, 416}, w.Code, w.Body)
				w = t.call("PUT", location+"?digest="+string(sum("abc")), "")
				require.Contains(t, []int{400, 404}, w.Code, "the session keeps no byte of the chunk")
			}
		}
	})
}

// A log has no characters that move the cursor or change the direction of text,
// and it shortens a URL of a megabyte.
func TestLogIsPrintable(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := inMemory(t, registry.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))), registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			r.User = "\u202euser\x1b[2J"
			if r.Op == registry.Ping {
				return fmt.Errorf("cause \u2066 \x9b")
			}
			return registry.Errorf(registry.CodeDenied, "denied \u202e\r\n")
		}
	}))
	for _, query := range []string{"a=\u202etxt.exe", "\x1b[31m", "a\nb", strings.Repeat("x", 1<<20)} {
		for _, path := range []string{"/v2/", "/v2/\u202eapp/tags/list"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL = &url.URL{Path: path, RawQuery: query}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	require.Equal(t, 8, strings.Count(log.String(), "\n"))
	for line := range strings.Lines(log.String()) {
		require.Less(t, len(line), 10_000)
		var fields any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		require.NotRegexp(t, `[\p{Cc}\p{Cf}]`, fmt.Sprint(fields))
	}
}

// If a push sets many tags on a condition with many entity tags, the registry
// parses the condition once. The test measures allocated bytes, because times
// vary between runs.
func TestManyConditionsOfManyTags(t *testing.T) {
	// Not parallel: the test measures allocations.
	h := inMemory(t)
	m := h.image("app")
	path := "/v2/app/manifests/" + string(sum(m)) + "?tag=v"
	condition := strings.Repeat(`"x", `, 50_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 500 {
		path += fmt.Sprintf("&tag=v%d", i)
	}
	for range 2 { // The second push finds the tags.
		h.want(201, h.call("PUT", path, m, "Content-Type", imageType, "If-None-Match", condition))
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(100<<20))
}
