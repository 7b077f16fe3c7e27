package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

func say(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, what) })
}

var (
	noSuchHost = func(t *testing.T, err error) {
		t.Helper()
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns)
		require.True(t, dns.IsNotFound)
		require.False(t, dns.Timeout())
		require.ErrorContains(t, err, "no such host")
	}
	refused = func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, conn.Refused)
	}
)

func TestNamesOfANetwork(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	for _, host := range []string{
		"registry.example.com", "cdn.test", "localhost:5000", "plain.test:80", "secure.test:443", "docker.io", "[::1]:5000", "10.0.0.1",
		"Mixed.test",
	} {
		n.Handle(host, say(host))
	}
	n.Handle("tls.test:5000", say("tls"), registrytest.WithTLS())
	for address, want := range map[string]string{
		"http://registry.example.com":        "registry.example.com",
		"https://registry.example.com":       "registry.example.com",
		"http://registry.example.com:80/x":   "registry.example.com",
		"https://registry.example.com:443/x": "registry.example.com",
		"https://registry.example.com.":      "registry.example.com",
		"https://REGISTRY.example.com":       "registry.example.com",
		"https://mixed.test":                 "Mixed.test",
		"https://cdn.test":                   "cdn.test",
		"http://localhost:5000":              "localhost:5000",
		"http://plain.test":                  "plain.test:80",
		"https://secure.test":                "secure.test:443",
		"https://tls.test:5000":              "tls",
		"https://docker.io":                  "docker.io",
		"https://registry-1.docker.io":       "docker.io",
		"https://index.docker.io":            "docker.io",
		"http://[::1]:5000":                  "[::1]:5000",
		"https://10.0.0.1":                   "10.0.0.1",
	} {
		t.Run(address, func(t *testing.T) {
			status, body := get(t, n.Client(), address)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, want, body)
		})
	}
	for address, check := range map[string]func(*testing.T, error){
		"http://nowhere.test":              noSuchHost,
		"https://sub.registry.example.com": noSuchHost,
		"http://registry.example.com:5000": refused,
		"http://localhost":                 refused,
		"http://localhost:5001":            refused,
		"https://plain.test":               refused,
		"http://secure.test":               refused,
		"http://127.0.0.1:5000":            refused,
		"http://8.8.8.8":                   refused,
	} {
		t.Run(address, func(t *testing.T) {
			_, err := n.Client().Get(address)
			check(t, err)
		})
	}
}

func TestURLOfARegistryByName(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	for _, test := range []struct {
		host, url, ref string
		opts           []registrytest.Option
	}{
		{"registry.example.com", "https://registry.example.com", "registry.example.com/app", nil},
		{"plain.test:80", "http://plain.test", "plain.test/app", nil},
		{"secure.test:443", "https://secure.test", "secure.test/app", nil},
		{"localhost:5000", "http://localhost:5000", "localhost:5000/app", nil},
		{"localhost:5001", "https://localhost:5001", "localhost:5001/app", []registrytest.Option{registrytest.WithTLS()}},
		{"[::1]:5000", "http://[::1]:5000", "[::1]:5000/app", nil},
	} {
		s := n.Registry(test.host, test.opts...)
		require.Equal(t, test.url, s.URL)
		require.Equal(t, test.ref, s.Ref("app"))
		requireUp(t, s)
		status, _ := get(t, n.Client(), test.url+"/v2/")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, 2, s.Requests().Len())
		require.Same(t, n.CA(), s.CA())
	}
}

func TestHostsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"a.test:0x50", "a.test:70000", "a.test:", ":80", "a.test:80:80", "http://a.test", "taken.test", "taken.test:443", "TAKEN.test", ""} {
		tr := faketb.Try(t, func(t *faketb.TB) {
			n := registrytest.NewNetwork(t)
			n.Handle("taken.test", say(""))
			n.Registry(host)
		})
		require.Len(t, tr.Errors(), 1, "%q", host)
	}
}

// A wrong host or a nil handler fails the test at once, with a clear message.
func TestNetworkSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, use := range map[string]func(n *registrytest.Network){
		`"https://x.example/v2" is a URL: leave out the scheme and the path, as in "x.example"`:     func(n *registrytest.Network) { n.Registry("https://x.example/v2") },
		`"x.example/v2" is not a host of a network: want a name, or a name and a port`:              func(n *registrytest.Network) { n.Registry("x.example/v2") },
		`"x.example:http" is not a host of a network: "http" is not the number of a port`:           func(n *registrytest.Network) { n.Registry("x.example:http") },
		"serving a handler at x.example: the handler is nil; http.NotFoundHandler() serves nothing": func(n *registrytest.Network) { n.Handle("x.example", nil) },
	} {
		tr := faketb.Try(t, func(t *faketb.TB) { use(registrytest.NewNetwork(t)) })
		require.Len(t, tr.Errors(), 1)
		require.Contains(t, tr.Errors()[0], want)
	}
}

func TestMirrorsOfANetwork(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	origin, mirror := n.Registry("docker.io"), n.Registry("mirror.test")
	image := origin.Push(t, "library/alpine:3", content.Image())

	// A client asks the mirror first, as containerd does.
	pull := func() (from string) {
		for _, host := range []string{"mirror.test", "registry-1.docker.io"} {
			resp, err := n.Client().Get("https://" + host + "/v2/library/alpine/manifests/3?ns=docker.io")
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, "docker.io", resp.Header.Get("OCI-Namespace"))
			if resp.StatusCode == http.StatusOK {
				return host
			}
		}
		return ""
	}
	require.Equal(t, "registry-1.docker.io", pull())
	mirror.Push(t, "library/alpine:3", image)
	require.Equal(t, "mirror.test", pull())
	require.Equal(t, 2, mirror.Requests().Op(registry.GetManifest).Len())
	require.Equal(t, 1, origin.Requests().Op(registry.GetManifest).Len())

	mirror.Stop()
	_, err := n.Client().Get("https://mirror.test/v2/")
	refused(t, err)
	mirror.Start()
	require.Equal(t, "mirror.test", pull())
}

func TestRedirectToAnotherName(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	var leaked []string
	n.Handle("cdn.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = r.Header["Authorization"]
		io.WriteString(w, "from the CDN")
	}))
	s := n.Registry("registry.example.com", registry.WithFaults(func(r *registry.Request) *registry.Fault {
		return &registry.Fault{Serve: func(w http.ResponseWriter, r *registry.Request) error {
			http.Redirect(w, r.Request, "https://cdn.test/blob", http.StatusTemporaryRedirect)
			return nil
		}}
	}))
	req, err := http.NewRequest(http.MethodGet, s.URL+"/v2/team/app/blobs/sha256:x", nil)
	require.NoError(t, err)
	req.SetBasicAuth("alice", "secret")
	resp, err := n.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "from the CDN", string(body))
	require.Empty(t, leaked)
}

func TestHandlersOfANetworkAreWatchedToo(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/panic": "cdn.test: panic while serving unknown GET /panic: mistake",
		"/leak":  "leakForTest",
		"/hang":  "unknown GET /hang",
	} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				tr := faketb.Try(t, func(tb *faketb.TB) {
					n := registrytest.NewNetwork(tb)
					n.Handle("cdn.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						switch r.URL.Path {
						case "/panic":
							panic("mistake")
						case "/leak":
							go leakForTest(release)
						case "/hang":
							<-release
						}
					}))
					c := n.Client()
					c.Timeout = time.Minute
					if resp, err := c.Get("http://cdn.test" + path); err == nil {
						resp.Body.Close()
					}
				})
				close(release)
				require.Len(t, tr.Errors(), 1)
				require.Contains(t, tr.Errors()[0], want)
			})
		})
	}
}

func TestDialContextOfANetwork(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	n.Handle("cdn.test", say("hello"))
	conn, err := n.DialContext(context.Background(), "tcp", "cdn.test:80")
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "hello")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = n.DialContext(ctx, "tcp", "nowhere.test")
	require.ErrorContains(t, err, "missing port")
}

func TestNetworksAreApart(t *testing.T) {
	t.Parallel()
	a, b := registrytest.NewNetwork(t), registrytest.NewNetwork(t)
	a.Registry("registry.example.com")
	_, err := b.Client().Get("http://registry.example.com/v2/")
	noSuchHost(t, err)
	require.False(t, a.CA().Pool().Equal(b.CA().Pool()))
}

func TestNetworkInParallel(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			s := n.Registry(fmt.Sprintf("r%d.test", i))
			for range 4 {
				requireUp(t, s)
			}
			n.CertsDir()
			s.Close()
			_, err := n.Client().Get(s.URL)
			refused(t, err)
		})
	}
	all.Wait()
}

func proxied(t testing.TB, n *registrytest.Network) *http.Client {
	proxy, err := url.Parse(n.Proxy())
	require.NoError(t, err)
	tr := n.Transport().Clone()
	tr.Proxy, tr.DialContext = http.ProxyURL(proxy), nil
	return &http.Client{Transport: tr}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	s := n.Registry("registry.example.com")
	image := s.Push(t, "team/app:v1", content.Image(content.LayerSizes(1<<20)))
	c := proxied(t, n)
	for _, scheme := range []string{"http", "https"} {
		status, body := get(t, c, scheme+"://registry.example.com/v2/team/app/blobs/"+string(image.Layers[0].Digest))
		require.Equal(t, http.StatusOK, status)
		require.Len(t, body, 1<<20)

		resp, err := c.Post(scheme+"://registry.example.com/v2/team/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusAccepted, resp.StatusCode)
	}
	require.Equal(t, n.Proxy(), n.Proxy(), "every call of Proxy returns the same URL")

	status, body := get(t, c, "http://nowhere.test")
	require.Equal(t, http.StatusBadGateway, status)
	require.Contains(t, body, "no such host")
	_, err := c.Get("https://nowhere.test")
	require.ErrorContains(t, err, "Bad Gateway")

	s.Stop()
	status, body = get(t, c, "http://registry.example.com/v2/")
	require.Equal(t, http.StatusBadGateway, status)
	require.Contains(t, body, "connection refused")

	status, _ = get(t, http.DefaultClient, n.Proxy())
	require.Equal(t, http.StatusBadRequest, status, "the proxy serves nothing itself")
}

// If a handler cuts a response, a client of the proxy gets an error, and not a complete
// response.
func TestProxyPassesOnCutResponse(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	n.Handle("cdn.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "ten bytes.")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	c := proxied(t, n)
	for _, scheme := range []string{"http", "https"} {
		resp, err := c.Get(scheme + "://cdn.test")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.Error(t, err)
		require.Equal(t, "ten bytes.", string(body))
	}
}

// A client of a tunnel can close its side for writing and still read the response.
func TestProxyPassesOnHalfClose(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	n.Handle("echo.test:7", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		defer conn.Close()
		said, err := io.ReadAll(buffered)
		require.NoError(t, err)
		conn.Write(said)
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Proxy(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\n")
	require.NoError(t, err)
	established := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
	_, err = io.ReadFull(conn, established)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 Connection established\r\n\r\n", string(established))
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: echo.test\r\n\r\nhello")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "hello", string(answer))
}

// At the end of the test, the proxy closes the tunnels that clients have left open.
func TestProxyIsClosedWithItsTunnels(t *testing.T) {
	t.Parallel()
	var proxy string
	tr := faketb.Try(t, func(tb *faketb.TB) {
		n := registrytest.NewNetwork(tb)
		n.Registry("registry.example.com")
		proxy = n.Proxy()
		for range 3 {
			get(t, proxied(t, n), "https://registry.example.com/v2/")
		}
	})
	require.Empty(t, tr.Errors())
	_, err := http.Get(proxy)
	var op *net.OpError
	require.True(t, errors.As(err, &op) && op.Op == "dial", "%v", err)
}
