package interop

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
)

// A wild is a layout that has the form of another tool's layouts.
type wild struct {
	name string
	opts []layout.Option

	// write writes the layout below dir. It returns the directory to serve and
	// the expected content of each reference.
	write func(t *testing.T, dir string) (served string, want map[string]content.Content)
}

var wilds = []wild{
	{"hauler", nil, writeHauler},
	{"bazel", []layout.Option{layout.ReadOnly(), layout.Tag("latest")}, writeBazel},
	{"bazel, index", []layout.Option{layout.Tag("latest")}, writeBazelIndex},
	{"bazel, sandbox", []layout.Option{layout.ReadOnly(), layout.Tag("latest")}, writeBazelSandbox},
	{"nix", []layout.Option{layout.ReadOnly(), layout.Tag("latest")}, writeNix},
	{"lifecycle", nil, writeLifecycle},
}

// TestWildLayouts serves layouts in the forms of other tools, built according to
// their source code, and pulls the images with each client.
func TestWildLayouts(t *testing.T) {
	t.Parallel()
	for _, w := range wilds {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			dir, want := w.write(t, t.TempDir())
			store, err := layout.Open(dir, w.opts...)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			reg := registrytest.NewServer(t, registrytest.WithStore(store))
			for _, f := range clients {
				client := f.New(t, matrix.Env{Host: reg.Host(), Transport: reg.Transport().Clone()})
				for name, c := range want {
					got := map[digest.Digest][]byte{}
					err := client.Pull(t.Context(), reg.Ref(name), func(d digest.Digest, r io.Reader) error {
						text, err := io.ReadAll(r)
						got[d] = text
						return err
					})
					require.NoError(t, err, "%s pulls %s", f.Name, name)
					for m := range c.Manifests() {
						if f.Name == "crane" && m.Digest == c.Digest && isIndex(c.MediaType) {
							continue // The client pulls only one image of an index.
						}
						require.Equal(t, string(m.Manifest), string(got[m.Digest]), "%s pulls %s", f.Name, name)
					}
					for b := range c.Blobs() {
						text, err := io.ReadAll(b.Open())
						require.NoError(t, err)
						require.True(t, bytes.Equal(text, got[b.Digest]), "%s pulls %s", f.Name, b.Digest)
					}
				}
			}
		})
	}
}

func writeFile(t *testing.T, dir, name string, text []byte) {
	file := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, text, 0o644))
}

func blobPath(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

// writeBlobs writes the blobs and manifests of content to a layout.
func writeBlobs(t *testing.T, dir string, c content.Content) {
	for m := range c.Manifests() {
		writeFile(t, dir, blobPath(m.Digest), m.Manifest)
	}
	for b := range c.Blobs() {
		text, err := io.ReadAll(b.Open())
		require.NoError(t, err)
		writeFile(t, dir, blobPath(b.Digest), text)
	}
}

// writeIndex writes the files index.json and oci-layout of a layout.
func writeIndex(t *testing.T, dir string, entries ...ocispec.Descriptor) {
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: entries})
	require.NoError(t, err)
	writeFile(t, dir, "index.json", index)
	writeFile(t, dir, "oci-layout", []byte(`{"imageLayoutVersion": "1.0.0"}`))
}

func entryOf(c content.Content, annotations map[string]string) ocispec.Descriptor {
	d := c.Descriptor()
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: annotations}
}

// writeHauler writes a store of hauler with an image, its signature and a chart
// (pkg/store/store.go, writeImage and AddArtifact).
func writeHauler(t *testing.T, dir string) (string, map[string]content.Content) {
	image := content.Image()
	signature := referrer.CosignSignature(image)
	chart := content.Artifact("application/vnd.cncf.helm.chart.content.v1.tar+gzip")
	named := func(kind string) map[string]string {
		return map[string]string{
			"kind":                     kind,
			ocispec.AnnotationRefName:  "library/busybox:1.36",
			"io.containerd.image.name": "index.docker.io/library/busybox:1.36",
			"hauler.dev/original-ref":  "index.docker.io/library/busybox:1.36",
		}
	}
	for _, c := range []content.Content{image, signature, chart} {
		writeBlobs(t, dir, c)
	}
	writeIndex(t, dir,
		entryOf(chart, map[string]string{"kind": "dev.hauler/image", ocispec.AnnotationRefName: "hauler/rancher:2.8.3"}),
		entryOf(image, named("dev.hauler/image")),
		entryOf(signature, named("dev.hauler/sigs")))
	return dir, map[string]content.Content{
		"library/busybox:1.36":                                image,
		"library/busybox@" + string(signature.Digest):         signature,
		"hauler/rancher:2.8.3":                                chart,
		"hauler/rancher@" + string(chart.Descriptor().Digest): chart,
	}
}

// linkBlob moves the file of a blob to another directory and leaves a
// relative link to it.
func linkBlob(t *testing.T, dir string, d digest.Digest, elsewhere string) {
	file := filepath.Join(dir, filepath.FromSlash(blobPath(d)))
	if info, err := os.Lstat(file); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return // The file is a link already: the image shares a layer with the base image.
	}
	require.NoError(t, os.MkdirAll(elsewhere, 0o755))
	moved := filepath.Join(elsewhere, d.Encoded())
	require.NoError(t, os.Rename(file, moved))
	target, err := filepath.Rel(filepath.Dir(file), moved)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(target, file))
}

// writeBazel writes a layout like oci_image of rules_oci (oci/private/image.sh):
// the layers and the blobs of the base image are relative links, and the entry in
// index.json has no name.
func writeBazel(t *testing.T, dir string) (string, map[string]content.Content) {
	image, base := content.Image(content.Layers(3)), content.Image()
	out := filepath.Join(dir, "bazel-out", "bin", "app")
	writeBlobs(t, out, image)
	writeBlobs(t, out, base)
	for _, b := range image.Layers {
		linkBlob(t, out, b.Digest, filepath.Join(dir, "bazel-out", "bin", "layers"))
	}
	for m := range base.Manifests() {
		linkBlob(t, out, m.Digest, filepath.Join(dir, "external", "base"))
	}
	for b := range base.Blobs() {
		linkBlob(t, out, b.Digest, filepath.Join(dir, "external", "base"))
	}
	writeIndex(t, out, entryOf(image, nil))
	return out, map[string]content.Content{"app:latest": image}
}

// writeBazelIndex writes a layout like oci_image_index of rules_oci
// (oci/private/image_index.sh.tpl), whose index.json has no schemaVersion.
func writeBazelIndex(t *testing.T, dir string) (string, map[string]content.Content) {
	index := content.Index(content.Platforms("linux/amd64"))
	out := filepath.Join(dir, "app")
	writeBlobs(t, out, index)
	text, err := json.Marshal(map[string]any{"manifests": []ocispec.Descriptor{entryOf(index, nil)}})
	require.NoError(t, err)
	writeFile(t, out, "index.json", text)
	writeFile(t, out, "oci-layout", []byte(`{"imageLayoutVersion": "1.0.0"}`))
	return out, map[string]content.Content{"app:latest": index}
}

// writeBazelSandbox writes a layout in which every file is an absolute link, as
// Bazel makes them for the inputs of an action and in runfiles.
func writeBazelSandbox(t *testing.T, dir string) (string, map[string]content.Content) {
	out, want := writeBazel(t, filepath.Join(dir, "execroot"))
	sandbox := filepath.Join(dir, "sandbox", "app")
	require.NoError(t, filepath.WalkDir(out, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(out, path)
		if err != nil {
			return err
		}
		link := filepath.Join(sandbox, name)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		return os.Symlink(path, link)
	}))
	return sandbox, want
}

// writeNix writes a layout like the Nix function ociImageLayout of edgelesssys/contrast
// (packages/by-name): all blobs are absolute links to other store paths.
func writeNix(t *testing.T, dir string) (string, map[string]content.Content) {
	image := content.Image()
	parts, out := filepath.Join(dir, "store", "1-parts"), filepath.Join(dir, "store", "2-oci-image-layout")
	writeBlobs(t, parts, image)
	require.NoError(t, os.MkdirAll(filepath.Join(out, "blobs", "sha256"), 0o755))
	blobs, err := os.ReadDir(filepath.Join(parts, "blobs", "sha256"))
	require.NoError(t, err)
	for _, b := range blobs {
		require.NoError(t, os.Symlink(filepath.Join(parts, "blobs", "sha256", b.Name()), filepath.Join(out, "blobs", "sha256", b.Name())))
	}
	entry := entryOf(image, nil)
	entry.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	writeIndex(t, out, entry)
	return out, map[string]content.Content{"2-oci-image-layout:latest": image}
}

// writeLifecycle writes the images of Cloud Native Buildpacks: the exporter of
// lifecycle names the only entry of a layout by its tag (cmd/lifecycle/
// exporter.go), and imgutil gives it the directory host/repo/tag (layout/util.go,
// ParseRefToPath). A run image has no name.
func writeLifecycle(t *testing.T, dir string) (string, map[string]content.Content) {
	app, run, pinned := content.Image(content.Layers(3)), content.Image(content.Docker()), content.Image(content.Layers(2))
	for path, c := range map[string]content.Content{
		"index.docker.io/library/app/latest":                app,
		"example.com/run/jammy":                             run,
		"example.com/run/sha256/" + pinned.Digest.Encoded(): pinned,
	} {
		at := filepath.Join(dir, filepath.FromSlash(path))
		writeBlobs(t, at, c)
		var annotations map[string]string
		if c.Digest == app.Digest {
			annotations = map[string]string{ocispec.AnnotationRefName: "latest"}
		}
		writeIndex(t, at, entryOf(c, annotations))
	}
	return dir, map[string]content.Content{
		"index.docker.io/library/app:latest":          app,
		"example.com/run:jammy":                       run,
		"example.com/run@" + string(pinned.Digest):    pinned,
		"example.com/run/jammy@" + string(run.Digest): run,
	}
}
