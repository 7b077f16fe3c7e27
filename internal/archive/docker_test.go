package archive

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

const (
	layerContent = "a layer that is no compressed one"
	gzipContent  = "\x1f\x8b a layer"
	zstdContent  = "\x28\xb5\x2f\xfd a layer"
)

// configOf returns the config of an image whose layers have the given content.
func configOf(layers ...string) string {
	var ids []string
	for _, l := range layers {
		ids = append(ids, fmt.Sprintf("%q", digest.FromString(l)))
	}
	return `{"rootfs":{"type":"layers","diff_ids":[` + strings.Join(ids, ",") + `]}}`
}

// saved returns the entries of an archive of docker save with one image of one
// layer. The argument is a list of the image's tags in JSON.
func saved(tags string) []entry {
	config := configOf(layerContent)
	name := digest.FromString(config).Encoded() + ".json"
	return []entry{
		file("layer.tar", layerContent), file(name, config),
		file("manifest.json", `[{"Config":"`+name+`","RepoTags":`+tags+`,"Layers":["layer.tar"]}]`),
	}
}

// imagesOf returns the entries of index.json by the names of their images, and
// the manifests by digest.
func imagesOf(t *testing.T, a *FS) (entries map[string]ocispec.Descriptor, manifests map[digest.Digest]ocispec.Manifest) {
	t.Helper()
	text, err := fs.ReadFile(a, "index.json")
	require.NoError(t, err)
	var all ocispec.Index
	require.NoError(t, json.Unmarshal(text, &all))
	entries, manifests = make(map[string]ocispec.Descriptor), make(map[digest.Digest]ocispec.Manifest)
	for _, d := range all.Manifests {
		entries[d.Annotations["io.containerd.image.name"]] = d
		text, err := fs.ReadFile(a, "blobs/sha256/"+d.Digest.Encoded())
		require.NoError(t, err)
		require.Equal(t, d.Digest, digest.FromBytes(text))
		require.Len(t, text, int(d.Size))
		var m ocispec.Manifest
		require.NoError(t, json.Unmarshal(text, &m))
		manifests[d.Digest] = m
		for _, part := range append(m.Layers, m.Config) {
			content, err := fs.ReadFile(a, "blobs/sha256/"+part.Digest.Encoded())
			require.NoError(t, err)
			require.Equal(t, part.Digest, digest.FromBytes(content))
			require.Len(t, content, int(part.Size))
		}
	}
	return entries, manifests
}

// The blobs of the layers are the files that docker save wrote, and their media
// types name the compression of these files.
func TestDockerImage(t *testing.T) {
	t.Parallel()
	config := configOf(layerContent, layerContent, "unpacked", "also unpacked")
	a, err := read(t, pack(t,
		file("one/layer.tar", layerContent), symlink("two/layer.tar", "../one/layer.tar"), file("gzip.tar.gz", gzipContent), file("zstd.tar", zstdContent),
		file("config", config), file("index.json", "of another kind"),
		file("manifest.json", `[{"Config":"config","RepoTags":["app:v1","quay.io/team/app:v2","app:v1"],"Layers":["one/layer.tar","./two/layer.tar","gzip.tar.gz","zstd.tar"]},
			{"Config":"config","Layers":["one/layer.tar","one/layer.tar","gzip.tar.gz","zstd.tar"]}]`),
	))
	require.NoError(t, err)
	entries, manifests := imagesOf(t, a)
	require.Len(t, manifests, 1)
	require.Len(t, entries, 3)
	for name, tag := range map[string]string{"docker.io/library/app:v1": "v1", "quay.io/team/app:v2": "v2", "": ""} {
		require.Equal(t, tag, entries[name].Annotations[ocispec.AnnotationRefName])
		m := manifests[entries[name].Digest]
		require.Equal(t, ocispec.MediaTypeImageManifest, m.MediaType)
		require.Equal(t, ocispec.MediaTypeImageConfig, m.Config.MediaType)
		require.Equal(t, digest.FromString(config), m.Config.Digest)
		var types []string
		for _, l := range m.Layers {
			types = append(types, l.MediaType)
		}
		require.Equal(t, []string{ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd}, types)
		require.Equal(t, digest.FromString(layerContent), m.Layers[1].Digest)
	}
}

func TestNamesOfDockerImages(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"app:v1":                           "docker.io/library/app:v1",
		"team/app:v1":                      "docker.io/team/app:v1",
		"docker.io/app:v1":                 "docker.io/library/app:v1",
		"index.docker.io/library/app:v1":   "docker.io/library/app:v1",
		"localhost/app:v1":                 "localhost/app:v1",
		"registry.example:5000/team/a:1.2": "registry.example:5000/team/a:1.2",
	} {
		a, err := read(t, pack(t, saved(`["`+tag+`"]`)...))
		require.NoError(t, err)
		entries, _ := imagesOf(t, a)
		require.Contains(t, entries, want)
	}
	for _, tag := range []string{"app", "App:v1", "app@" + string(digest.FromString("")), "app:v1@" + string(digest.FromString("")), ":v1", "", "quay.io/:v1"} {
		_, err := read(t, pack(t, saved(`["`+tag+`"]`)...))
		require.ErrorContains(t, err, fmt.Sprintf("image 1 of manifest.json: %q is not a name with a tag", tag))
	}
}

func TestBrokenDockerArchives(t *testing.T) {
	t.Parallel()
	config, other := configOf(layerContent), configOf("another layer")
	id := digest.FromString(config).Encoded()
	list := func(images string) entry { return file("manifest.json", images) }
	image := func(config, tags, layers string) string {
		return fmt.Sprintf(`{"Config":%q,"RepoTags":%s,"Layers":%s}`, config, tags, layers)
	}
	layer := file("layer", layerContent)
	for name, test := range map[string]struct {
		entries []entry
		want    string
	}{
		"no JSON":              {[]entry{list("{")}, "reading manifest.json: unexpected end of JSON input"},
		"no list":              {[]entry{list("{}")}, "reading manifest.json: json: cannot unmarshal object"},
		"no images":            {[]entry{list("[]")}, "manifest.json lists no images"},
		"a directory":          {[]entry{file("manifest.json/x", "")}, `the archive has no file "manifest.json"`},
		"huge":                 {[]entry{list("[" + strings.Repeat(" ", maxJSON) + "]")}, `"manifest.json" has 4194306 bytes, more than 4194304`},
		"no config":            {[]entry{list("[" + image("c", "null", "[]") + "]")}, `image 1 of manifest.json: the archive has no file "c"`},
		"config outside":       {[]entry{list("[" + image("../../c", "null", "[]") + "]")}, `the archive has no file "../../c"`},
		"huge config":          {[]entry{file("c", strings.Repeat(" ", maxJSON+1)), list("[" + image("c", "null", "[]") + "]")}, `"c" has 4194305 bytes`},
		"config is no JSON":    {[]entry{file("c", "x"), list("[" + image("c", "null", "[]") + "]")}, `reading config "c": invalid character`},
		"other config":         {[]entry{file(id+".json", other), list("[" + image(id+".json", "null", `["l"]`) + "]")}, "has the digest " + string(digest.FromString(other))},
		"other config by name": {[]entry{file("sha256:"+id, other), list("[" + image("sha256:"+id, "null", `["l"]`) + "]")}, "has the digest " + string(digest.FromString(other))},
		"other config as blob": {[]entry{file("blobs/sha256/"+id, other), list("[" + image("blobs/sha256/"+id, "null", `["l"]`) + "]")}, "has the digest " + string(digest.FromString(other))},
		"too few layers":       {[]entry{file("c", config), list("[" + image("c", "null", "[]") + "]")}, "it has 0 layers, but its config has 1"},
		"no layer":             {[]entry{file("c", config), list("[" + image("c", "null", `["layer"]`) + "]")}, `layer "layer": the archive has no file "layer"`},
		"other layer":          {[]entry{file("c", other), layer, list("[" + image("c", "null", `["layer"]`) + "]")}, `layer "layer": it has the digest ` + string(digest.FromString(layerContent)) + ", but the config of the image says " + string(digest.FromString("another layer"))},
		"two images of a name": {[]entry{file("c", config), file("d", config+" "), layer, list("[" + image("c", `["a:1"]`, `["layer"]`) + "," + image("d", `["docker.io/a:1"]`, `["layer"]`) + "]")}, `image 2 of manifest.json: "docker.io/a:1" is the name of another image, too`},
		"many layers": {[]entry{
			file("c", configOf(strings.Split(strings.Repeat("x", 40_000), "")...)), layer,
			list("[" + strings.Repeat(image("c", "null", "["+strings.TrimSuffix(strings.Repeat(`"gz",`, 40_000), ",")+"]")+",", 2) + "{}]"), file("gz", gzipContent),
		}, "image 2 of manifest.json: the images have more than 65536 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(t, pack(t, test.entries...))
			require.ErrorContains(t, err, test.want)
		})
	}
}

// An archive that has both an OCI image layout and a manifest.json, as Docker
// writes it since version 25, is read as a layout.
func TestLayoutCounts(t *testing.T) {
	t.Parallel()
	a, err := read(t, pack(t, append(saved(`["app:v1"]`), marker, index)...))
	require.NoError(t, err)
	entries, _ := imagesOf(t, a)
	require.Empty(t, entries)
}
