package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/archive"
	"github.com/ocireg/registry/registrytest/overlay"
)

// stores are the stores that archives are imported into.
var stores = map[string]func(t *testing.T) registry.Store{
	"memory": func(*testing.T) registry.Store { return memstore.New() },
	"tree": func(t *testing.T) registry.Store {
		s, err := layout.Open(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	},
	"overlay": func(t *testing.T) registry.Store { return overlay.New(memstore.New(), memstore.New()) },
}

// layoutOf returns the files of a layout with the content. The keys of all are the
// references.
func layoutOf(t *testing.T, all map[string]content.Content) fstest.MapFS {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o600))
	s, err := layout.Open(dir, layout.Repository("app"))
	require.NoError(t, err)
	for ref, c := range all {
		require.NoError(t, content.Put(t.Context(), s, ref, c))
	}
	require.NoError(t, s.Close())
	files := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = &fstest.MapFile{Data: text}
		return err
	}))
	return files
}

// saved returns the files that docker save writes for an image with the tags.
func saved(t *testing.T, c content.Content, tags ...string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	var layers []string
	for i, b := range append(c.Layers, c.Config) {
		text, err := io.ReadAll(b.Open())
		require.NoError(t, err)
		name := fmt.Sprintf("%d/layer.tar", i)
		if i == len(c.Layers) {
			name = c.Config.Digest.Encoded() + ".json"
		} else {
			layers = append(layers, name)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	list, err := json.Marshal([]any{map[string]any{"Config": c.Config.Digest.Encoded() + ".json", "RepoTags": tags, "Layers": layers}})
	require.NoError(t, err)
	files["manifest.json"] = &fstest.MapFile{Data: list}
	return files
}

func write(t *testing.T, files fs.FS) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.AddFS(files))
	require.NoError(t, w.Close())
	name := filepath.Join(t.TempDir(), "app.tar")
	require.NoError(t, os.WriteFile(name, b.Bytes(), 0o600))
	return name
}

func TestImport(t *testing.T) {
	t.Parallel()
	image := content.Image(content.Layers(2))
	index := content.Index(image, content.Platforms("linux/arm64", "linux/s390x"))
	signature := content.Artifact("application/vnd.example.signature", content.Subject(index))
	plain := content.Image(content.Layers(2).Uncompressed())
	sparse := content.Index(image, content.Image(content.Seed(7), content.Platform("linux/arm64")).Absent())
	for name, test := range map[string]struct {
		files fstest.MapFS
		opts  []layout.Option
		want  []string
		check func(t *testing.T, s content.State)
	}{
		"layout": {
			files: layoutOf(t, map[string]content.Content{"app:v1": index, "team/app:v2": image, "app": signature}),
			want:  []string{"app:v1", "app@" + string(signature.Digest), "team/app:v2"},
			check: func(t *testing.T, s content.State) {
				s.CheckRepository(t, "app", map[string]content.Content{"v1": index}, signature)
				s.CheckTag(t, "team/app:v2", image)
				require.Len(t, s.Referrers(t, "app:v1"), 1)
			},
		},
		"without tags": {
			files: layoutOf(t, map[string]content.Content{"app": image}),
			want:  []string{"app@" + string(image.Digest)},
			check: func(t *testing.T, s content.State) {
				require.Len(t, s.GetBlob(t, "app", image.Layers[1].Digest), int(image.Layers[1].Size))
			},
		},
		"with names": {
			files: layoutOf(t, map[string]content.Content{"app": image}),
			opts:  []layout.Option{layout.Repository("team/tool"), layout.Tag("v3")},
			want:  []string{"team/tool:v3"},
			check: func(t *testing.T, s content.State) { s.CheckTag(t, "team/tool:v3", image) },
		},
		"one platform": {
			files: layoutOf(t, map[string]content.Content{"app:v1": sparse}),
			want:  []string{"app:v1"},
			check: func(t *testing.T, s content.State) { s.CheckTag(t, "app:v1", sparse) },
		},
		"docker save": {
			files: saved(t, plain, "app:v1", "quay.io/team/app:v2"),
			want:  []string{"library/app:v1", "team/app:v2"},
			check: func(t *testing.T, s content.State) {
				got := s.Get(t, "library/app:v1")
				require.Equal(t, plain.Config.Digest, got.Config.Digest)
				require.Equal(t, ocispec.MediaTypeImageLayer, got.Layers[0].MediaType)
				require.Equal(t, plain.Layers[1].Digest, got.Layers[1].Digest)
				require.Equal(t, plain.Layers[1].Digest, digest.FromBytes(s.GetBlob(t, "team/app", plain.Layers[1].Digest)))
			},
		},
		"docker save with compressed layers": {
			files: saved(t, image, "app:v1"),
			want:  []string{"library/app:v1"},
			check: func(t *testing.T, s content.State) {
				require.Equal(t, ocispec.MediaTypeImageLayerGzip, s.Get(t, "library/app:v1").Layers[0].MediaType)
			},
		},
	} {
		for kind, open := range stores {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				refs, err := archive.Import(t.Context(), s, write(t, test.files), test.opts...)
				require.NoError(t, err)
				require.Equal(t, test.want, refs)
				test.check(t, content.State{Store: s})
			})
		}
	}
}

// Import returns the reference of an index without a tag, but not those of its
// images, in any order of the digests.
func TestReferenceOfAnUntaggedIndex(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		index := content.Index(content.Image(content.Seed(seed)), content.Platforms("linux/arm64", "linux/s390x"))
		refs, err := archive.Import(t.Context(), memstore.New(), write(t, layoutOf(t, map[string]content.Content{"app": index})))
		require.NoError(t, err)
		require.Equal(t, []string{"app@" + string(index.Digest)}, refs)
	}
}

// blob returns the name of the file of a blob.
func blob(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

// Import of an incomplete or damaged archive leaves the store unchanged.
func TestBrokenArchivesChangeNothing(t *testing.T) {
	t.Parallel()
	good, bad := content.Image(content.Seed(1)), content.Image(content.Seed(2), content.LayerSizes(10_000))
	index := content.Index(bad)
	damaged := func(d digest.Digest) func(files fstest.MapFS) {
		return func(files fstest.MapFS) { files[blob(d)].Data[7] ^= 1 }
	}
	without := func(d digest.Digest) func(files fstest.MapFS) {
		return func(files fstest.MapFS) { delete(files, blob(d)) }
	}
	all := map[string]content.Content{"a:v1": good, "z:v1": index}
	for name, test := range map[string]struct {
		files fstest.MapFS
		spoil func(files fstest.MapFS)
		want  string
	}{
		"layer damaged":    {layoutOf(t, all), damaged(bad.Layers[0].Digest), "z:v1: manifest " + string(bad.Digest) + ": blob " + string(bad.Layers[0].Digest)},
		"layer missing":    {layoutOf(t, all), without(bad.Layers[0].Digest), "z:v1: manifest " + string(bad.Digest) + ": blob " + string(bad.Layers[0].Digest)},
		"config missing":   {layoutOf(t, all), without(bad.Config.Digest), "z:v1: manifest " + string(bad.Digest) + ": blob " + string(bad.Config.Digest)},
		"manifest missing": {layoutOf(t, all), without(index.Digest), "z:v1: "},
		"child damaged":    {layoutOf(t, all), damaged(bad.Digest), "is damaged"},
		"manifest damaged": {layoutOf(t, all), damaged(index.Digest), "is damaged"},
		"untagged layer missing": {layoutOf(t, map[string]content.Content{"a:v1": good, "z": bad}), without(bad.Layers[0].Digest),
			"z@" + string(bad.Digest) + ": manifest " + string(bad.Digest) + ": blob "},
		"saved layer damaged": {saved(t, content.Image(content.Layers(1).Uncompressed()), "app:v1"),
			func(files fstest.MapFS) { files["0/layer.tar"].Data[5] ^= 1 }, `layer "0/layer.tar": it has the digest`},
	} {
		for kind, open := range stores {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				files := fstest.MapFS{}
				for name, f := range test.files {
					files[name] = &fstest.MapFile{Data: bytes.Clone(f.Data)}
				}
				test.spoil(files)
				s, file := open(t), write(t, files)
				_, err := archive.Import(t.Context(), s, file)
				require.ErrorContains(t, err, file)
				require.ErrorContains(t, err, test.want)
				for repo := range s.Repositories(t.Context(), "") {
					t.Errorf("repository %s was imported", repo)
				}
			})
		}
	}
}

func TestTruncatedArchives(t *testing.T) {
	t.Parallel()
	image := content.Image(content.Layers(1).Uncompressed())
	for name, files := range map[string]fstest.MapFS{"layout": layoutOf(t, map[string]content.Content{"app:v1": image}), "docker save": saved(t, image, "app:v1")} {
		whole, err := os.ReadFile(write(t, files))
		require.NoError(t, err)
		// Only zeros follow the last file.
		for size := 0; size < len(bytes.TrimRight(whole, "\x00")); size += 300 {
			file := filepath.Join(t.TempDir(), "app.tar")
			require.NoError(t, os.WriteFile(file, whole[:size], 0o600))
			s := memstore.New()
			if refs, err := archive.Import(t.Context(), s, file); err == nil {
				t.Errorf("%s: %v was imported from the first %d bytes of %d", name, refs, size, len(whole))
			}
			for repo := range s.Repositories(t.Context(), "") {
				t.Errorf("%s: repository %s was imported from the first %d bytes", name, repo, size)
			}
		}
	}
}

// full is a store that refuses all uploads of blobs.
type full struct{ registry.Store }

func (full) CreateBlob(context.Context, string, int64) (registry.BlobWriter, error) {
	return nil, errFull
}

var errFull = errors.New("the disk is full")

// If the store refuses a blob of an image, Import does not push the image's tag.
func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	s := full{memstore.New()}
	file := write(t, layoutOf(t, map[string]content.Content{"app:v1": content.Image()}))
	_, err := archive.Import(t.Context(), s, file)
	require.ErrorIs(t, err, errFull)
	require.Empty(t, content.State{Store: s}.Tags(t, "app"))
	_, err = archive.Import(t.Context(), s, file+".none")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
