package upstream_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/conformance"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/upstream"
)

func TestProxyAsAHandler(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(registry.New(memstore.New()))
	t.Cleanup(behind.Close)
	proxy := upstream.NewProxy(behind.URL)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	w := httptest.NewRecorder()
	registry.New(proxy).ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "{}", w.Body.String())
}

// stores opens each kind of store for the registry behind the proxy.
var stores = map[string]func(t *testing.T) registry.Store{
	"memstore": func(*testing.T) registry.Store { return memstore.New() },
	"layout": func(t *testing.T) registry.Store {
		s, err := layout.Open(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	},
}

func TestProxy(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			behind := registrytest.NewServer(t, registrytest.WithStore(open(t)))
			app := behind.Push(t, "team/app:v1", content.Image())
			reg := registrytest.NewServer(t, upstream.NewProxy(behind.URL))

			c := testclient.New(t, reg.Client(), reg.URL)
			r := c.Get("/v2/team/app/manifests/v1")
			require.NoError(t, r.Err)
			require.Equal(t, http.StatusOK, r.Status)
			require.Equal(t, string(app.Manifest), r.Body)
			require.Equal(t, 1, behind.Requests().Len())

			reg.Fault(t, fault.On(registry.GetManifest).Once().Status(503))
			require.Equal(t, 503, c.Get("/v2/team/app/manifests/v1").Status)
			require.Equal(t, 404, c.Get("/v2/team/app/manifests/v2").Status)
			require.Equal(t, 2, behind.Requests().Len())
			require.Equal(t, 3, reg.Requests().Op(registry.GetManifest).Len())
			require.Equal(t, registry.CodeManifestUnknown, reg.Requests().Records()[2].Errors[0].Code)

			other := reg.Push(t, "team/app:v2", content.Image(content.Layers(3)))
			require.Equal(t, []string{"v1", "v2"}, behind.Tags(t, "team/app"))
			require.Equal(t, other.Manifest, behind.Get(t, "team/app:v2").Manifest)
		})
	}
}

// A proxy meets the same requirements of the spec as the registry behind it,
// over HTTP/1.1 and HTTP/2.
func TestProxyMeetsTheSpec(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{
		"http":  nil,
		"http2": {registrytest.WithTLS()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			behind := registrytest.NewServer(t, opts...)
			front := []registrytest.Option{upstream.NewProxy(behind.URL, upstream.Transport(behind.Transport()))}
			if name == "http2" {
				front = append(front, registrytest.WithTLS())
			}
			reg := registrytest.NewServer(t, front...)
			conformance.Registry(t, conformance.Target{URL: reg.URL, Client: reg.Client(), ManifestLimit: 4 << 20})
		})
	}
}

// For a nil transport, the error names the option.
func TestNilTransport(t *testing.T) {
	t.Parallel()
	err := upstream.NewProxy("https://registry.example.com", upstream.Transport(nil)).Err()
	require.EqualError(t, err, "the argument of Transport is nil; leave the option out")
	_, err = upstream.Open(memstore.New(), upstream.Remote("registry.example.com", upstream.RoundTripper(nil)))
	require.ErrorContains(t, err, "the argument of RoundTripper is nil; leave the option out")
}

// A nil option is an error.
func TestNilOption(t *testing.T) {
	t.Parallel()
	const want = "an option is nil; leave it out"
	require.EqualError(t, upstream.NewProxy("https://registry.example.com", nil).Err(), want)
	for _, o := range []upstream.StoreOption{nil, upstream.Remote("registry.example.com", nil)} {
		_, err := upstream.Open(memstore.New(), o)
		require.ErrorContains(t, err, want)
	}
}
