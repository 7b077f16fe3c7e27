package cmdline

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/content"
)

func build(t *testing.T, c caller) string {
	if c.build == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/base:v1": image()})
	file, err := c.build(s.ref("team/base:v1"), s.ref("team/app:v1"))
	require.NoError(t, err)
	return built(t, s, s.state(t).Get(t, "team/app:v1"), image(), file)
}

// built fails the test unless an image has the layers of the base image, and the file
// in its highest layer. It returns whether the digests of the base's layers changed.
func built(t *testing.T, s *server, got, base content.Content, file string) string {
	t.Helper()
	below := len(base.Layers)
	require.Greater(t, len(got.Layers), below)
	require.Equal(t, diffIDs(t, base), storedDiffIDs(t, s, "team/app", got)[:below])
	require.Contains(t, files(t, s.state(t).GetBlob(t, "team/app", got.Layers[len(got.Layers)-1].Digest)), file)
	for i, layer := range base.Layers {
		if got.Layers[i].Digest != layer.Digest {
			return "ok, base packed anew"
		}
	}
	return "ok"
}

// diffIDs returns the digests of the uncompressed layers of an image, from its config.
func diffIDs(t *testing.T, c content.Content) []digest.Digest {
	t.Helper()
	text, err := io.ReadAll(c.Config.Open())
	require.NoError(t, err)
	return unpacked(t, text)
}

// storedDiffIDs returns the digests of the uncompressed layers of an image in a
// repository of the server.
func storedDiffIDs(t *testing.T, s *server, repo string, c content.Content) []digest.Digest {
	t.Helper()
	return unpacked(t, s.state(t).GetBlob(t, repo, c.Config.Digest))
}

func unpacked(t *testing.T, config []byte) []digest.Digest {
	t.Helper()
	var image ocispec.Image
	require.NoError(t, json.Unmarshal(config, &image))
	return image.RootFS.DiffIDs
}

// files returns the names of the files in a layer. It fails the test if the layer
// is not compressed or has no files.
func files(t *testing.T, layer []byte) (names []string) {
	t.Helper()
	unzipped, err := gzip.NewReader(strings.NewReader(string(layer)))
	require.NoError(t, err)
	archive := tar.NewReader(unzipped)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return names
		}
		require.NoError(t, err)
		names = append(names, strings.TrimPrefix(strings.TrimPrefix(h.Name, "."), "/"))
	}
}

// fileOf returns the content of a file in a compressed layer.
func fileOf(t *testing.T, layer []byte, name string) []byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(layer))
	require.NoError(t, err)
	archive := tar.NewReader(unzipped)
	for {
		h, err := archive.Next()
		require.NoError(t, err, "there is no file %s", name)
		if h.Name == name {
			text, err := io.ReadAll(archive)
			require.NoError(t, err)
			return text
		}
	}
}

func buildIndex(t *testing.T, c caller) string {
	if c.buildIndex == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/base:v1": index()})
	require.NoError(t, c.buildIndex(s.ref("team/base:v1"), s.ref("team/app:v1"), platform, "linux/s390x"))
	got := s.state(t).Get(t, "team/app:v1")
	for base, m := range sameChildren(t, s, got) {
		below := len(base.Layers)
		require.Greater(t, len(m.Layers), below)
		require.Equal(t, diffIDs(t, base), storedDiffIDs(t, s, "team/app", m)[:below])
	}
	return "ok"
}

// sameChildren fails the test unless got is an index with an image for each platform
// of the test's index, in any order. It yields the two images for each platform.
func sameChildren(t *testing.T, s *server, got content.Content) iter.Seq2[content.Content, content.Content] {
	t.Helper()
	require.Len(t, got.Children, len(index().Children))
	return func(yield func(want, got content.Content) bool) {
		for _, want := range index().Children {
			i := slices.IndexFunc(got.Children, func(c content.Content) bool {
				return c.Platform != nil && c.Platform.Architecture == want.Platform.Architecture
			})
			require.GreaterOrEqual(t, i, 0, "the index has no image for %s", want.Platform.Architecture)
			if !yield(want, s.state(t).Get(t, "team/app@"+got.Children[i].Digest.String())) {
				return
			}
		}
	}
}
