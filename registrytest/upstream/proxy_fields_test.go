package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// through sends a request for /v2/ through a proxy, whose upstream responds with
// the header field. It returns the URL of the upstream and the header of the
// response.
func through(t *testing.T, path, name, value string) (upstreamURL string, got http.Header) {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, strings.ReplaceAll(value, "UP", s.URL))
	}))
	defer s.Close()
	proxy := NewProxy(s.URL + path)
	defer proxy.Close()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://front.test/here/v2/", nil)
	registry.New(proxy, registry.WithPathPrefix("/here")).ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	return s.URL, w.Header()
}

func TestURLsLeadToTheProxy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ path, location, want string }{
		{"", "/v2/a?x=1&_state=%2F", "/here/v2/a?x=1&_state=%2F"},
		{"", "UP/v2/a?b", "http://front.test/here/v2/a?b"},
		{"", "?n=1", "?n=1"},
		{"", "https://cdn.test/x", "https://cdn.test/x"},
		{"", "//cdn.test/x", "//cdn.test/x"},
		{"", "http://169.254.169.254/x", "http://169.254.169.254/x"},
		{"", "http://%zz", "http://%zz"},
		{"/base", "/base/v2/a", "/here/v2/a"},
		{"/base", "/based/v2/a", "UP/based/v2/a"},
		{"/base", "UP/elsewhere", "UP/elsewhere"},
	} {
		at, got := through(t, test.path, "Location", test.location)
		require.Equal(t, strings.ReplaceAll(test.want, "UP", at), got.Get("Location"), test.location)
		at, got = through(t, test.path, "Link", "<"+test.location+`>; rel="next"`)
		require.Equal(t, "<"+strings.ReplaceAll(test.want, "UP", at)+`>; rel="next"`, got.Get("Link"), test.location)
	}
}

// If the schemes of the client and the upstream differ, a URL that begins with // gets
// the scheme of the upstream.
func TestURLWithoutScheme(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "//cdn.test/x")
	}))
	defer behind.Close()
	proxy := NewProxy(behind.URL)
	defer proxy.Close()
	w := httptest.NewRecorder()
	registry.New(proxy).ServeHTTP(w, httptest.NewRequest("GET", "https://front.test/v2/", nil))
	require.Equal(t, "http://cdn.test/x", w.Header().Get("Location"))
}

func TestRealmsLeadToTheProxy(t *testing.T) {
	t.Parallel()
	const own = "http://front.test/here/token"
	for realm, want := range map[string]string{
		"https://auth.test/token":      own,
		"UP/token":                     own,
		"http://127.0.0.1:1/token":     own, // the upstream is on this machine, too
		"http://169.254.169.254/x":     "http://169.254.169.254/x",
		"https://u:p@auth.test/":       "https://u:p@auth.test/",
		"file:///etc/passwd":           "file:///etc/passwd",
		"https://auth.test/#fragment":  "https://auth.test/#fragment",
		"http://[fe80::1]/token":       "http://[fe80::1]/token",
		"gopher://127.0.0.1:6379/_SET": "gopher://127.0.0.1:6379/_SET",
	} {
		_, got := through(t, "", "WWW-Authenticate", `Basic realm="x", bearer realm="`+realm+`",service="reg, =",scope=a`)
		require.Equal(t, `Basic realm="x", bearer realm="`+want+`",service="reg, =",scope=a`, got.Get("WWW-Authenticate"), realm)
	}
}

// The proxy passes a token request on to the token service that the realm names,
// with the client's query and credentials.
func TestTokensThroughTheProxy(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.String()+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(service.Close)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+service.URL+`/auth?a=1",service="s"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(behind.Close)
	proxy := NewProxy(behind.URL)
	t.Cleanup(func() { proxy.Close() })
	h := registry.New(proxy)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	require.Equal(t, `Bearer realm="http://example.com/token",service="s"`, w.Header().Get("WWW-Authenticate"))
	w = httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/token?service=s&scope=x", nil)
	r.Header.Set("Authorization", "Basic 1")
	h.ServeHTTP(w, r)
	require.Equal(t, "/auth?a=1&service=s&scope=x Basic 1", w.Body.String())
}

// If the header of an upstream's response is too large, the response is 502.
func TestEndlessHeader(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 2<<20))
	}))
	t.Cleanup(s.Close)
	proxy := NewProxy(s.URL)
	t.Cleanup(func() { proxy.Close() })
	registry.New(proxy).ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	require.Equal(t, http.StatusBadGateway, w.Code)
}

func FuzzFields(f *testing.F) {
	f.Add(`Bearer realm="a\"b",service=x, Basic realm=y`)
	f.Add(`<a>; rel="next", <b`)
	f.Add("bytes=0--5")
	f.Add("0-9223372036854775807")
	f.Fuzz(func(t *testing.T, text string) {
		same := func(s string) string { return s }
		require.Equal(t, text, eachRealm(text, same))
		require.Equal(t, text, eachLink(text, same))
		eachRealm(text, func(s string) string { return s + `"` })
		require.GreaterOrEqual(t, has(text), int64(0))
	})
}
