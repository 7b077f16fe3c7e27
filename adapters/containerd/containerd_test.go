package containerd_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"testing"

	ctrcontent "github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/containerd"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// onBothStores runs the test with a store in memory and with one on disk.
func onBothStores(t *testing.T, test func(t *testing.T, store registry.Store)) {
	t.Run("memstore", func(t *testing.T) {
		t.Parallel()
		test(t, memstore.New())
	})
	t.Run("layout", func(t *testing.T) {
		t.Parallel()
		store, err := layout.Open(t.TempDir())
		require.NoError(t, err)
		defer store.Close()
		test(t, store)
	})
}

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

// push pushes the bytes, unless the registry has them.
func push(t *testing.T, resolver remotes.Resolver, ref string, d ocispec.Descriptor, raw []byte) {
	t.Helper()
	pusher, err := resolver.Pusher(t.Context(), ref)
	require.NoError(t, err)
	w, err := pusher.Push(t.Context(), d)
	if errdefs.IsAlreadyExists(err) {
		return
	}
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, ctrcontent.Copy(t.Context(), w, bytes.NewReader(raw), d.Size, d.Digest))
}

// pull fetches the manifest with the reference.
func pull(ctx context.Context, resolver remotes.Resolver, ref string) ([]byte, error) {
	name, d, err := resolver.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// The resolver pushes and pulls with credentials over every kind of connection.
// Without credentials the registry refuses it.
func TestResolver(t *testing.T) {
	t.Parallel()
	for server, start := range servers {
		for scheme, newAuth := range schemes {
			t.Run(server+"/"+scheme, func(t *testing.T) {
				t.Parallel()
				onBothStores(t, func(t *testing.T, store registry.Store) {
					a := newAuth()
					ci := a.User("ci", "pull,push team/**")
					reg := start(t, a, registrytest.WithStore(store))
					app := reg.Push(t, "team/app:v1", content.Image())

					_, err := pull(t.Context(), containerd.Resolver(containerd.Hosts(reg)), reg.Ref("team/app:v1"))
					require.Error(t, err)
					require.Equal(t, http.StatusUnauthorized, reg.Requests().Last().Status)

					resolver := containerd.Resolver(containerd.Hosts(reg, ci))
					raw, err := pull(t.Context(), resolver, reg.Ref("team/app:v1"))
					require.NoError(t, err)
					require.Equal(t, app.Manifest, raw)
					for b := range app.Blobs() {
						bytes, err := io.ReadAll(b.Open())
						require.NoError(t, err)
						push(t, resolver, reg.Ref("team/copy:v2"), b.Descriptor, bytes)
					}
					push(t, resolver, reg.Ref("team/copy:v2"), app.Descriptor(), app.Manifest)
					reg.CheckRepository(t, "team/copy", map[string]content.Content{"v2": app})
				})
			})
		}
	}
}

// One resolver reaches several registries of a network, each with its own
// credentials, and no others. If the test's own function lists a mirror first, the
// resolver pulls from the mirror.
func TestResolverOfANetwork(t *testing.T) {
	t.Parallel()
	network := registrytest.NewNetwork(t)
	a := auth.Bearer()
	hub, mirror := network.Registry("docker.io", a), network.Registry("mirror.example.com")
	unknown := network.Registry("unknown.example.com")
	app := content.Image()
	unknown.Push(t, "library/app:v1", app)
	hub.Push(t, "library/app:v1", app)
	toHub, toMirror := containerd.Hosts(hub, a.User("ci")), containerd.Hosts(mirror)

	resolver := containerd.Resolver(toHub, toMirror)
	raw, err := pull(t.Context(), resolver, "docker.io/library/app:v1")
	require.NoError(t, err)
	require.Equal(t, app.Manifest, raw)
	_, err = pull(t.Context(), resolver, "mirror.example.com/library/app:v1")
	require.True(t, errdefs.IsNotFound(err), "%v", err)
	require.Empty(t, mirror.Requests().Last().RequestHeader["Authorization"])
	_, err = pull(t.Context(), resolver, "unknown.example.com/library/app:v1")
	require.ErrorIs(t, err, errdefs.ErrNotFound)
	require.Zero(t, unknown.Requests().Len())

	mirror.Push(t, "library/app:v1", app)
	before := hub.Requests().Len()
	_, err = pull(t.Context(), containerd.Resolver(func(host string) ([]docker.RegistryHost, error) {
		if host != "docker.io" {
			return nil, nil
		}
		first, err := toMirror("mirror.example.com")
		if err != nil {
			return nil, err
		}
		then, err := toHub(host)
		return append(first, then...), err
	}), "docker.io/library/app:v1")
	require.NoError(t, err)
	require.Equal(t, before, hub.Requests().Len(), "the resolver pulls everything from the mirror")
	require.Equal(t, "docker.io", mirror.Requests().Last().URL.Query().Get("ns"))
}

// Store fills a content store with all content that the references name, without a
// request.
func TestStore(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, store registry.Store) {
		reg := registrytest.NewServer(t, registrytest.WithStore(store))
		app := reg.Push(t, "team/app:v1", content.Image(content.Layers(2)))
		index := reg.Push(t, "team/app:all", content.Index(app, content.Platforms("linux/amd64", "linux/arm64")))
		single, all := containerd.Store(t, reg, "team/app:v1"), containerd.Store(t, reg, "team/app:v1", "team/app@"+index.Digest.String())
		require.Equal(t, digests(app), stored(t, single))
		require.Equal(t, digests(index), stored(t, all))
		for m := range index.Manifests() {
			raw, err := ctrcontent.ReadBlob(t.Context(), all, m.Descriptor())
			require.NoError(t, err)
			require.Equal(t, m.Manifest, raw)
		}
		require.Zero(t, reg.Requests().Len())
	})
}

// Fill leaves out children and blobs that the store does not have.
func TestFill(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	absent := content.Image(content.Layers(1), content.Platform("linux/arm64"))
	app := content.Image(content.Layers(1).Absent(), content.Layers(1))
	require.NoError(t, content.Put(t.Context(), store, "team/app:v1", content.Index(app, absent.Absent())))

	dst := containerd.Store(t, registrytest.NewServer(t))
	d, err := containerd.Fill(t.Context(), dst, store, "team/app:v1")
	require.NoError(t, err)
	got := stored(t, dst)
	require.True(t, got[d.Digest] && got[app.Digest] && got[app.Config.Digest] && got[app.Layers[1].Digest])
	require.False(t, got[absent.Digest] || got[app.Layers[0].Digest])

	_, err = containerd.Fill(t.Context(), dst, store, "team/app:v2")
	require.ErrorIs(t, err, fs.ErrNotExist)
	tb := faketb.Try(t, func(t *faketb.TB) { containerd.Store(t, registrytest.NewServer(t), "team/app:v1") })
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "containerd: reading team/app:v1")
	require.True(t, tb.Fatal())
}

// digests returns the digests of the content's manifests and blobs.
func digests(c content.Content) map[digest.Digest]bool {
	all := make(map[digest.Digest]bool)
	for m := range c.Manifests() {
		all[m.Digest] = true
	}
	for b := range c.Blobs() {
		all[b.Digest] = true
	}
	return all
}

// stored returns the digests of the content in the content store.
func stored(t *testing.T, s ctrcontent.Store) map[digest.Digest]bool {
	t.Helper()
	all := make(map[digest.Digest]bool)
	require.NoError(t, s.Walk(t.Context(), func(info ctrcontent.Info) error {
		all[info.Digest] = true
		return nil
	}))
	return all
}

// TestExample runs the test in the example, which go test would not run.
func TestExample(t *testing.T) { testFetch(t) }
