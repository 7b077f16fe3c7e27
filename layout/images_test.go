package layout_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

const lifecycleRepo = "index.docker.io/library/app"

// lifecycleTree makes a tree of images in the form that the lifecycle of Cloud
// Native Buildpacks and its library imgutil write. Each image is in a separate
// layout. ParseRefToPath of imgutil (layout/util.go) derives the directory from
// the reference. The exporter of the lifecycle (cmd/lifecycle/exporter.go) gives
// the only entry of the layout the tag or digest as its name. Other images, such
// as the run image, have no name.
func lifecycleTree(t testing.TB) (dir string) {
	dir = t.TempDir()
	for path, entry := range map[string]indexEntry{
		"latest": {0, map[string]string{"org.opencontainers.image.ref.name": "latest"}},
		"V1_":    {1, nil}, // not a valid component of a repository name
		"sha256/" + smallImage(2).Digest.Encoded(): {2, nil},
		// If the lifecycle pulls an image by the digest of an index, it saves one
		// manifest of that index in the directory for the digest of the index.
		"sha256/" + hex64: {3, map[string]string{
			"org.opencontainers.image.ref.name": "sha256:" + hex64}},
	} {
		at := filepath.Join(dir, lifecycleRepo, filepath.FromSlash(path))
		foreignLayout(t, at, entry)
		content := fmt.Sprint("layer", entry.image)
		writeFile(t, at, "blobs/sha256/"+digest.FromString(content).Encoded(), content)
	}
	return dir
}

// TestImagesOfLifecycle reads the images in a tree of the Buildpacks lifecycle
// as tags and digests of one repository.
func TestImagesOfLifecycle(t *testing.T) {
	t.Parallel()
	dir := lifecycleTree(t)
	readOnly := []layout.Option{layout.ReadOnly()}
	fsys, err := layout.OpenFS(os.DirFS(dir))
	require.NoError(t, err)
	for name, s := range map[string]*layout.Store{"writable": open(t, dir), "read-only": open(t, dir, readOnly...), "fs": fsys} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, []string{lifecycleRepo + ":V1_", lifecycleRepo + ":latest"}, tagsOf(t, s))
			require.Equal(t, []string{"latest"}, collect(t, s.Tags(t.Context(), lifecycleRepo, "V1_")))
			wantManifestDigest(t, s, lifecycleRepo, "latest", 0)
			wantManifestDigest(t, s, lifecycleRepo, "V1_", 1)
			for i := range 4 {
				content := fmt.Sprint("layer", i)
				wantManifestDigest(t, s, lifecycleRepo, string(smallImage(i).Digest), i)
				require.Equal(t, content, string(readBlob(t, s, lifecycleRepo, digest.FromString(content))))
				size, err := s.StatBlob(t.Context(), lifecycleRepo, digest.FromString(content))
				require.NoError(t, err)
				require.EqualValues(t, len(content), size)
			}
			var untagged []digest.Digest
			for _, d := range collect(t, s.Untagged(t.Context(), lifecycleRepo)) {
				untagged = append(untagged, d.Digest)
			}
			require.ElementsMatch(t, []digest.Digest{smallImage(2).Digest, smallImage(3).Digest}, untagged)
			require.IsIncreasing(t, untagged)

			// The path of each layout also works as the name of a repository.
			wantManifestDigest(t, s, lifecycleRepo+"/latest", "latest", 0)
			_, err := s.StatBlob(t.Context(), lifecycleRepo+"/latest", digest.FromString("layer1"))
			wantNotExist(t, err)
			for _, ref := range []string{"v2", "V1", string(smallImage(4).Digest)} {
				_, err := s.GetManifest(t.Context(), lifecycleRepo, ref)
				wantNotExist(t, err)
			}
			_, err = s.OpenBlob(t.Context(), lifecycleRepo, digest.FromString("layer4"))
			wantNotExist(t, err)
			_, err = s.GetManifest(t.Context(), lifecycleRepo+"/sha256", hex64)
			wantNotExist(t, err)
			request(t, registry.New(s), "GET", "/v2/"+lifecycleRepo+"/manifests/latest", 200)
			request(t, registry.New(s), "GET", "/v2/"+lifecycleRepo+"/manifests/none", 404)
			request(t, registry.New(s), "GET", "/v2/"+lifecycleRepo+"/tags/list", 200)
		})
	}
}

// TestImagesCannotBeWrittenTo checks that the store refuses all writes to a
// repository that consists of images of the Buildpacks lifecycle. A push would
// turn the directory of the repository into a layout without the blobs of the
// images.
func TestImagesCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	dir := lifecycleTree(t)
	s := open(t, dir)
	before := files(t, filepath.Join(dir, "index.docker.io"))
	ctx := t.Context()
	_, err := s.CreateBlob(ctx, lifecycleRepo, 1)
	for _, err := range []error{
		err, s.MountBlob(ctx, lifecycleRepo, digest.FromString("layer0"), lifecycleRepo),
		s.PutManifest(ctx, lifecycleRepo, smallImage(4), []string{"v2"}, nil), s.DeleteTag(ctx, lifecycleRepo, "latest"),
		s.DeleteManifest(ctx, lifecycleRepo, smallImage(0).Digest), s.DeleteBlob(ctx, lifecycleRepo, digest.FromString("layer0")),
	} {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "layouts of their own, such as "+lifecycleRepo+"/V1_")
	}
	require.Equal(t, before, files(t, filepath.Join(dir, "index.docker.io")))
	request(t, registry.New(s), "DELETE", "/v2/"+lifecycleRepo+"/manifests/latest", 405)

	// Other repositories can mount blobs of the images, and each layout can be
	// written to by its own path.
	require.NoError(t, s.MountBlob(ctx, "other", digest.FromString("layer2"), lifecycleRepo))
	require.NoError(t, s.MountBlob(ctx, "other", digest.FromString("layer1"), ""))
	put(t, s, lifecycleRepo+"/latest", 4, "latest")
	wantManifestDigest(t, s, lifecycleRepo+"/latest", "latest", 4)
	wantManifestDigest(t, s, lifecycleRepo+"/latest", string(smallImage(0).Digest), 0)
	// The layout has two manifests now, so it no longer counts as an image.
	_, err = s.GetManifest(ctx, lifecycleRepo, "latest")
	wantNotExist(t, err)
	require.NoError(t, s.DeleteManifest(ctx, lifecycleRepo+"/latest", smallImage(0).Digest))
	wantManifestDigest(t, s, lifecycleRepo, "latest", 4)
}

// TestOrdinaryTreesHaveNoImages opens a tree whose layouts resemble images of
// the Buildpacks lifecycle. Only quay.io/both/v1 is one.
func TestOrdinaryTreesHaveNoImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	named := func(name string) indexEntry {
		return indexEntry{0, map[string]string{"org.opencontainers.image.ref.name": name}}
	}
	for path, entries := range map[string][]indexEntry{
		"team/app/latest":               {named("latest")}, // no host
		"quay.io/latest":                {named("latest")}, // no repository below the host
		"quay.io/a/v1":                  {named("v2")},
		"quay.io/b/v1":                  {named("v1"), {1, nil}},
		"quay.io/c/v1":                  {},
		"quay.io/own":                   {named("v2")}, // quay.io/own is itself a layout
		"quay.io/own/v1":                {named("v1")},
		"quay.io/own/sha256/" + hex64:   {{0, nil}},
		"quay.io/d/sha256/" + hex64[1:]: {{0, nil}}, // too short for a digest
		"quay.io/both/v1":               {named("v1")},
		"quay.io/both/v1/v2":            {named("v2")},     // not an image, since both/v1 is a layout
		"quay.io/e/sha256":              {named("sha256")}, // the directory sha256 is not taken for a tag
	} {
		foreignLayout(t, filepath.Join(dir, path), entries...)
	}
	s := open(t, dir, layout.Warnings(func(err error) { t.Error(err) }))
	require.Equal(t, []string{
		"quay.io/a/v1:v2", "quay.io/b/v1:v1", "quay.io/both:v1", "quay.io/both/v1/v2:v2", "quay.io/c/v1",
		"quay.io/d/sha256:" + hex64[1:], "quay.io/e/sha256:sha256",
		"quay.io/latest:latest",
		"quay.io/own:v2", "quay.io/own/sha256/" + hex64, "quay.io/own/v1:v1",
		"team/app/latest:latest",
	}, tagsOf(t, s))
	// The image can be read as quay.io/both:v1 and as quay.io/both/v1:v1.
	wantManifestDigest(t, s, "quay.io/both", "v1", 0)
	wantManifestDigest(t, s, "quay.io/both/v1", "v1", 0)
	for _, repo := range []string{"team/app", "quay.io", "quay.io/a", "quay.io/b", "quay.io/c"} {
		_, err := s.GetManifest(t.Context(), repo, "v1")
		wantNotExist(t, err)
		put(t, s, repo, 2, "v3")
	}
	_, err := s.GetManifest(t.Context(), "quay.io/own", "v1")
	wantNotExist(t, err)
}

// If an image of the Buildpacks lifecycle has a damaged index.json, errors name
// that file. The other images remain readable.
func TestDamagedImageOfLifecycle(t *testing.T) {
	t.Parallel()
	dir := lifecycleTree(t)
	writeFile(t, dir, lifecycleRepo+"/latest/index.json", "{")
	s := open(t, dir)
	wantManifestDigest(t, s, lifecycleRepo, "V1_", 1)
	_, err := s.GetManifest(t.Context(), lifecycleRepo, "latest")
	require.ErrorContains(t, err, lifecycleRepo+"/latest/index.json: invalid JSON")
	require.ErrorContains(t, errorOf(s.Tags(t.Context(), lifecycleRepo, "")), "invalid JSON")
}

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
