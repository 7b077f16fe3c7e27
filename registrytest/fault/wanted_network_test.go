package fault_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

func wantRedirect(t *testing.T) {
	n := registrytest.NewNetwork(t)
	reg, cdn := n.Registry("registry.example.com"), n.Registry("cdn.example.net")
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	cdn.Push(t, "app:v1", content.Image(content.Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)

	reg.Fault(t, fault.On(registry.GetBlob).Status(307).Location("https://cdn.example.net"))
	got := c.Get(path, "Authorization", "Basic c2VjcmV0OnNlY3JldA==", "Range", "bytes=3-")
	require.Equal(t, 206, got.Status)
	first := cdn.Requests().First()
	require.Equal(t, "bytes=3-", first.Range, "the client keeps Range over the redirect")
	require.Empty(t, first.RequestHeader.Get("Authorization"), "the client sent a secret to another host")
	require.NotEmpty(t, reg.Requests().First().RequestHeader.Get("Authorization"))

	// The registry redirects the client to plain HTTP.
	downgraded := n.Registry("plain.example.net")
	downgraded.Push(t, "app:v1", content.Image(content.Layers(1)))
	reg.Fault(t, fault.On(registry.GetManifest).Status(302).Location("http://plain.example.net"))
	require.Equal(t, 200, c.Get("/v2/app/manifests/v1").Status)
	require.Equal(t, "http", downgraded.Requests().First().URL.Scheme)
}

func wantLoop(t *testing.T) {
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	in := reg.Fault(t, fault.On().Status(307).Location(""))
	require.ErrorContains(t, c.Get("/v2/").Err, "stopped after 10 redirects")
	require.Equal(t, 10, in.Fired())
}

func wantSilence(t *testing.T) {
	tb := faketb.New(t)
	reg := registrytest.NewServer(tb)
	c := clientOf(t, reg)
	for _, rule := range []fault.Rule{fault.On().Once().Status(500), fault.On().Once().Reset(), fault.On().Once().Close(fault.AtByte(1)), fault.On().Once().ContentLength(1)} {
		reg.Fault(tb, rule)
		c.Get("/v2/")
	}
	tb.End()
	require.Empty(t, tb.Lines())
	require.Empty(t, tb.Errors())
}

func wantGate(t *testing.T) {
	reg := registrytest.NewServer(t)
	reg.Push(t, "app:v1", content.Image())
	hold := reg.Hold(t, fault.On(registry.GetManifest))
	done := make(chan int)
	go func() { done <- clientOf(t, reg).Get("/v2/app/manifests/v1").Status }()
	<-hold.Entered()
	require.Equal(t, 200, clientOf(t, reg).Get("/v2/").Status, "the gate does not stop other requests")
	hold.Release()
	require.Equal(t, 200, <-done)
}

func wantSilentListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		reg.Silence(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", reg.URL+"/v2/", nil)
		require.NoError(t, err)
		_, err = reg.Client().Do(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, reg.Requests().Len())
	})
}

func wantHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory(), registrytest.WithTLS(registrytest.OnlyHTTP1))
		undo := reg.Silence(t)
		transport := reg.Transport().Clone()
		transport.TLSHandshakeTimeout = 10 * time.Second
		defer transport.CloseIdleConnections()
		begin := time.Now()
		_, err := (&http.Client{Transport: transport}).Get(reg.URL + "/v2/")
		require.ErrorContains(t, err, "TLS handshake timeout")
		require.Equal(t, 10*time.Second, time.Since(begin))
		undo()
		require.Equal(t, 200, clientOf(t, reg).Get("/v2/").Status)
	})
}

// wantDeadHosts has the dead hosts of containerd's resolver tests. The first mirror is
// unknown, refuses or resets connections, is silent before or after the TLS handshake,
// or speaks HTTP instead of HTTPS. The client tries the next host, and returns to a
// host that was dead only at first.
func wantDeadHosts(t *testing.T) {
	mirrors := []string{"https://mirror.test", "https://registry.test"}
	for name, test := range map[string]struct {
		mirrors []string
		dead    func(t *testing.T, n *registrytest.Network, mirror *registrytest.Server)
		waits   time.Duration
		again   string // the host that responds to the second request
	}{
		"refuses": {mirrors, func(t *testing.T, n *registrytest.Network, _ *registrytest.Server) {
			n.Refuse(t, "mirror.test", 1)
		}, 0, "mirror.test"},
		"refuses all": {mirrors, func(t *testing.T, _ *registrytest.Network, mirror *registrytest.Server) {
			mirror.Refuse(t)
		}, 0, "registry.test"},
		"silent before TLS": {mirrors, func(t *testing.T, n *registrytest.Network, _ *registrytest.Server) {
			n.Silence(t, "mirror.test", 1)
		}, 10 * time.Second, "mirror.test"},
		"silent after TLS": {mirrors, func(t *testing.T, _ *registrytest.Network, mirror *registrytest.Server) {
			mirror.Fault(t, fault.On().Conn(1).Delay(time.Hour))
		}, 20 * time.Second, "mirror.test"},
		"resets after TLS": {mirrors, func(t *testing.T, _ *registrytest.Network, mirror *registrytest.Server) {
			mirror.Fault(t, fault.On().Conn(1).Reset())
		}, 0, "mirror.test"},
		"unknown": {[]string{"https://unknown.test", "https://registry.test"}, nil, 0, "registry.test"},
		"speaks HTTP": {[]string{"https://plain.test:5000", "https://registry.test"}, func(_ *testing.T, n *registrytest.Network, _ *registrytest.Server) {
			n.Registry("plain.test:5000")
		}, 0, "registry.test"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := registrytest.NewNetwork(t)
				mirror, origin := n.Registry("mirror.test"), n.Registry("registry.test")
				for _, reg := range []*registrytest.Server{mirror, origin} {
					reg.Push(t, "app:v1", content.Image())
				}
				transport := &http.Transport{
					DialContext:     n.DialContext,
					TLSClientConfig: &tls.Config{RootCAs: n.CA().Pool()},

					TLSHandshakeTimeout:   10 * time.Second,
					ResponseHeaderTimeout: 20 * time.Second,
				}
				defer transport.CloseIdleConnections()
				c := testclient.New(t, &http.Client{Transport: transport}, "")
				// resolve returns the first host that has the manifest.
				resolve := func() string {
					for _, base := range test.mirrors {
						if c.Get(base+"/v2/app/manifests/v1").Status == 200 {
							return strings.TrimPrefix(base, "https://")
						}
					}
					return ""
				}
				if test.dead != nil {
					test.dead(t, n, mirror)
				}
				begin := time.Now()
				require.Equal(t, "registry.test", resolve())
				require.Equal(t, test.waits, time.Since(begin))
				require.Equal(t, test.again, resolve())
				require.Equal(t, test.waits, time.Since(begin))
			})
		})
	}
}

// A client of net/http keeps its credentials if it is redirected to another port of the
// same host. So a test for leaks needs hosts of different names, as in a Network.
func wantLeaks(t *testing.T) {
	const secret = "Basic c2VjcmV0OnNlY3JldA=="
	n := registrytest.NewNetwork(t)
	app := content.Image(content.Layers(1))
	for _, test := range []struct {
		reg, cdn *registrytest.Server
		leaks    bool
	}{
		{registrytest.NewServer(t), registrytest.NewServer(t), true},
		{n.Registry("registry.test:5000"), n.Registry("registry.test:5001"), true},
		{n.Registry("registry.test"), n.Registry("cdn.test"), false},
	} {
		test.reg.Push(t, "app:v1", app)
		test.cdn.Push(t, "app:v1", app)
		test.reg.Fault(t, fault.On(registry.GetBlob).Where(fault.Found).Status(307).Location(test.cdn.URL))
		got := clientOf(t, test.reg).Get("/v2/app/blobs/"+string(app.Layers[0].Digest), "Authorization", secret)
		require.Equal(t, 200, got.Status)
		require.Equal(t, test.leaks, test.cdn.Requests().First().RequestHeader.Get("Authorization") != "")
	}
}

func wantInsecure(t *testing.T) {
	reg := registrytest.NewServer(t, registrytest.WithTLS(registrytest.UnknownCA))
	_, err := reg.Client().Get(reg.URL + "/v2/")
	require.Error(t, err)
	transport := reg.Transport().Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true
	defer transport.CloseIdleConnections()
	insecure := &http.Client{Transport: transport}
	resp, err := insecure.Get(reg.URL + "/v2/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	resp, err = insecure.Get("http://" + reg.Host() + "/v2/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 400, resp.StatusCode, "a server with TLS refuses plain HTTP")
}

func wantSNI(t *testing.T) {
	n := registrytest.NewNetwork(t)
	for _, name := range []string{"one.example.com", "two.example.com"} {
		n.Registry(name)
		conn, err := n.DialContext(t.Context(), "tcp", name+":443")
		require.NoError(t, err)
		client := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: n.CA().Pool()})
		require.NoError(t, client.HandshakeContext(t.Context()))
		require.Equal(t, []string{name}, client.ConnectionState().PeerCertificates[0].DNSNames)
		client.Close()
	}
}

func wantTokenService(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	user := who.User("ci")
	token := func() testclient.Response {
		req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service=x&scope=repository:app:pull", nil)
		require.NoError(t, err)
		req.SetBasicAuth(user.Username, user.Password)
		resp, err := reg.Client().Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return testclient.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(body), Err: nil}
	}
	reg.Fault(t, fault.On(registry.GetToken).User("ci").Once().Status(503).Then().Once().Status(429).RetryAfter(time.Second).
		Then().Once().Status(503).Body(fault.Plain).Then().Once().Body(fault.Text("not JSON")).Then().Once().Body(fault.Text("{}")))
	require.Equal(t, 503, token().Status)
	require.Equal(t, "1", token().Header.Get("Retry-After"))
	require.Equal(t, "text/plain; charset=utf-8", token().Header.Get("Content-Type"))
	require.Equal(t, "not JSON", token().Body)
	require.Equal(t, "{}", token().Body, "the response has no token")
	require.Contains(t, token().Body, `"token"`)
}

func wantTokens(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "app:v1", content.Image())
	user := who.User("ci")
	c := clientOf(t, reg)
	req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service="+url.QueryEscape(reg.Host())+"&scope=repository:app:pull", nil)
	require.NoError(t, err)
	req.SetBasicAuth(user.Username, user.Password)
	resp, err := reg.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct{ Token string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	bearer := func() testclient.Response {
		return c.Get("/v2/app/manifests/v1", "Authorization", "Bearer "+answer.Token)
	}
	require.Equal(t, 200, bearer().Status)
	reg.Fault(t, fault.On(registry.GetManifest).Once().Status(401).
		SetHeader("WWW-Authenticate", `Bearer realm="x",scope="repository:app:pull,push",error="insufficient_scope"`))
	require.Contains(t, bearer().Header.Get("WWW-Authenticate"), "insufficient_scope")
	require.Equal(t, 200, bearer().Status)
	who.ExpireTokens()
	require.Equal(t, 401, bearer().Status)
}

func wantAuth(t *testing.T) {
	who := auth.Basic()
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "app:v1", content.Image())
	user := who.User("ci", "pull app")
	c := clientOf(t, reg)
	got := c.Get("/v2/app/manifests/v1")
	require.Equal(t, 401, got.Status)
	require.Contains(t, got.Header.Get("WWW-Authenticate"), "Basic")
	req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/v2/app/manifests/v1", nil)
	require.NoError(t, err)
	req.SetBasicAuth(user.Username, user.Password)
	// This fault hits only authenticated requests.
	reg.Fault(t, fault.On(registry.GetManifest).User("ci").Once().Status(503))
	for _, want := range []int{503, 200} {
		resp, err := reg.Client().Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, resp.StatusCode)
	}
}
