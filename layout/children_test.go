package layout_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// layoutWithChildren makes a layout with one manifest, tagged v1, that has the
// media type and lists the descriptors under "manifests". It returns the
// directory and the manifest.
func layoutWithChildren(t testing.TB, mediaType string, children ...ocispec.Descriptor) (string, registry.Manifest) {
	var list []string
	for _, c := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, c.MediaType, c.Digest, c.Size))
	}
	content := []byte(`{"schemaVersion":2,"manifests":[` + strings.Join(list, ",") + `]}`)
	m := registry.Manifest{MediaType: mediaType, Digest: digest.FromBytes(content), Content: content}
	dir := emptyLayout(t)
	writeFile(t, dir, "blobs/sha256/"+m.Digest.Encoded(), string(content))
	writeFile(t, dir, "index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`,
		m.MediaType, m.Digest, len(content)))
	return dir, m
}

// A layer that an index names is a blob and not a manifest: BuildKit's registry
// cache writes such indexes. A child of an unknown media type is not an error
// (image-spec, image-index.md).
func TestLayerInAnIndexIsABlob(t *testing.T) {
	t.Parallel()
	layer := []byte("layer")
	d := digest.FromBytes(layer)
	dir, m := layoutWithChildren(t, indexType,
		ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(layer))},
		ocispec.Descriptor{MediaType: "application/vnd.buildkit.cacheconfig.v0", Digest: smallImage(1).Digest, Size: 1})
	writeFile(t, dir, "blobs/sha256/"+d.Encoded(), string(layer))
	s := open(t, dir)
	h := registry.New(s)
	for range 2 {
		request(t, h, "HEAD", "/v2/app/manifests/"+string(d), 404)
		request(t, h, "GET", "/v2/app/manifests/"+string(d), 404)
		require.Equal(t, "layer", request(t, h, "GET", "/v2/app/blobs/"+string(d), 200).Body.String())
		// Listing referrers makes the store read all manifests. The next round must
		// get the same responses.
		wantReferrers(t, s, "app", m.Digest)
	}
	request(t, h, "DELETE", "/v2/app/manifests/"+string(d), 404)
	request(t, h, "DELETE", "/v2/app/blobs/"+string(d), 202)
	request(t, h, "GET", "/v2/app/blobs/"+string(d), 404)
}

// The store does not read a file above 64 MiB into memory as a manifest, even if
// an index lists it as one.
func TestHugeChildIsNoManifest(t *testing.T) {
	// Not parallel: the test measures allocations.
	const size = 300 << 20
	d := digest.FromString("of something else")
	dir, _ := layoutWithChildren(t, indexType, ocispec.Descriptor{MediaType: imageType, Digest: d, Size: size})
	file := blobFile(dir, d)
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.NoError(t, os.Truncate(file, size))
	s := open(t, dir)
	h := registry.New(s)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	request(t, h, "HEAD", "/v2/app/manifests/"+string(d), 404)
	request(t, h, "GET", "/v2/app/manifests/"+string(d), 404)
	wantReferrers(t, s, "app", smallImage(0).Digest)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	require.ErrorContains(t, s.PutManifest(t.Context(), "app", registry.Manifest{MediaType: imageType, Digest: d, Content: make([]byte, 64<<20+1)}, nil, nil), "67108865 bytes")
}

// A child of a manifest of unknown media type is not a manifest of the
// repository, before and after a list of referrers read all manifests.
func TestChildrenOfUnknownTypesAreNoManifests(t *testing.T) {
	t.Parallel()
	child := smallImage(0)
	dir, m := layoutWithChildren(t, "application/vnd.example", ocispec.Descriptor{MediaType: imageType, Digest: child.Digest, Size: int64(len(child.Content))})
	writeFile(t, dir, "blobs/sha256/"+child.Digest.Encoded(), string(child.Content))
	s := open(t, dir)
	for range 2 {
		_, err := s.GetManifest(t.Context(), "app", string(child.Digest))
		wantNotExist(t, err)
		wantReferrers(t, s, "app", m.Digest)
	}
}

// If the entry of an index in index.json has no media type, the store recognizes
// the index by its content.
func TestChildrenOfAnIndexWithoutMediaType(t *testing.T) {
	t.Parallel()
	child := smallImage(0)
	dir, _ := layoutWithChildren(t, "", ocispec.Descriptor{MediaType: imageType, Digest: child.Digest, Size: int64(len(child.Content))})
	writeFile(t, dir, "blobs/sha256/"+child.Digest.Encoded(), string(child.Content))
	wantManifest(t, open(t, dir), "app", string(child.Digest), imageType, child.Digest)
}

// TestOtherStoresDeleteNestedManifests deletes manifests that have no entry in
// index.json, because only an index names them. A second store of the same
// directory notices the deletion.
func TestOtherStoresDeleteNestedManifests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/regctl")))
	a, b := open(t, dir, layout.Repository("app")), open(t, dir, layout.Repository("app"))
	for _, s := range []registry.Store{a, b} {
		wantReferrers(t, s, "app", amd64, sbom)
		wantImage(t, s, "app", string(arm64), imageType, arm64)
	}
	for _, d := range []digest.Digest{sbom, arm64} {
		require.NoError(t, a.DeleteManifest(t.Context(), "app", d))
		for _, s := range []registry.Store{a, b} {
			_, err := s.GetManifest(t.Context(), "app", string(d))
			wantNotExist(t, err)
			wantNotExist(t, s.DeleteManifest(t.Context(), "app", d))
			wantReferrers(t, s, "app", amd64)
		}
	}
	wantManifest(t, a, "app", "multi", indexType, multi)
}

// TestReferrerIsListedWithItsOwnMediaType pushes a manifest with a media type
// other than the one in the index that names it. The list of referrers has the
// media type of the push.
func TestReferrerIsListedWithItsOwnMediaType(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/regctl")))
	s := open(t, dir, layout.Repository("app"))
	m, err := s.GetManifest(t.Context(), "app", string(sbom))
	require.NoError(t, err)
	m.MediaType = "application/vnd.example"
	for _, first := range []string{"put, then listed", "listed, then put"} {
		if first == "listed, then put" {
			s = open(t, dir, layout.Repository("app"))
			wantReferrers(t, s, "app", amd64, sbom)
			m.MediaType += "2"
		}
		require.NoError(t, s.PutManifest(t.Context(), "app", m, nil, nil))
		for d, err := range s.Referrers(t.Context(), "app", amd64, "") {
			require.NoError(t, err)
			require.Equal(t, m.MediaType, d.MediaType, first)
		}
		wantManifest(t, s, "app", string(sbom), m.MediaType, sbom)
	}
}
