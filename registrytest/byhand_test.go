package registrytest_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/lint"
)

// TestByHand does tasks for which many projects wrote helpers of their own in the
// tests of their registry clients.
func TestByHand(t *testing.T) {
	for _, c := range []struct {
		task string
		do   func(t *testing.T)
	}{
		{"basic authentication in front of a registry", basicByHand},
		{"TLS with a CA of the test, a client certificate, a certificate that is not trusted", tlsByHand},
		{"content without a push", contentByHand},
		{"a log and counters of requests", logByHand},
		{"a token service", tokensByHand},
		{"a registry that logs nothing", silenceByHand},
		{"rights by repository and verb, revoked in the middle of a test", rightsByHand},
		{"tokens that expire, are revoked or do not suffice", expiryByHand},
		{"any unexpected request fails the test", unexpectedByHand},
		{"a fixture on disk, read-only", fixtureByHand},
		{"a name that is not localhost", nameByHand},
		{"a free port, and knowing when the registry is ready", portByHand},
		{"mirrors and ?ns=", mirrorByHand},
		{"a proxy, and a reverse proxy, in front", proxyByHand},
		{"a client of HTTPS meets HTTP, and the other way round", schemeByHand},
		{"a config.json for the client", configByHand},
		{"a store seeded once, for parallel subtests", cloneByHand},
	} {
		t.Run(c.task, func(t *testing.T) {
			t.Parallel()
			c.do(t)
		})
	}
}

func getAs(t *testing.T, reg *registrytest.Server, path string, c auth.Credentials) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+path, nil)
	require.NoError(t, err)
	if c.Username != "" {
		r.SetBasicAuth(c.Username, c.Password)
	}
	return send(t, reg, r).StatusCode
}

// getStatus sends a GET with the client and returns the status of the response.
func getStatus(t *testing.T, c *http.Client, url string) int {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

func basicByHand(t *testing.T) {
	who := auth.Basic()
	reg := registrytest.NewServer(t, who)
	require.Equal(t, 401, getAs(t, reg, "/v2/", auth.Credentials{}))
	require.Equal(t, 200, getAs(t, reg, "/v2/", who.User("ci")))
}

func tlsByHand(t *testing.T) {
	reg := registrytest.NewServer(t, registrytest.WithTLS())
	require.Equal(t, 200, getStatus(t, reg.Client(), reg.URL+"/v2/"))

	mutual := registrytest.NewServer(t, registrytest.WithTLS(registrytest.RequireClientCert))
	require.Equal(t, 200, getStatus(t, mutual.Client(), mutual.URL+"/v2/"))
	stranger := mutual.Transport().Clone()
	defer stranger.CloseIdleConnections()
	stranger.TLSClientConfig.GetClientCertificate = nil
	_, err := (&http.Client{Transport: stranger}).Get(mutual.URL + "/v2/")
	require.Error(t, err)

	bad := registrytest.NewServer(t, registrytest.WithTLS(registrytest.ExpiredCert))
	_, err = bad.Client().Get(bad.URL + "/v2/")
	require.ErrorContains(t, err, "expired")
}

func contentByHand(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Index(content.Platforms("linux/amd64", "linux/arm64")))
	reg.Push(t, "team/app", referrer.SPDX(app))
	reg.CheckTag(t, "team/app:v1", app)
	require.Len(t, reg.Referrers(t, "team/app:v1"), 1)
}

func logByHand(t *testing.T) {
	reg := registrytest.NewServer(t)
	require.Equal(t, 200, getStatus(t, reg.Client(), reg.URL+"/v2/"))
	require.Equal(t, 404, getStatus(t, reg.Client(), reg.URL+"/v2/app/manifests/v1"))
	reg.Requests().CheckSequence(t, registry.Ping, registry.GetManifest)
	require.Equal(t, 1, reg.Requests().Repo("app").Status(404).Len())
	require.Contains(t, reg.Requests().First().RequestHeader.Get("User-Agent"), "Go-http-client")
}

// tokenFor asks the registry's token service for a token, and returns a
// request that carries it.
func tokenFor(t *testing.T, reg *registrytest.Server, c auth.Credentials, scope, path string) *http.Request {
	t.Helper()
	ask, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service="+reg.Host()+"&scope="+url.QueryEscape(scope), nil)
	require.NoError(t, err)
	ask.SetBasicAuth(c.Username, c.Password)
	resp, err := reg.Client().Do(ask)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct{ Token string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	r, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+answer.Token)
	return r
}

func send(t *testing.T, reg *registrytest.Server, r *http.Request) *http.Response {
	t.Helper()
	resp, err := reg.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	return resp
}

func tokensByHand(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "team/app:v1", content.Image())
	r := tokenFor(t, reg, who.User("ci"), "repository:team/app:pull", "/v2/team/app/manifests/v1")
	require.Equal(t, 200, send(t, reg, r).StatusCode)
	require.Equal(t, "repository:team/app:pull", reg.Requests().Op(registry.GetToken).First().Scope)
}

func silenceByHand(t *testing.T) {
	quiet := &logCounter{T: t}
	reg := registrytest.NewServer(quiet)
	require.Equal(t, 404, getStatus(t, reg.Client(), reg.URL+"/v2/app/manifests/v1"))
	reg.Close()
	require.Zero(t, quiet.lines)
}

// A logCounter is a TB that counts the calls of Logf.
type logCounter struct {
	*testing.T
	lines int
}

func (c *logCounter) Logf(string, ...any) { c.lines++ }

func rightsByHand(t *testing.T) {
	who := auth.Basic("anonymous pull public/**")
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "team/app:v1", content.Image())
	ro := who.User("ro", "pull team/*")
	require.Equal(t, 200, getAs(t, reg, "/v2/team/app/manifests/v1", ro))
	require.Equal(t, 403, getAs(t, reg, "/v2/other/app/manifests/v1", ro))
	who.Revoke("ro")
	require.Equal(t, 401, getAs(t, reg, "/v2/team/app/manifests/v1", ro))
}

func expiryByHand(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "team/app:v1", content.Image())
	ci := who.User("ci")
	r := tokenFor(t, reg, ci, "repository:team/app:pull", "/v2/team/app/manifests/v1")
	who.ExpireTokens()
	require.Contains(t, send(t, reg, r).Header.Get("WWW-Authenticate"), "invalid_token")
	r = tokenFor(t, reg, ci, "repository:team/other:pull", "/v2/team/app/manifests/v1")
	require.Contains(t, send(t, reg, r).Header.Get("WWW-Authenticate"), "insufficient_scope")
	reg.Fault(t, fault.On(registry.GetToken).Once().Status(503).Body(fault.HTML))
	require.Equal(t, 503, getStatus(t, reg.Client(), reg.URL+"/token"))
}

func unexpectedByHand(t *testing.T) {
	failing := &errorCounter{T: t}
	reg := registrytest.NewServer(failing, lint.Linter{Expect: []registry.Op{registry.Ping}})
	require.Equal(t, 200, getStatus(t, reg.Client(), reg.URL+"/v2/"))
	require.Equal(t, 200, getStatus(t, reg.Client(), reg.URL+"/v2/_catalog"))
	reg.Close()
	require.Equal(t, 1, failing.errors)
}

// An errorCounter is a TB that counts the calls of Errorf. These do not fail the
// test.
type errorCounter struct {
	*testing.T
	errors int
}

func (c *errorCounter) Errorf(string, ...any) { c.errors++ }

func fixtureByHand(t *testing.T) {
	store, err := layout.OpenFS(os.DirFS("../layout/testdata/skopeo"), layout.Repository("app"))
	require.NoError(t, err)
	reg := registrytest.NewServer(t, registrytest.WithStore(store))
	require.NotEmpty(t, reg.Tags(t, "app"))
	resp, err := reg.Client().Post(reg.URL+"/v2/app/blobs/uploads/?digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 405, resp.StatusCode)
}

func nameByHand(t *testing.T) {
	network := registrytest.NewNetwork(t)
	reg := network.Registry("registry.example.com", registrytest.WithTLS())
	require.Equal(t, 200, getStatus(t, network.Client(), "https://registry.example.com/v2/"))
	require.Equal(t, "registry.example.com/team/app:v1", reg.Ref("team/app:v1"))
	_, err := network.Client().Get("https://example.com/v2/")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
}

func portByHand(t *testing.T) {
	one, two := registrytest.NewServer(t), registrytest.NewServer(t)
	require.Equal(t, 200, getStatus(t, one.Client(), one.URL+"/v2/"))
	require.NotEqual(t, one.Host(), two.Host())
}

func mirrorByHand(t *testing.T) {
	network := registrytest.NewNetwork(t)
	mirror := network.Registry("mirror.test")
	mirror.Push(t, "library/alpine:3", content.Image())
	resp, err := network.Client().Get("http://mirror.test/v2/library/alpine/manifests/3?ns=docker.io")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "docker.io", resp.Header.Get("OCI-Namespace"))
	require.Equal(t, "docker.io", mirror.Requests().Last().URL.Query().Get("ns"))
}

func proxyByHand(t *testing.T) {
	network := registrytest.NewNetwork(t)
	reg := network.Registry("registry.example.com", registrytest.WithTLS())
	proxy, err := url.Parse(network.Proxy())
	require.NoError(t, err)
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: reg.Transport().TLSClientConfig.Clone()}
	defer transport.CloseIdleConnections()
	require.Equal(t, 200, getStatus(t, &http.Client{Transport: transport}, "https://registry.example.com/v2/"))

	target := &url.URL{Scheme: "https", Host: "registry.example.com"}
	network.Handle("front.test", &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: network.Transport(),
	})
	require.Equal(t, 200, getStatus(t, network.Client(), "http://front.test/v2/"))
	require.Equal(t, 2, reg.Requests().Op(registry.Ping).Len())
}

func schemeByHand(t *testing.T) {
	plain, secure := registrytest.NewServer(t), registrytest.NewServer(t, registrytest.WithTLS())
	_, err := plain.Client().Get("https://" + plain.Host() + "/v2/")
	require.ErrorContains(t, err, "server gave HTTP response to HTTPS client")
	require.Equal(t, 400, getStatus(t, secure.Client(), "http://"+secure.Host()+"/v2/"))
}

func configByHand(t *testing.T) {
	who := auth.Basic()
	reg := registrytest.NewServer(t, who)
	dir := who.User("ci").DockerConfig(t, reg.Host())
	require.FileExists(t, dir+"/config.json")
}

func cloneByHand(t *testing.T) {
	seed := memstore.New()
	app := content.State{Store: seed}.Push(t, "team/app:v1", content.Image())
	for _, name := range []string{"a", "b", "c", "d"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, registrytest.WithStore(seed.Clone()))
			reg.Push(t, "team/app:"+name, content.Image(content.Seed(uint64(name[0]))))
			require.Equal(t, []string{name, "v1"}, reg.Tags(t, "team/app"))
			reg.CheckTag(t, "team/app:v1", app)
			require.Equal(t, 200, getStatus(t, reg.Client(), reg.URL+"/v2/team/app/manifests/"+name))
		})
	}
}
