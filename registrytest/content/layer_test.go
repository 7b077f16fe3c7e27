package content

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

func contentOf(t *testing.T, b Blob) []byte {
	t.Helper()
	content, err := io.ReadAll(b.Open())
	require.NoError(t, err)
	return content
}

// readLayer returns the tar archive of a layer, after decompressing the layer if
// necessary.
func readLayer(t *testing.T, b Blob) []byte {
	t.Helper()
	content := contentOf(t, b)
	if !strings.HasSuffix(b.MediaType, "gzip") || !bytes.HasPrefix(content, []byte(gzipHeader)) {
		return content
	}
	r, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(t, err)
	content, err = io.ReadAll(r)
	require.NoError(t, err)
	return content
}

// list returns a line for each entry in the tar archive of a layer.
func list(t *testing.T, b Blob) (lines []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(readLayer(t, b)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return lines
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, created(), h.ModTime.UTC())
		require.Zero(t, h.Uid)
		require.Zero(t, h.Gid)
		line := fmt.Sprintf("%c %04o %s %q", h.Typeflag, h.Mode, h.Name, content)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		lines = append(lines, line)
	}
}

func TestFilesUnpack(t *testing.T) {
	t.Parallel()
	app := Image(
		Files(map[string]string{"z": "last", "etc/b": "2", "etc/a": "1"}),
		FS(fstest.MapFS{
			"bin/true":  {Data: []byte("#!"), Mode: 0o500},
			"bin/yes":   {Data: []byte("true"), Mode: fs.ModeSymlink | 0o777},
			"etc/key":   {Data: []byte("secret"), Mode: 0o600},
			"var/empty": {Mode: fs.ModeDir | 0o700},
			longName:    {Data: []byte("long")},
		}).Uncompressed(),
		Files(nil),
	)
	require.NoError(t, app.Err())
	require.Equal(t, []string{
		`5 0755 etc/ ""`,
		`0 0644 etc/a "1"`,
		`0 0644 etc/b "2"`,
		`0 0644 z "last"`,
	}, list(t, app.Layers[0]))
	lines := list(t, app.Layers[1])
	require.Equal(t, []string{
		`5 0755 bin/ ""`,
		`0 0755 bin/true "#!"`,
		`2 0777 bin/yes "" -> true`,
		`5 0755 etc/ ""`,
		`0 0644 etc/key "secret"`,
		`5 0755 usr/ ""`,
	}, lines[:6])
	require.Contains(t, lines, `0 0644 `+longName+` "long"`)
	require.Contains(t, lines, `5 0755 var/empty/ ""`)
	require.Empty(t, list(t, app.Layers[2]))
}

// Files makes the same layer as FS does from a file system with these files.
func TestFilesAreThoseOfAFileSystem(t *testing.T) {
	t.Parallel()
	for _, files := range []map[string]string{
		{},
		{"z": "last", "a.b/c": "1", "a/b/c": "2", "a-b": "3", "a/b.c": "4", "A/x": "5", longName: "long", "etc/.wh.passwd": ""},
		{"a": "a file", "a/b": "nothing is below a file", "a/b/c": "nor below that"},
	} {
		fsys := fstest.MapFS{}
		for name, content := range files {
			fsys[name] = &fstest.MapFile{Data: []byte(content)}
		}
		want, got := Image(FS(fsys)), Image(Files(files))
		require.NoError(t, got.Err())
		require.Equal(t, list(t, want.Layers[0]), list(t, got.Layers[0]))
		require.Equal(t, want.Digest, got.Digest)
	}
}

func TestLayersDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, app := range []Content{
		Image(Layers(3)), Image(Layers(3), Seed(1)), Image(Layers(3), Platform("linux/arm64")), Image(Layers(3), Platform("linux/arm64/v8")),
		Image(LayerSizes(2071, 2071)), Image(LayerSizes(2071), Seed(1)), Image(LayerSizes(10, 10)),
	} {
		for _, b := range app.Layers {
			content := string(contentOf(t, b))
			require.False(t, seen[content])
			seen[content] = true
		}
	}
	require.Equal(t, []string{`0 0644 layer-2.txt "layer 2 for linux/amd64, seed 0\n"`}, list(t, Image(Layers(2)).Layers[1]))
}

func TestLayerSizesAreExact(t *testing.T) {
	t.Parallel()
	sizes := []int64{0, 1, 17, 18, 23, 511, 2047, 2048, 2070, 2071, 2072, 10_000, maxHeld, maxHeld + 1}
	for _, blocks := range []int64{1, 2} {
		full := gzipFraming + blocks*(storedHeader+maxStored)
		for more := int64(-6); more <= 6; more++ {
			sizes = append(sizes, full+more)
		}
	}
	gz, plain := Image(LayerSizes(sizes...)), Image(LayerSizes(sizes...).Uncompressed())
	require.NoError(t, gz.Err())
	require.NoError(t, plain.Err())
	for i, size := range sizes {
		require.Equal(t, size, gz.Layers[i].Size)
		require.Equal(t, size, plain.Layers[i].Size)
		require.Len(t, contentOf(t, gz.Layers[i]), int(size))
		require.Len(t, contentOf(t, plain.Layers[i]), int(size))
		require.Equal(t, size > maxHeld, gz.Layers[i].generated())
		require.Equal(t, size > maxHeld, plain.Layers[i].generated())
		if size >= 2048 {
			require.Len(t, list(t, plain.Layers[i]), 1)
		}
		if size >= 2071 {
			require.Len(t, list(t, gz.Layers[i]), 1)
		}
	}
	// checkContent also checks the DiffIDs in the config.
	checkContent(t, gz)
	checkContent(t, plain)
}

func TestMediaTypesOfLayers(t *testing.T) {
	t.Parallel()
	const url = "https://example.com/1"
	layers := []ImagePart{
		Layers(1), Layers(1).Uncompressed(),
		Layers(1).NonDistributable(url), Layers(1).NonDistributable(url).Uncompressed(),
	}
	types := func(c Content) (all []string) {
		all = append(all, c.MediaType, c.Config.MediaType)
		for _, b := range c.Layers {
			all = append(all, b.MediaType)
		}
		return all
	}
	require.Equal(t, []string{
		ocispec.MediaTypeImageManifest,
		ocispec.MediaTypeImageConfig,
		"application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
	}, types(Image(layers...)))
	docker := Image(append(layers, Docker())...)
	require.Equal(t, []string{
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.container.image.v1+json",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
	}, types(docker))
	require.Equal(t, []string{url}, docker.Layers[2].URLs)
	require.Len(t, digestsOf(docker), 3, "non-distributable layers are not put")
}
