package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

func TestUpstream(t *testing.T) {
	t.Parallel()
	behind := registrytest.NewServer(t, registrytest.WithTLS())
	app := behind.Push(t, "team/app:v1", content.Image())
	i := start(t, "-upstream", behind.URL, "-upstream-ca", behind.CA().File(), "-read-only", "-fault", "get-manifest once status=503")
	require.Equal(t, http.StatusServiceUnavailable, i.do(t, "GET", i.url+"/v2/team/app/manifests/v1", "").StatusCode)
	got := i.do(t, "GET", i.url+"/v2/team/app/manifests/v1", "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, string(app.Digest), got.Header.Get("Docker-Content-Digest"))
	require.Equal(t, http.StatusMethodNotAllowed, i.do(t, "DELETE", i.url+"/v2/team/app/manifests/v1", "").StatusCode)
	require.Equal(t, 0, i.stop(t))
}

// The command reaches the upstream through the proxy that the environment names.
// The upstream's name is one that no DNS server has.
func TestUpstreamBehindAProxy(t *testing.T) {
	behind := registrytest.NewServer(t)
	app := behind.Push(t, "team/app:v1", content.Image())
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.Host == "registry.test" {
			r.Out.URL.Host = behind.Host()
		}
	}})
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, args := range [][]string{
		{"-upstream", "http://registry.test"},
		{"-upstream", "registry.test=http://registry.test", "-record", t.TempDir()},
	} {
		p := startProcess(t, args...)
		client := &http.Client{Transport: &http.Transport{}} // This client does not use the proxy.
		resp, err := client.Get(p.url + "/v2/team/app/manifests/v1")
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, string(app.Manifest), string(got))
		client.CloseIdleConnections()
	}
}

// A recording trusts the certificate authorities of -upstream-ca, too.
func TestRecordWithCA(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	behind := registrytest.NewServer(t, registrytest.WithTLS())
	app := behind.Push(t, "team/app:v1", content.Image())
	i := start(t, "-upstream", "example.com="+behind.URL, "-upstream-ca", behind.CA().File(), "-record", t.TempDir())
	got := i.do(t, "GET", i.url+"/v2/team/app/manifests/v1", "")
	require.Equal(t, string(app.Manifest), got.body)
	require.Equal(t, "HTTP/2.0", behind.Requests().Last().Proto)
	require.Equal(t, 0, i.stop(t))
}

func TestUpstreamThatMakesNoSense(t *testing.T) {
	t.Parallel()
	notACert := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(notACert, []byte("x"), 0o666))
	for _, test := range []struct {
		want string
		args []string
	}{
		{"-upstream needs -record DIR", []string{"-upstream", "registry.example.com"}},
		{"leave out /v2", []string{"-upstream", "https://registry.example.com/v2/"}},
		{"-upstream-ca needs -upstream", []string{"-upstream-ca", notACert}},
		{"DIR has no effect", []string{"-upstream", "https://registry.example.com", t.TempDir()}},
		{"contains no PEM certificate", []string{"-upstream", "https://registry.example.com", "-upstream-ca", notACert}},
		{"WithPageSize(3) has no effect", []string{"-upstream", "https://registry.example.com", "-page-size", "3"}},
		{"WithAuthorizer has no effect", []string{"-upstream", "https://registry.example.com", "-user", "ci:secret"}},
	} {
		require.Contains(t, refused(t, append([]string{"-addr", ":0"}, test.args...)...), test.want)
	}
}

// In front of an upstream, the control API refuses snapshots, tampering and a reset.
// It pushes content to the upstream.
func TestControlOfAnUpstream(t *testing.T) {
	t.Parallel()
	behind := registrytest.NewServer(t)
	c := startControlled(t, "-upstream", behind.URL, "-control", "127.0.0.1:0", "-fault", "patch-upload lose-upload")
	for _, path := range []string{"/v1/snapshots", "/v1/tamper", "/v1/reset"} {
		body := map[string]string{"/v1/tamper": `{"ref":"app:v1","drop":true}`}[path]
		require.Contains(t, c.want(t, http.StatusConflict, "POST", path, body), "the content is that of the registry behind this one")
	}
	c.want(t, http.StatusCreated, "POST", "/v1/content", `{"ref":"app:v1","image":{}}`)
	require.Equal(t, []string{"v1"}, behind.Tags(t, "app"))
}
