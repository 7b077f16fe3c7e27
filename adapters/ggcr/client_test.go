package ggcr_test

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/ggcr"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
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
func TestClient(t *testing.T) {
	t.Parallel()
	for server, start := range servers {
		for scheme, newAuth := range schemes {
			t.Run(server+"/"+scheme, func(t *testing.T) {
				t.Parallel()
				onBothStores(t, func(t *testing.T, store registry.Store) {
					a := newAuth()
					ci := a.User("ci", "pull,push team/**")
					reg := start(t, a, registrytest.WithStore(store))
					ref := ggcr.Reference(t, reg, "team/app:v1")
					img := randomImage(t, 1)

					var refused *transport.Error
					require.ErrorAs(t, remote.Write(ref, img, ggcr.Options(reg)...), &refused)
					require.Equal(t, http.StatusUnauthorized, refused.StatusCode)

					opts := ggcr.Options(reg, ggcr.Keychain(reg, ci))
					require.NoError(t, remote.Write(ref, img, opts...))
					require.Equal(t, digestOf(t, img), digestOf(t, ggcr.Image(t, reg, "team/app:v1")))
					got, err := remote.Image(ref, opts...)
					require.NoError(t, err)
					require.NoError(t, validate.Image(got))
				})
			})
		}
	}
}

// One set of options reaches all registries of a network, each with its own
// credentials.
func TestNetwork(t *testing.T) {
	t.Parallel()
	network := registrytest.NewNetwork(t)
	private, mirror := auth.Basic(), auth.Bearer()
	origin := network.Registry("docker.io", private)
	other := network.Registry("mirror.example.com", mirror)
	public := network.Registry("public.example.com")
	opts := ggcr.Options(network, ggcr.Keychain(origin, private.User("alice")), ggcr.Keychain(other, mirror.User("bob")))

	img := randomImage(t, 1)
	for _, ref := range []string{"alpine:3", "mirror.example.com/library/alpine:3", "public.example.com/library/alpine:3"} {
		r, err := name.ParseReference(ref)
		require.NoError(t, err)
		require.NoError(t, remote.Write(r, img, opts...))
	}
	for _, reg := range []*registrytest.Server{origin, other, public} {
		require.Equal(t, digestOf(t, img), digestOf(t, ggcr.Image(t, reg, "library/alpine:3")))
	}
	for _, r := range public.Requests().Records() {
		require.Empty(t, r.RequestHeader["Authorization"], "the client sends credentials only to their own registry")
	}
}

func TestKeychain(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	keys := ggcr.Keychain(reg, auth.Credentials{Username: "ci", Password: "secret"})
	for host, want := range map[string]string{reg.Host(): "ci", "127.0.0.1:1": "", "registry.example.com": ""} {
		repo, err := name.NewRepository(host + "/team/app")
		require.NoError(t, err)
		a, err := keys.Resolve(repo)
		require.NoError(t, err)
		config, err := authn.Authorization(t.Context(), a)
		require.NoError(t, err)
		require.Equal(t, want, config.Username, host)
	}
}
