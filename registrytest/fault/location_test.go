package fault

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/inject"
)

func TestDestinations(t *testing.T) {
	t.Parallel()
	const uploads, location = "/v2/app/blobs/uploads/", "/v2/app/blobs/uploads/1"
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, test := range []struct{ to, from, was, want string }{
		{"", uploads, location, location},
		{"https://cdn.test", uploads, location, "https://cdn.test" + location},
		{"https://cdn.test", uploads, "https://other.test:1/x?a=b", "https://cdn.test/x?a=b"},
		{"https://cdn.test", uploads, "https://other.test", "https://cdn.test/"},
		{"https://cdn.test", uploads, "/x?to=http://a/b", "https://cdn.test/x?to=http://a/b"},
		{"https://cdn.test/y", uploads, location, "https://cdn.test/y"},
		{"https://cdn.test/y?a=b", uploads, location + "?c=d", "https://cdn.test/y?a=b"},
		{"/y", uploads, location, "/y"},

		{"{origin}", uploads, location, "http://example.com" + location},
		{"{origin}", uploads, "https://other.test" + location, "http://example.com" + location},
		{"{origin}/y", uploads, location, "http://example.com/y"},
		{"{origin}?a=b", uploads, location, "http://example.com" + location + "?a=b"},
		{"{origin}", "https:" + uploads, location, "https://example.com" + location},

		// In these rows, another rule made the URL relative.
		{"{origin}", uploads, "1?a=b", "http://example.com" + location + "?a=b"},
		{"{origin}", uploads, "./sha256:a", "http://example.com" + uploads + "sha256:a"},
		{"https://cdn.test", "/v2/app/tags/list", "list?last=v1", "https://cdn.test/v2/app/tags/list?last=v1"},

		{".", uploads, location, "1"},
		{".", strings.TrimSuffix(uploads, "/"), location, "uploads/1"},
		{".", location, location, "1"},
		{".", location, "http://example.com" + location, "1"},
		{".", location, "https://example.com" + location, "https://example.com" + location},
		{".", location, "https://other.test/x", "https://other.test/x"},
		{".", location, "/v2/app/blobs/sha256:a", "../sha256:a"},
		{".", "/v2/app/manifests/v1", "/v2/app/manifests/sha256:a", "./sha256:a"},
		{".", "/v2/app/tags/list", "/v2/app/tags/list?n=1", "list?n=1"},
		{".", "/v2/app/tags/list", "/v2/app/tags/", "./"},
		{".", "/v2/app/tags/list", "/v2/app/tags/?n=1", "./?n=1"},
		{".", "/v2/", "/", "../"},
		{".?a=b", uploads, location, "1?a=b"},

		{"?a=b", uploads, location, location + "?a=b"},
		{"?a=b", uploads, location + "?c=d", location + "?c=d&a=b"},
		{"?a=b&e=f", uploads, location + "?a=1&c=d", location + "?a=b&c=d&e=f"},
		{"?a", uploads, location + "?a=1&c=d", location + "?c=d"},
		{"?a", uploads, location + "?a", location},
		{"?a", uploads, location + "?b", location + "?b"},
		{"?a=b", uploads, "https://other.test/x", "https://other.test/x?a=b"},

		{"https://s3.test/{repo}/{digest}", "/v2/team/app/blobs/" + digest, "", "https://s3.test/team/app/" + digest},
		{"{origin}/v2/{repo}/manifests/{tag}", "/v2/app/manifests/v1", "", "http://example.com/v2/app/manifests/v1"},
		{"?of={repo}", uploads, location, location + "?of=app"},

		{"?a={state}", uploads, location, location + "?a=1"},
		{"https://cdn.test?a={state}", uploads, location, "https://cdn.test" + location + "?a=1"},
		{"?a={state}", uploads, "/v2/app/blobs/sha256:a", "/v2/app/blobs/sha256:a"},
	} {
		d, err := parseDestination(test.to)
		require.NoError(t, err, test.to)
		path, secure := strings.CutPrefix(test.from, "https:")
		hr := httptest.NewRequest("GET", path, nil)
		if secure {
			hr.TLS = new(tls.ConnectionState)
		}
		r, _ := registry.ParseRequest(hr)
		require.Equal(t, test.want, d.from(r, test.was, &hit{of: new(injector)}), "%s at %s for %s", test.to, test.from, test.was)
		if test.to == "." {
			resolved, err := hr.URL.Parse(d.from(r, test.was, new(hit)))
			require.NoError(t, err)
			was, err := hr.URL.Parse(test.was)
			require.NoError(t, err)
			require.Equal(t, was.RequestURI(), resolved.RequestURI(), "the Location resolves to the same URL")
		}
	}
}

func TestComputedValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ template, was, want string }{
		{"bytes={*}", "0-9", "bytes=0-9"},
		{"{bytes *}", "bytes 0-9/10", "0-9/10"},
		{"{*/10}", "bytes 0-9/10", "bytes 0-9"},
		{"{bytes *}", "items 0-9/10", "items 0-9/10"},
		{`{"*"}`, `"sha256:a"`, "sha256:a"},
		{`W/{*}`, `"a"`, `W/"a"`},
		{`{<*>; rel="next"}`, `</v2/x>; rel="next"`, "/v2/x"},
		{"{*}, {*}", "a", "a, a"},
		{"{{*}}", "a", "{a}"},
		{"{a}{*}{b", "x", "{a}x{b"},
		{"{*a}", "aa", "a"},
		{"{a*a}", "a", "a"}, // The single a cannot match on both sides of the star.
	} {
		require.True(t, isComputed(test.template), test.template)
		got, _ := compute(test.template, test.was)
		require.Equal(t, test.want, got, test.template)
	}
	for _, literal := range []string{"", "*", "{", "{}", "{a}", "{**}", "{*", "*}", "{a{b}", `{"a":1}`} {
		require.False(t, isComputed(literal), literal)
	}
}

// A rule with {state} forgets the state of an upload session that ended.
func TestStateEndsWithTheUpload(t *testing.T) {
	t.Parallel()
	begun, err := On().Location("?_state={state}").Begin(nil)
	require.NoError(t, err)
	in := begun.(*injector)
	h := registry.New(memstore.New(), registry.WithFaults(func(r *registry.Request) *registry.Fault {
		f, _ := in.Inject(r, false)
		return f
	}))
	for _, end := range []struct {
		method, query string
		left          int
	}{{"PUT", "&digest=" + string(dgst(nil)), 0}, {"DELETE", "", 0}, {"PUT", "&digest=x", 1}} {
		start := served(h, httptest.NewRequest("POST", "/v2/app/blobs/uploads/", nil))
		require.Len(t, in.states, 1)
		served(h, httptest.NewRequest(end.method, start.Header().Get("Location")+end.query, nil))
		require.Len(t, in.states, end.left)
	}
}

// Location does not change the slice of a header's values, which several responses may
// share.
func TestSharedLinks(t *testing.T) {
	t.Parallel()
	shared := []string{`</v2/x>; rel="next"`, "</y>", "z"}
	var rules inject.Rules
	_, err := rules.Add(On().Location("?n=1"))
	require.NoError(t, err)
	h := registry.New(memstore.New(), registry.WithFaults(rules.Inject), registry.WithMiddleware(func(registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, _ *registry.Request) error {
			w.Header()["Link"] = shared
			w.WriteHeader(http.StatusOK)
			return nil
		}
	}))
	for range 2 {
		got := served(h, httptest.NewRequest("GET", "/v2/", nil))
		require.Equal(t, []string{`</v2/x?n=1>; rel="next"`, "</y?n=1>", "z"}, got.Header().Values("Link"))
		require.Equal(t, "</y>", shared[1])
	}
}

// SetHeader replaces each value of a header with a computed value, and AddHeader adds
// one computed value. They do not change the values that other responses share.
func TestComputedHeaders(t *testing.T) {
	t.Parallel()
	serveWith := func(rule string) (values []string, problem string) {
		parsed, err := Parse(rule)
		require.NoError(t, err)
		var rules inject.Rules
		in, err := rules.Add(parsed)
		require.NoError(t, err)
		h := registry.New(memstore.New(), registry.WithFaults(rules.Inject), registry.WithWarnings("one", "two"))
		r := httptest.NewRequest("GET", "/v2/", nil)
		return served(h, r).Header()["Warning"], Problem(t, in)
	}
	one, two := `299 - "one"`, `299 - "two"`
	for rule, want := range map[string][]string{
		"ping set-header=Warning:x{*}":                      {"x" + one, "x" + two},
		`ping set-header="Warning:{299 - \"o*}"`:            {`ne"`, two},
		"ping add-header=Warning:x{*}":                      {one, two, "x" + one},
		`ping set-header=Warning:a add-header=Warning:{*}b`: {"a", "ab"},
	} {
		got, problem := serveWith(rule)
		require.Equal(t, want, got, rule)
		require.Empty(t, problem, rule)
	}
	for _, rule := range []string{"ping set-header=Link:x{*}", "ping add-header=Link:x{*}", "ping set-header=Warning:{x*}"} {
		got, problem := serveWith(rule)
		require.Equal(t, []string{one, two}, got, rule)
		require.Contains(t, problem, "had no effect on the 1 request", rule)
	}
	v := serve(registry.Options(), "GET", "/v2/", nil).Header()["Docker-Distribution-Api-Version"]
	_, _ = serveWith("ping set-header=Docker-Distribution-Api-Version:{registry/*}")
	require.Equal(t, []string{"registry/2.0"}, v, "the value that responses share does not change")
}
