package oras_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/errdef"

	"github.com/ocireg/registry"
	orastest "github.com/ocireg/registry/adapters/oras"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
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

// pack packs an artifact with one blob into the target and tags it v1.
func pack(t *testing.T, dst oras.Target, blob string) ocispec.Descriptor {
	t.Helper()
	layer, err := oras.PushBytes(t.Context(), dst, "text/plain", []byte(blob))
	require.NoError(t, err)
	d, err := oras.PackManifest(t.Context(), dst, oras.PackManifestVersion1_1, "application/vnd.example.note", oras.PackManifestOptions{
		Layers: []ocispec.Descriptor{layer},
	})
	require.NoError(t, err)
	require.NoError(t, dst.Tag(t.Context(), d, "v1"))
	return d
}

// oras-go packs, copies and reads with a target as with its own store in memory.
func TestTarget(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, store registry.Store) {
		reg := registrytest.NewServer(t, registrytest.WithStore(store))
		target := orastest.Target(reg.Store, "team/app")
		packed := pack(t, target, "hello")
		app := reg.Get(t, "team/app:v1")
		require.Equal(t, packed.Digest, app.Digest)
		require.Equal(t, "application/vnd.example.note", app.ArtifactType)

		mine := memory.New()
		d, err := oras.Copy(t.Context(), target, "v1", mine, "", oras.DefaultCopyOptions)
		require.NoError(t, err)
		require.Equal(t, packed.Digest, d.Digest)
		back, err := oras.Copy(t.Context(), mine, "v1", orastest.Target(reg.Store, "team/copy"), "v2", oras.DefaultCopyOptions)
		require.NoError(t, err)
		require.Equal(t, packed.Digest, back.Digest)
		reg.CheckRepository(t, "team/copy", map[string]content.Content{"v2": app})
		require.Equal(t, "hello", string(reg.GetBlob(t, "team/copy", app.Layers[0].Digest)))

		for _, name := range []string{"v1", packed.Digest.String()} {
			d, raw, err := oras.FetchBytes(t.Context(), target, name, oras.DefaultFetchBytesOptions)
			require.NoError(t, err)
			require.Equal(t, app.Manifest, raw)
			require.Equal(t, app.Descriptor(), d)
		}
		require.Zero(t, reg.Requests().Len(), "using the store sends no request")
	})
}

// Predecessors lists referrers, so oras-go copies them with their subject, also
// when a tag is set after a referrer was pushed.
func TestPredecessors(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, store registry.Store) {
		reg := registrytest.NewServer(t, registrytest.WithStore(store))
		app := reg.Push(t, "team/app:v1", content.Image())
		sbom := reg.Push(t, "team/app", referrer.SPDX(app))
		target := orastest.Target(reg.Store, "team/app")
		require.NoError(t, target.Tag(t.Context(), sbom.Descriptor(), "sbom"))
		require.NoError(t, target.Tag(t.Context(), app.Descriptor(), app.Digest.String()), "a manifest may be tagged with its own digest")

		all, err := target.Predecessors(t.Context(), app.Descriptor())
		require.NoError(t, err)
		require.Equal(t, reg.Referrers(t, "team/app:v1"), all)
		require.Equal(t, sbom.Digest, all[0].Digest)

		_, err = oras.ExtendedCopy(t.Context(), target, "v1", orastest.Target(reg.Store, "team/copy"), "v1", oras.DefaultExtendedCopyOptions)
		require.NoError(t, err)
		reg.CheckRepository(t, "team/copy", map[string]content.Content{"v1": app}, sbom)
		require.Equal(t, []string{"sbom", "v1"}, reg.Tags(t, "team/app"))
	})
}

func TestTargetErrors(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, store registry.Store) {
		target := orastest.Target(store, "team/app")
		d := pack(t, target, "hello")
		missing := ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromString("missing"), Size: 7}
		missingManifest := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: missing.Digest, Size: 7}

		for name, err := range map[string]error{
			"Resolve":        second(target.Resolve(t.Context(), "v2")),
			"Fetch":          second(target.Fetch(t.Context(), missing)),
			"Fetch manifest": second(target.Fetch(t.Context(), missingManifest)),
			"Tag":            target.Tag(t.Context(), missingManifest, "v2"),
		} {
			require.ErrorIs(t, err, errdef.ErrNotFound, name)
			require.ErrorIs(t, err, fs.ErrNotExist, name)
			require.ErrorContains(t, err, "in team/app: not found", name)
		}
		for _, d := range []ocispec.Descriptor{missing, missingManifest} {
			exists, err := target.Exists(t.Context(), d)
			require.NoError(t, err)
			require.False(t, exists)
			require.ErrorIs(t, target.Push(t.Context(), d, strings.NewReader("another")), orascontent.ErrMismatchedDigest)
			require.ErrorIs(t, target.Push(t.Context(), d, strings.NewReader("missing!")), orascontent.ErrTrailingData)
			require.Error(t, target.Push(t.Context(), d, strings.NewReader("miss")))
			exists, err = target.Exists(t.Context(), d)
			require.NoError(t, err)
			require.False(t, exists, "content that does not match is not stored")
		}
		require.ErrorIs(t, target.Push(t.Context(), d, strings.NewReader("")), errdef.ErrAlreadyExists)
		require.ErrorContains(t, target.Tag(t.Context(), d, "not a tag"), `"not a tag" is not a tag`)
		require.ErrorContains(t, target.Tag(t.Context(), d, missing.Digest.String()), "the content has the digest "+d.Digest.String())
		all, err := target.Predecessors(t.Context(), missingManifest)
		require.NoError(t, err)
		require.Empty(t, all)

		broken := orastest.Target(registry.UnimplementedStore{}, "team/app")
		_, err = broken.Exists(t.Context(), d)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorIs(t, broken.Push(t.Context(), d, strings.NewReader("")), errors.ErrUnsupported)
		require.ErrorIs(t, second(broken.Predecessors(t.Context(), d)), errors.ErrUnsupported)
	})
}

func second[T any](_ T, err error) error { return err }

// TestExample runs the test in the example, which go test would not run.
func TestExample(t *testing.T) { testPublish(t) }
