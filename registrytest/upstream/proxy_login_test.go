package upstream_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	client "github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/upstream"
)

// clientOf returns a client of the registry that logs in with the credentials.
// It rejects a token service on this machine whose port is not the registry's.
func clientOf(t *testing.T, reg *registrytest.Server, c auth.Credentials) *client.Store {
	u, err := url.Parse(reg.URL)
	require.NoError(t, err)
	return &client.Store{Base: reg.URL, Client: &http.Client{Transport: &client.Transport{Registry: u, Next: reg.Transport(),
		Login: func(context.Context) (client.Login, error) {
			return client.Login{Username: c.Username, Password: c.Password}, nil
		}}}}
}

// Clients log in, pull and push through a proxy over HTTP, HTTPS and HTTP/2.
// They use Basic, or tokens of a token service at the upstream or at another
// port. The challenge names the proxy as the token service.
func TestLoginThroughAProxy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		users     *auth.Auth
		elsewhere bool
		tls       bool
	}{
		"Bearer":                      {users: auth.Bearer()},
		"Bearer, HTTPS":               {users: auth.Bearer(), tls: true},
		"Bearer, another port":        {users: auth.Bearer(), elsewhere: true},
		"Bearer, another port, HTTPS": {users: auth.Bearer(), elsewhere: true, tls: true},
		"Basic":                       {users: auth.Basic()},
		"Basic, HTTPS":                {users: auth.Basic(), tls: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ci, guest := c.users.User("ci"), c.users.User("guest", "pull open")
			opts := []registrytest.Option{c.users}
			front := []registrytest.Option{}
			if c.tls {
				opts, front = append(opts, registrytest.WithTLS()), append(front, registrytest.WithTLS())
			}
			tokens := httptest.NewUnstartedServer(c.users.TokenHandler())
			if c.elsewhere && c.tls {
				tokens.StartTLS()
			} else {
				tokens.Start()
			}
			t.Cleanup(tokens.Close)
			if c.elsewhere {
				c.users.Realm = tokens.URL + "/auth"
			}
			behind := registrytest.NewServer(t, opts...)
			transport := behind.Transport().Clone()
			if c.elsewhere && c.tls {
				transport.TLSClientConfig.RootCAs = transport.TLSClientConfig.RootCAs.Clone()
				transport.TLSClientConfig.RootCAs.AddCert(tokens.Certificate())
			}
			app := behind.Push(t, "app:v1", content.Image())
			reg := registrytest.NewServer(t, append(front, upstream.NewProxy(behind.URL, upstream.Transport(transport)))...)

			s := clientOf(t, reg, ci)
			m, err := s.GetManifest(t.Context(), "app", "v1")
			require.NoError(t, err)
			require.Equal(t, app.Manifest, m.Content)
			text := "a blob"
			d := digest.FromString(text)
			require.NoError(t, s.Upload(t.Context(), "app", d, strings.NewReader(text), int64(len(text))))
			resp, err := s.GetBlob(t.Context(), "app", d)
			require.NoError(t, err)
			resp.Body.Close()
			if c.tls {
				require.Equal(t, 2, resp.ProtoMajor)
				require.Equal(t, "HTTP/2.0", behind.Requests().Last().Proto)
			}
			asked := reg.Requests().Op(registry.GetToken)
			require.Equal(t, strings.HasPrefix(name, "Bearer"), asked.Len() > 0)
			for _, r := range asked.Records() {
				require.Equal(t, "/token", r.URL.Path)
			}

			// A client does not get the rights of an earlier client.
			_, err = clientOf(t, reg, guest).GetManifest(t.Context(), "app", "v1")
			require.Error(t, err)
			plain, err := reg.Client().Get(reg.URL + "/v2/app/manifests/v1")
			require.NoError(t, err)
			plain.Body.Close()
			require.Equal(t, http.StatusUnauthorized, plain.StatusCode)
			require.NotContains(t, plain.Header.Get("Www-Authenticate"), tokens.URL)
		})
	}
}

// The proxy replaces an absolute Location of an upload with a URL at the proxy. A
// redirect to another host stays the same: the client follows it to that host,
// without the registry's credentials.
func TestPlacesThatTheUpstreamNames(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	users := auth.Basic()
	ci := users.User("ci")
	behind, cdn := n.Registry("registry.example.com", users, registry.WithPageSize(1)), n.Registry("cdn.example.net")
	image := content.Image()
	behind.Push(t, "app:v1", image)
	behind.Push(t, "app:v2", image)
	cdn.Push(t, "app:v1", image)
	reg := n.Registry("proxy.example.org", upstream.NewProxy(behind.URL, upstream.Transport(n.Transport())))
	s := clientOf(t, reg, ci)

	behind.Fault(t, fault.On(registry.StartUpload, registry.PatchUpload).Location("{origin}"))
	behind.Fault(t, fault.On(registry.ListTags).Location("{origin}"))
	text := "a blob"
	d := digest.FromString(text)
	require.NoError(t, s.Upload(t.Context(), "app", d, strings.NewReader(text), int64(len(text))))
	require.Equal(t, 1, reg.Requests().Op(registry.PutUpload).Len())
	require.Equal(t, 1, behind.Requests().Op(registry.PutUpload).Len())

	var tags []string
	for tag, err := range s.Tags(t.Context(), "app", "") {
		require.NoError(t, err)
		tags = append(tags, tag)
	}
	require.Equal(t, []string{"v1", "v2"}, tags)
	require.Equal(t, 2, reg.Requests().Op(registry.ListTags).Status(200).Len())

	behind.Fault(t, fault.On(registry.GetBlob).Status(307).Location(cdn.URL))
	resp, err := s.GetBlob(t.Context(), "app", image.Layers[0].Digest)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "cdn.example.net", resp.Request.URL.Host)
	require.Equal(t, 1, cdn.Requests().Len(), "the proxy does not follow redirects")
	require.Empty(t, cdn.Requests().Records()[0].RequestHeader["Authorization"])
	require.Empty(t, cdn.Requests().Records()[0].User)
}
