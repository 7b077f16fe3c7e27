package ggcr_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/ggcr"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
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

func randomImage(t registrytest.TB, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(256, layers)
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	return img
}

// nested returns an index with an image for arm64, an index and a blob.
func nested(t *testing.T) v1.ImageIndex {
	t.Helper()
	inner, err := random.Index(128, 1, 2)
	require.NoError(t, err)
	blob, err := random.Layer(64, types.OCILayer)
	require.NoError(t, err)
	img := randomImage(t, 1)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = "linux", "arm64", "v8"
	img, err = mutate.ConfigFile(img, config)
	require.NoError(t, err)
	return mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}},
		mutate.IndexAddendum{Add: inner},
		mutate.IndexAddendum{Add: blob},
	)
}

func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := of.Digest()
	require.NoError(t, err)
	return h.String()
}

// Push puts content into the store without a request, and the client pulls it.
func TestPush(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, store registry.Store) {
		reg := registrytest.NewServer(t, registrytest.WithStore(store))
		img, index := randomImage(t, 3), nested(t)

		app := ggcr.Push(t, reg, "team/app:v1", img)
		require.Equal(t, digestOf(t, img), app.Digest.String())
		require.Len(t, app.Layers, 3)
		all := ggcr.Push(t, reg, "team/app:all", index)
		require.Equal(t, digestOf(t, index), all.Digest.String())
		require.Equal(t, "v8", all.Children[0].Platform.Variant)
		reg.CheckRepository(t, "team/app", map[string]content.Content{"v1": app, "all": all})
		require.Zero(t, reg.Requests().Len())

		gotImage, err := remote.Image(ggcr.Reference(t, reg, "team/app:v1"), ggcr.Options(reg)...)
		require.NoError(t, err)
		require.NoError(t, validate.Image(gotImage))
		require.Equal(t, digestOf(t, img), digestOf(t, gotImage))
		gotIndex, err := remote.Index(ggcr.Reference(t, reg, "team/app@"+all.Digest.String()), ggcr.Options(reg)...)
		require.NoError(t, err)
		require.NoError(t, validate.Index(gotIndex))
		require.Equal(t, digestOf(t, index), digestOf(t, gotIndex))
	})
}

// Image and Index return the content of the store, byte for byte.
func TestImageAndIndex(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, store registry.Store) {
		reg := registrytest.NewServer(t, registrytest.WithStore(store))
		img, index := randomImage(t, 2), nested(t)
		require.NoError(t, remote.Write(ggcr.Reference(t, reg, "team/app:v1"), img, ggcr.Options(reg)...))
		require.NoError(t, remote.WriteIndex(ggcr.Reference(t, reg, "team/app:all"), index, ggcr.Options(reg)...))
		docker := reg.Push(t, "team/app:docker", content.Image(content.Docker(), content.Layers(2)))
		before := reg.Requests().Len()

		got := ggcr.Image(t, reg, "team/app:v1")
		require.NoError(t, validate.Image(got))
		require.Equal(t, digestOf(t, img), digestOf(t, got))
		want, err := img.RawConfigFile()
		require.NoError(t, err)
		config, err := got.RawConfigFile()
		require.NoError(t, err)
		require.Equal(t, want, config)
		h, err := got.ConfigName()
		require.NoError(t, err)
		_, err = got.LayerByDigest(h)
		require.NoError(t, err, "package remote reads the config like a layer, too")

		gotIndex := ggcr.Index(t, reg, "team/app:all")
		require.NoError(t, validate.Index(gotIndex))
		require.Equal(t, digestOf(t, index), digestOf(t, gotIndex))
		again, err := ggcr.Content(gotIndex)
		require.NoError(t, err)
		require.Len(t, again.Layers, 1)
		require.Len(t, again.Children, 2)

		gotDocker := ggcr.Image(t, reg, "team/app@"+docker.Digest.String())
		require.NoError(t, validate.Image(gotDocker))
		mediaType, err := gotDocker.MediaType()
		require.NoError(t, err)
		require.Equal(t, types.DockerManifestSchema2, mediaType)
		require.Equal(t, before, reg.Requests().Len(), "reading from the store sends no request")
	})
}

// Layers keep their descriptors. Those that are not distributable stay out of the
// store, as with package remote.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	foreign, err := random.Layer(64, types.DockerForeignLayer)
	require.NoError(t, err)
	layer, err := random.Layer(64, types.OCILayer)
	require.NoError(t, err)
	img, err := mutate.Append(empty.Image,
		mutate.Addendum{Layer: layer, Annotations: map[string]string{"a": "1"}},
		mutate.Addendum{Layer: foreign, URLs: []string{"https://example.com/layer"}})
	require.NoError(t, err)
	built, err := ggcr.Content(img)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "1"}, built.Layers[0].Annotations)
	app := ggcr.Push(t, reg, "team/app:v1", img)
	require.Equal(t, []string{"https://example.com/layer"}, app.Layers[1].URLs)
	_, err = reg.Store.StatBlob(t.Context(), "team/app", app.Layers[1].Digest)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// manifest is neither an image nor an index.
type manifest struct{}

func (manifest) RawManifest() ([]byte, error) { return []byte("{}"), nil }

// broken is an image whose config is not the one that its manifest names. If config
// or layer is not nil, reading the config or a layer returns that error.
type broken struct {
	v1.Image
	config error
	layer  error
}

func (b broken) RawConfigFile() ([]byte, error) { return []byte("{}"), b.config }

func (b broken) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if b.layer != nil {
		return nil, b.layer
	}
	return b.Image.LayerByDigest(h)
}

// brokenLayers is like broken, but has the config that its manifest names.
type brokenLayers struct{ broken }

func (b brokenLayers) RawConfigFile() ([]byte, error) { return b.Image.RawConfigFile() }

func TestErrors(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	ggcr.Push(t, reg, "team/app:v1", randomImage(t, 1))
	ggcr.Push(t, reg, "team/app:all", empty.Index)
	streaming, err := mutate.AppendLayers(empty.Image, stream.NewLayer(io.NopCloser(bytes.NewReader([]byte("layer")))))
	require.NoError(t, err)
	unreadable := errors.New("the disk is on fire")
	for want, use := range map[string]func(t *faketb.TB){
		"ggcr: pushing team/app:v2: a ggcr_test.manifest is neither a v1.Image nor a v1.ImageIndex":   func(t *faketb.TB) { ggcr.Push(t, reg, "team/app:v2", manifest{}) },
		"ggcr: pushing team/app:v2: reading an image: value not computed until stream is consumed":    func(t *faketb.TB) { ggcr.Push(t, reg, "team/app:v2", streaming) },
		"the 2 bytes have the digest sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f6": func(t *faketb.TB) { ggcr.Push(t, reg, "team/app:v2", broken{Image: randomImage(t, 1)}) },
		"ggcr: pushing team/app:v2: reading the config of image sha256:": func(t *faketb.TB) {
			ggcr.Push(t, reg, "team/app:v2", broken{Image: randomImage(t, 1), config: unreadable})
		},
		": the disk is on fire": func(t *faketb.TB) {
			ggcr.Push(t, reg, "team/app:v2", brokenLayers{broken{Image: randomImage(t, 1), layer: unreadable}})
		},
		"ggcr: reading team/app:v3":                    func(t *faketb.TB) { ggcr.Image(t, reg, "team/app:v3") },
		"is not the media type of an image; use Index": func(t *faketb.TB) { ggcr.Image(t, reg, "team/app:all") },
		"is not the media type of an index; use Image": func(t *faketb.TB) { ggcr.Index(t, reg, "team/app:v1") },
		"ggcr: could not parse reference: 127.0.0.1:":  func(t *faketb.TB) { ggcr.Reference(t, reg, "Team/App") },
		"has neither a tag nor a digest":               func(t *faketb.TB) { ggcr.Index(t, reg, "team/app") },
	} {
		tb := faketb.Try(t, use)
		require.Len(t, tb.Errors(), 1, want)
		require.Contains(t, tb.Errors()[0], want)
		require.True(t, tb.Fatal(), want)
	}
	_, err = ggcr.GetImage(t.Context(), reg.Store, "team/app:v3")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ggcr.Content(streaming)
	require.ErrorIs(t, err, stream.ErrNotComputed)
	require.Equal(t, []string{"all", "v1"}, reg.Tags(t, "team/app"))
}

// TestExample runs the test in the example, which go test would not run.
func TestExample(t *testing.T) { testLabel(t) }
