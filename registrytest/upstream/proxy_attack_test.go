package upstream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// The proxy passes on some odd responses of a hostile upstream. For the others, it
// responds with 502 or closes the connection.
func TestHostileResponses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		response string
		status   int
		body     string
	}{
		"no status":                {"HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", 502, "sent no valid response"},
		"a status of two digits":   {"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", 502, "sent no valid response"},
		"a status above all":       {"HTTP/1.1 999 x\r\nContent-Length: 1\r\n\r\nx", 999, "x"},
		"another protocol":         {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n", 502, "sent no valid response"},
		"no HTTP":                  {"SSH-2.0-x\r\n\r\n", 502, "sent no valid response"},
		"two lengths":              {"HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 502, "sent no valid response"},
		"a length below zero":      {"HTTP/1.1 200 x\r\nContent-Length: -1\r\n\r\nxx", 502, "sent no valid response"},
		"a folded line":            {"HTTP/1.1 200 x\r\nX: a\r\n b: c\r\nContent-Length: 1\r\n\r\nx", 200, "x"},
		"an unknown encoding":      {"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\nx", 502, "sent no valid response"},
		"early responses only":     {strings.Repeat("HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n", 1<<10), 0, ""},
		"a location without sense": {"HTTP/1.1 307 x\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", 307, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
						io.WriteString(conn, c.response)
					}
					conn.(*net.TCPConn).CloseWrite()
					io.Copy(io.Discard, conn)
					conn.Close()
				}
			}()
			proxy := NewProxy("http://" + l.Addr().String())
			t.Cleanup(func() { proxy.Close() })
			front := httptest.NewServer(registry.New(proxy))
			t.Cleanup(front.Close)
			resp, err := front.Client().Transport.RoundTrip(httptest.NewRequest("GET", front.URL+"/v2/", nil).WithContext(t.Context()))
			if c.status == 0 {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.status, resp.StatusCode, string(text))
			require.Contains(t, string(text), c.body)
		})
	}
}

// A proxy passes token requests on for a limited number of realms: the first
// ones in the upstream's challenges. Requests with an unknown realm go to the
// upstream.
func TestManyRealms(t *testing.T) {
	t.Parallel()
	n, seen := 0, ""
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/") {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/auth%d"`, r.Host, n))
			return
		}
		seen = r.URL.String()
	}))
	t.Cleanup(up.Close)
	proxy := NewProxy(up.URL)
	t.Cleanup(func() { proxy.Close() })
	h := registry.New(proxy)
	ask := func(target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		return w
	}
	for n = range maxRealms + 2 {
		got := ask("/v2/").Header().Get("WWW-Authenticate")
		require.Equal(t, n >= maxRealms, strings.Contains(got, up.URL), got)
	}
	for target, want := range map[string]string{
		"/token":                        "/auth0",
		"/token?realm=3&scope=a":        "/auth3?scope=a",
		"/token?scope=a&realm=15":       "/auth15?scope=a",
		"/token?realm=16":               "/token?realm=16",
		"/token?realm=-1":               "/token?realm=-1",
		"/token?realm=http://evil.test": "/token?realm=http://evil.test",
	} {
		ask(target)
		require.Equal(t, want, seen, target)
	}
}

// The Proxy does not connect to a token service whose host resolves to this
// machine, unless the upstream is on this machine, too.
func TestRealmWhoseNameLeadsHere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	for base, want := range map[string]string{"http://192.0.2.1:5000": "an address of this machine", "http://127.0.0.1:5000": ""} {
		proxy := NewProxy(base, Transport(&http.Transport{})) // ignores proxies of the environment
		realm := *proxy.base
		realm.Host = "192.0.2.7"
		require.Same(t, proxy.tokens, proxy.transportTo(&realm))
		require.Same(t, proxy.transport, proxy.transportTo(proxy.base))
		conn, err := proxy.tokens.DialContext(t.Context(), "tcp", l.Addr().String())
		if want != "" {
			require.ErrorContains(t, err, want)
			continue
		}
		require.NoError(t, err)
		conn.Close()
	}
}
