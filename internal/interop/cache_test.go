package interop

import (
	"context"
	"encoding/json"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/types/ref"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// cacheBlobs returns the blobs of a build cache of BuildKit, with the config last
// (cache/remotecache/export.go).
func cacheBlobs(layerType string) []content.Blob {
	layers := []content.Blob{content.Random(layerType, 100_000, 1), content.Random(layerType, 3000, 2)}
	config, _ := json.Marshal(map[string]any{
		"layers":  []any{map[string]any{"blob": layers[0].Digest, "parent": -1}, map[string]any{"blob": layers[1].Digest}},
		"records": []any{map[string]any{"digest": digest.FromString("RUN make"), "layers": []any{map[string]any{"layer": 1}}}},
	})
	return append(layers, content.Bytes("application/vnd.buildkit.cacheconfig.v0", config))
}

// cacheIndex returns the index that BuildKit pushes for a build cache with
// image-manifest=false, the default before v0.21. The children of the index are blobs.
func cacheIndex(mediaType string, blobs []content.Blob) (raw []byte) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType}
	for _, b := range blobs {
		index.Manifests = append(index.Manifests, b.Descriptor)
	}
	for i := range index.Manifests[:len(blobs)-1] {
		index.Manifests[i].Annotations = map[string]string{
			"buildkit/createdat":         "2024-01-02T03:04:05Z",
			"containerd.io/uncompressed": digest.FromString("diff").String(),
		}
	}
	raw, _ = json.Marshal(index)
	return raw
}

// A copier copies an index and its children from one registry to another over HTTP.
type copier func(ctx context.Context, from, to string) error

func copyWithCrane(ctx context.Context, from, to string) error {
	return crane.Copy(from, to, crane.WithContext(ctx), crane.Insecure)
}

func copyWithOras(ctx context.Context, from, to string) error {
	src, err := remote.NewRepository(from)
	if err != nil {
		return err
	}
	dst, err := remote.NewRepository(to)
	if err != nil {
		return err
	}
	src.PlainHTTP, dst.PlainHTTP = true, true
	_, err = oras.Copy(ctx, src, src.Reference.Reference, dst, dst.Reference.Reference, oras.DefaultCopyOptions)
	return err
}

func copyWithRegclient(ctx context.Context, from, to string) error {
	src, err := ref.New(from)
	if err != nil {
		return err
	}
	dst, err := ref.New(to)
	if err != nil {
		return err
	}
	rc := regclient.New(
		regclient.WithConfigHost(config.Host{Name: src.Registry, TLS: config.TLSDisabled}),
		regclient.WithConfigHost(config.Host{Name: dst.Registry, TLS: config.TLSDisabled}))
	defer rc.Close(ctx, dst)
	return rc.ImageCopy(ctx, src, dst)
}

// TestBuildCache copies a build cache in BuildKit's older form from a registry in
// memory to one with a layout and back. It compares every byte.
func TestBuildCache(t *testing.T) {
	t.Parallel()
	for client, copyIndex := range map[string]copier{"crane": copyWithCrane, "oras-go": copyWithOras, "regclient": copyWithRegclient} {
		for name, types := range map[string][2]string{
			"OCI":    {ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageLayerGzip},
			"Docker": {"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
		} {
			t.Run(client+"/"+name, func(t *testing.T) {
				t.Parallel()
				blobs := cacheBlobs(types[1])
				cache := content.Raw(types[0], cacheIndex(types[0], blobs))
				first := registrytest.NewServer(t)
				for _, b := range blobs {
					first.PushBlob(t, "team/cache", b)
				}
				first.Push(t, "team/cache:main", cache)

				onDisk := registrytest.NewServer(t, registrytest.WithStore(matrix.Stores()["layout"](t)))
				last := registrytest.NewServer(t)
				require.NoError(t, copyIndex(t.Context(), first.Ref("team/cache:main"), onDisk.Ref("team/copy:main")))
				require.NoError(t, copyIndex(t.Context(), onDisk.Ref("team/copy:main"), last.Ref("team/cache:main")))
				wantCache(t, onDisk, "team/copy", cache, blobs)
				wantCache(t, last, "team/cache", cache, blobs)
			})
		}
	}
}

// wantCache fails the test unless tag main of the repository has every byte of the cache.
func wantCache(t *testing.T, reg *registrytest.Server, repo string, cache content.Content, blobs []content.Blob) {
	m, err := reg.Store.GetManifest(t.Context(), repo, "main")
	require.NoError(t, err)
	require.Equal(t, string(cache.Manifest), string(m.Content))
	require.Equal(t, cache.MediaType, m.MediaType)
	for _, b := range blobs {
		r, err := reg.Store.OpenBlob(t.Context(), repo, b.Digest)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		want, err := io.ReadAll(b.Open())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
