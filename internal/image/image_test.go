package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// The index has an image for each platform. Each image has a program that its
// user may run, and directories for temporary files and content. Writing the
// index to the same layout again changes nothing.
func TestImage(t *testing.T) {
	t.Parallel()
	r := recipe{version: "0.1.0", revision: "abc", license: []byte("as is")}
	dir := t.TempDir()
	var first digest.Digest
	for range 2 {
		var images []content.IndexPart
		for _, platform := range []string{"linux/amd64", "linux/arm64"} {
			image, err := r.image(platform, []byte("program for "+platform))
			require.NoError(t, err)
			images = append(images, image)
		}
		index := r.index(images)
		require.NoError(t, put(t.Context(), dir, "ocireg:0.1.0", index))
		require.True(t, first == "" || first == index.Digest)
		first = index.Digest
	}

	store, err := layout.Open(dir, layout.ReadOnly())
	require.NoError(t, err)
	defer store.Close()
	state := content.State{Store: store}
	index := state.Get(t, "ocireg:0.1.0")
	var list ocispec.Index
	require.NoError(t, json.Unmarshal(index.Manifest, &list))
	labels := map[string]string{
		"org.opencontainers.image.title": "ocireg", "org.opencontainers.image.description": "An OCI registry for tests",
		"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.version": "0.1.0", "org.opencontainers.image.revision": "abc",
	}
	require.Equal(t, labels, list.Annotations)
	require.Len(t, index.Children, 2)
	for i, architecture := range []string{"amd64", "arm64"} {
		require.Equal(t, &ocispec.Platform{OS: "linux", Architecture: architecture}, list.Manifests[i].Platform)
		child := state.Get(t, "ocireg@"+index.Children[i].Digest.String())
		require.Len(t, child.Layers, 1)
		files, diffID := unpack(t, state.GetBlob(t, "ocireg", child.Layers[0].Digest))
		require.Equal(t, []string{
			"LICENSE 644 0 as is",
			"data/ 755 65532 ",
			"ocireg 755 0 program for linux/" + architecture,
			"tmp/ 1777 0 ",
		}, files)

		var config ocispec.Image
		require.NoError(t, json.Unmarshal(state.GetBlob(t, "ocireg", child.Config.Digest), &config))
		require.Equal(t, "linux/"+architecture, config.OS+"/"+config.Architecture)
		require.Equal(t, []digest.Digest{diffID}, config.RootFS.DiffIDs)
		require.Equal(t, ocispec.ImageConfig{
			User: "65532:65532", Entrypoint: []string{"/ocireg"}, Labels: labels,
			Env: []string{"OCIREG_ADDR=0.0.0.0:5000"}, ExposedPorts: map[string]struct{}{"5000/tcp": {}},
		}, config.Config)
	}
}

// unpack returns the files of a compressed layer, each with its mode, owner and
// content, and the digest of the uncompressed layer.
func unpack(t *testing.T, packed []byte) (files []string, diffID digest.Digest) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	unpacked, err := io.ReadAll(z)
	require.NoError(t, err)
	archive := tar.NewReader(bytes.NewReader(unpacked))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return files, digest.FromBytes(unpacked)
		}
		require.NoError(t, err)
		text, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.Equal(t, h.Uid, h.Gid)
		files = append(files, fmt.Sprintf("%s %o %d %s", h.Name, h.Mode, h.Uid, text))
	}
}

// An invalid command line builds nothing.
func TestBadCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "want -o DIR, and no arguments"},
		{[]string{"-o", t.TempDir(), "x"}, "want -o DIR, and no arguments"},
		{[]string{"-o", t.TempDir(), "-platforms", "linux"}, `building for linux: "linux" is not a platform such as linux/amd64`},
		{[]string{"-o", t.TempDir(), "-platforms", "linux/arm/v7"}, `building for linux/arm/v7: "linux/arm/v7" is not a platform such as linux/amd64`},
	} {
		require.EqualError(t, run(t.Context(), test.args, io.Discard), test.want)
	}
}
