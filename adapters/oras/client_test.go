package oras_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"

	"github.com/ocireg/registry"
	orastest "github.com/ocireg/registry/adapters/oras"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// servers has a function for each way to start a registry.
var servers = map[string]func(t *testing.T, opts ...registrytest.Option) *registrytest.Server{
	"HTTP": func(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewServer(t, opts...)
	},
	"HTTPS": func(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewServer(t, append(opts, registrytest.WithTLS())...)
	},
	"network": func(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewNetwork(t).Registry("registry.example.com", opts...)
	},
	"network without HTTPS": func(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewNetwork(t).Registry("registry.example.com:80", opts...)
	},
	"docker.io": func(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewNetwork(t).Registry("docker.io", opts...)
	},
}

var schemes = map[string]func(rules ...string) *auth.Auth{"basic": auth.Basic, "bearer": auth.Bearer}

// The client pushes and pulls with credentials over every kind of connection.
// Without credentials the registry refuses it.
func TestRepository(t *testing.T) {
	t.Parallel()
	for server, start := range servers {
		for scheme, newAuth := range schemes {
			t.Run(server+"/"+scheme, func(t *testing.T) {
				t.Parallel()
				onBothStores(t, func(t *testing.T, store registry.Store) {
					a := newAuth()
					ci := a.User("ci", "pull,push team/**")
					reg := start(t, a, registrytest.WithStore(store))
					reg.Push(t, "team/app:v1", content.Image(content.Layers(2)))

					_, err := orastest.Repository(t, reg, "team/app").Resolve(t.Context(), "v1")
					require.Error(t, err)
					require.Equal(t, http.StatusUnauthorized, reg.Requests().Op(registry.HeadManifest).Last().Status)

					repo := orastest.Repository(t, reg, "team/app:v1", ci)
					require.Equal(t, "v1", repo.Reference.Reference)
					d := pack(t, orastest.Repository(t, reg, "team/note", ci), scheme)
					require.Equal(t, d.Digest, reg.Get(t, "team/note:v1").Digest)
					got, err := oras.Copy(t.Context(), repo, "v1", orastest.Target(reg.Store, "team/copy"), "v1", oras.DefaultCopyOptions)
					require.NoError(t, err)
					require.Equal(t, reg.Get(t, "team/app:v1").Descriptor(), got)
				})
			})
		}
	}
}

// The client sends its credentials to their own server only.
func TestClient(t *testing.T) {
	t.Parallel()
	network := registrytest.NewNetwork(t)
	a := auth.Basic()
	private, other := network.Registry("private.example.com", a), network.Registry("other.example.com", auth.Basic())
	client := orastest.Client(private, a.User("ci"))
	for reg, want := range map[*registrytest.Server]int{private: http.StatusOK, other: http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, reg.URL+"/v2/", nil)
		require.NoError(t, err)
		resp, err := client.Do(r)
		if want == http.StatusOK {
			require.NoError(t, err)
			require.Equal(t, want, resp.StatusCode)
			resp.Body.Close()
		}
		require.Equal(t, want, reg.Requests().Last().Status)
	}
	require.Empty(t, other.Requests().Last().RequestHeader["Authorization"])
}

func TestRepositoryThatCannotBe(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	tb := faketb.Try(t, func(t *faketb.TB) { orastest.Repository(t, reg, "Team/App") })
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "oras: making a client for "+reg.Ref("Team/App"))
	require.True(t, tb.Fatal())
}
