package layout_test

import (
	"archive/zip"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

//go:embed testdata
var testdata embed.FS

// Digests of the content in testdata, which other tools wrote: see
// testdata/README.md.
const (
	amd64    = digest.Digest("sha256:cbe7e3997abf3ea67ae7ae4d2ff0368ea9dc4991cea7d1b7d7ed6e6760d4ce0f")
	arm64    = digest.Digest("sha256:663cc4f72d4a4d885080e23fefccb80ec5a8d71ce5765f2733f6b1a2c34126a0")
	layer    = digest.Digest("sha256:1f391461d673c6229bf0d6879ca850b701e63e9f7f6d5ace49f704d6c84752de")
	multi    = digest.Digest("sha256:eaede4b9fea51d813263930bfa964c2c58a5f7cd1c506dc88e5061ec7b1747c0")
	sbom     = digest.Digest("sha256:dbd253285f6185e7d6d6f6236039b058a423b281ecbfe88eca8228ae0ed68684")
	sbomTag  = "sha256-cbe7e3997abf3ea67ae7ae4d2ff0368ea9dc4991cea7d1b7d7ed6e6760d4ce0f"
	orasText = digest.Digest("sha256:b4c6d755e5ff475136997008a2e76f1badbc481354c167ff19c85da09d0af8b3")
	orasSign = digest.Digest("sha256:4bf3db28089fdfc358d97660a2c3b45e5b32a18f8a14dac004a2a8eeae392dea")
)

func collect[T any](t testing.TB, list func(func(T, error) bool)) (all []T) {
	for item, err := range list {
		require.NoError(t, err)
		all = append(all, item)
	}
	return all
}

// tagsOf returns the tags of all repositories, each as repository:tag. A
// repository without tags is listed by its name alone.
func tagsOf(t testing.TB, s registry.Store) (all []string) {
	for _, repo := range collect(t, s.Repositories(t.Context(), "")) {
		tags := collect(t, s.Tags(t.Context(), repo, ""))
		if len(tags) == 0 {
			all = append(all, repo)
		}
		for _, tag := range tags {
			all = append(all, repo+":"+tag)
		}
	}
	return all
}

// wantManifest checks that the tag or digest ref names the manifest with the
// given media type and digest. It returns the descriptors of the blobs and
// manifests that the manifest names.
func wantManifest(t testing.TB, s registry.Store, repo, ref, mediaType string, d digest.Digest) []ocispec.Descriptor {
	m, err := s.GetManifest(t.Context(), repo, ref)
	require.NoError(t, err, "%s %s", repo, ref)
	require.Equal(t, d, m.Digest)
	require.Equal(t, mediaType, m.MediaType)
	require.Equal(t, d, digest.FromBytes(m.Content))
	desc, err := s.StatManifest(t.Context(), repo, ref)
	require.NoError(t, err)
	require.Equal(t, ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(m.Content))}, desc)
	var doc struct {
		Config            *ocispec.Descriptor
		Layers, Manifests []ocispec.Descriptor
	}
	require.NoError(t, json.Unmarshal(m.Content, &doc))
	parts := slices.Concat(doc.Layers, doc.Manifests)
	if doc.Config != nil {
		parts = append(parts, *doc.Config)
	}
	return parts
}

// wantImage checks that the store has an image or index and all of its parts, at
// any depth.
func wantImage(t testing.TB, s registry.Store, repo, ref, mediaType string, d digest.Digest) {
	for _, part := range wantManifest(t, s, repo, ref, mediaType, d) {
		if strings.Contains(part.MediaType, "image.manifest") {
			wantImage(t, s, repo, string(part.Digest), part.MediaType, part.Digest)
			continue
		}
		size, err := s.StatBlob(t.Context(), repo, part.Digest)
		require.NoError(t, err)
		require.Equal(t, part.Size, size)
		require.Equal(t, part.Digest, digest.FromBytes(readBlob(t, s, repo, part.Digest)))
	}
}

func readBlob(t testing.TB, s registry.Store, repo string, d digest.Digest) []byte {
	r, err := s.OpenBlob(t.Context(), repo, d)
	require.NoError(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	return content
}

func wantNotExist(t testing.TB, err error) {
	t.Helper()
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func wantReferrers(t testing.TB, s registry.Store, repo string, subject digest.Digest, want ...digest.Digest) {
	var got []digest.Digest
	for _, d := range collect(t, s.Referrers(t.Context(), repo, subject, "")) {
		got = append(got, d.Digest)
	}
	slices.Sort(want)
	require.Equal(t, want, got)
}

const (
	imageType = ocispec.MediaTypeImageManifest
	indexType = ocispec.MediaTypeImageIndex
)

// TestOtherTools reads layouts that other tools wrote, each alone and all in one
// tree, from a directory, an embed.FS, and a tar archive with and without gzip.
func TestOtherTools(t *testing.T) {
	t.Parallel()
	tools := []struct {
		name string
		// tags are the tags of the layout when it is opened alone. The word def
		// stands for the default repository.
		tags []string
		// treeTags are the tags of the layout when it is part of a tree.
		treeTags []string
		check    func(t *testing.T, s *layout.Store, def string, tree bool)
	}{
		{"umoci", []string{"def:v1", "def:v2"}, []string{"v1", "v2"}, func(t *testing.T, s *layout.Store, def string, _ bool) {
			wantImage(t, s, def, "v1", imageType, amd64)
			wantImage(t, s, def, "v2", imageType, arm64)
			wantImage(t, s, def, string(arm64), imageType, arm64)
			wantReferrers(t, s, def, amd64)
		}},
		{"skopeo", []string{"def:latest", "library/app:v2", "team/app:v1"}, []string{"latest", "v1", "v2"}, func(t *testing.T, s *layout.Store, def string, tree bool) {
			wantImage(t, s, def, "latest", imageType, amd64)
			wantImage(t, s, def, string(arm64), imageType, arm64)
			if !tree {
				wantImage(t, s, "library/app", "v2", imageType, arm64)
				wantImage(t, s, "team/app", "v1", imageType, amd64)
				// The repositories of one layout share blobs, but not manifests.
				_, err := s.GetManifest(t.Context(), "team/app", string(arm64))
				wantNotExist(t, err)
				_, err = s.StatBlob(t.Context(), "team/app", "sha256:e8cffd77e260599d5135c82ae95dfcb6458352b80903307e3f52cc2da21e187e")
				require.NoError(t, err)
			}
		}},
		{"skopeo-all", []string{"def:multi"}, []string{"multi"}, func(t *testing.T, s *layout.Store, def string, _ bool) {
			wantImage(t, s, def, "multi", indexType, multi)
			wantImage(t, s, def, string(arm64), imageType, arm64)
		}},
		{"regctl", []string{"def:multi", "def:" + sbomTag, "def:v1"}, []string{"multi", sbomTag, "v1"}, func(t *testing.T, s *layout.Store, def string, _ bool) {
			wantImage(t, s, def, "multi", indexType, multi)
			wantImage(t, s, def, string(arm64), imageType, arm64)
			wantImage(t, s, def, string(sbom), imageType, sbom)
			wantReferrers(t, s, def, amd64, sbom)
			wantReferrers(t, s, def, arm64)
			for d, err := range s.Referrers(t.Context(), def, amd64, "") {
				require.NoError(t, err)
				require.Equal(t, ocispec.Descriptor{MediaType: imageType, Digest: sbom, Size: 580, ArtifactType: "application/vnd.example.sbom"}, d)
			}
		}},
		{"crane", []string{"def"}, nil, func(t *testing.T, s *layout.Store, def string, _ bool) {
			wantImage(t, s, def, string(multi), indexType, multi)
			wantImage(t, s, def, string(amd64), imageType, amd64)
			wantImage(t, s, def, string(arm64), imageType, arm64)
		}},
		{"oras", []string{"def:v1"}, []string{"v1"}, func(t *testing.T, s *layout.Store, def string, _ bool) {
			wantImage(t, s, def, "v1", imageType, orasText)
			wantImage(t, s, def, string(orasSign), imageType, orasSign)
			wantReferrers(t, s, def, orasText, orasSign)
		}},
		{"docker", []string{"library/app:v1", "team/app:v2"}, []string{"v1", "v2"}, func(t *testing.T, s *layout.Store, def string, tree bool) {
			if tree {
				wantImage(t, s, def, "v1", imageType, amd64)
				wantImage(t, s, def, "v2", imageType, arm64)
				return
			}
			wantImage(t, s, "library/app", "v1", imageType, amd64)
			wantImage(t, s, "team/app", "v2", imageType, arm64)
		}},
		{"buildx", []string{"team/app:v1"}, []string{"v1"}, func(t *testing.T, s *layout.Store, def string, tree bool) {
			if !tree {
				def = "team/app"
			}
			top, err := s.StatManifest(t.Context(), def, "v1")
			require.NoError(t, err)
			wantImage(t, s, def, "v1", indexType, top.Digest)
			wantImage(t, s, def, string(amd64), imageType, amd64)
			wantImage(t, s, def, string(arm64), imageType, arm64)
		}},
	}
	embedded, err := fs.Sub(testdata, "testdata")
	require.NoError(t, err)
	stores := map[string]func(t *testing.T, path string) *layout.Store{
		"disk": func(t *testing.T, path string) *layout.Store { return open(t, "testdata/"+path, layout.ReadOnly()) },
		"fs": func(t *testing.T, path string) *layout.Store {
			sub, err := fs.Sub(embedded, path)
			require.NoError(t, err)
			s, err := layout.OpenFS(sub)
			require.NoError(t, err)
			return s
		},
		"tar":    func(t *testing.T, path string) *layout.Store { return open(t, archiveOf(t, path, ".tar")) },
		"tar.gz": func(t *testing.T, path string) *layout.Store { return open(t, archiveOf(t, path, ".tar.gz")) },
	}
	var inTree []string
	for _, tool := range tools {
		for _, tag := range tool.treeTags {
			inTree = append(inTree, tool.name+":"+tag)
		}
		if len(tool.treeTags) == 0 {
			inTree = append(inTree, tool.name)
		}
		for kind, openStore := range stores {
			t.Run(tool.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				s, def := openStore(t, tool.name), tool.name
				if kind == "fs" {
					def = "image"
				}
				var want []string
				for _, tag := range tool.tags {
					if rest, ok := strings.CutPrefix(tag, "def"); ok {
						tag = def + rest
					}
					want = append(want, tag)
				}
				require.ElementsMatch(t, want, tagsOf(t, s))
				tool.check(t, s, def, false)
				tool.check(t, openStore(t, "."), tool.name, true)
			})
		}
	}
	slices.Sort(inTree)
	for kind, openStore := range stores {
		t.Run("tree/"+kind, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, inTree, tagsOf(t, openStore(t, ".")))
		})
	}
}

func TestDefaultRepositoryIsNamed(t *testing.T) {
	t.Parallel()
	s := open(t, "testdata/umoci", layout.ReadOnly(), layout.Repository("my.host/app"))
	require.Equal(t, []string{"my.host/app:v1", "my.host/app:v2"}, tagsOf(t, s))
	_, err := layout.Open("testdata/umoci", layout.Repository("No Name"))
	require.ErrorContains(t, err, `"No Name" is not a valid repository name`)
}

// zipped returns the file system as a zip archive. The files of a zip archive have
// no Seek method.
func zipped(t *testing.T, fsys fs.FS) fs.FS {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	require.NoError(t, w.AddFS(fsys))
	require.NoError(t, w.Close())
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	return r
}

func TestAnyFileSystemIsServed(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	d := digest.FromBytes(content)
	files := fstest.MapFS{
		"oci-layout":                      {Data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		"index.json":                      {Data: []byte(`{"schemaVersion":2}`)},
		"blobs/sha256/" + d.Encoded():     {Data: content},
		"blobs/sha256/" + layer.Encoded(): {Data: []byte("damaged")},
	}
	for kind, fsys := range map[string]fs.FS{"map": files, "zip": zipped(t, files)} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, err := layout.OpenFS(fsys, layout.Repository("app"))
			require.NoError(t, err)
			require.Equal(t, []string{"app"}, tagsOf(t, s))
			r, err := s.OpenBlob(t.Context(), "app", d)
			require.NoError(t, err)
			require.NoError(t, iotest.TestReader(r, content))
			_, err = r.Seek(-5, io.SeekEnd)
			require.NoError(t, err)
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "56789", string(rest))
			require.NoError(t, r.Close())
			_, err = s.OpenBlob(t.Context(), "app", layer)
			require.ErrorContains(t, err, "blobs/sha256/"+layer.Encoded()+" is damaged")
			require.NoError(t, s.Close())
		})
	}
}

func TestReadOnlyRefusesToWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata")))
	disk := open(t, dir, layout.ReadOnly())
	single := open(t, dir+"/umoci", layout.ReadOnly())
	fsys, err := layout.OpenFS(os.DirFS(dir))
	require.NoError(t, err)
	before := files(t, dir)
	for _, s := range []registry.Store{disk, single, fsys} {
		ctx := t.Context()
		m, err := s.GetManifest(ctx, "umoci", "v1")
		require.NoError(t, err)
		_, err = s.CreateBlob(ctx, "umoci", 1)
		for _, err := range []error{
			err, s.MountBlob(ctx, "new", layer, "umoci"), s.DeleteBlob(ctx, "umoci", layer),
			s.PutManifest(ctx, "umoci", m, []string{"v3"}, nil), s.DeleteManifest(ctx, "umoci", amd64), s.DeleteTag(ctx, "umoci", "v1"),
		} {
			require.ErrorIs(t, err, errors.ErrUnsupported)
		}
	}
	require.Equal(t, before, files(t, dir))
}

// temporary returns the names of the temporary files in .ocireg, except the lock
// files of open stores.
func temporary(t testing.TB, dir string) (names []string) {
	entries, err := os.ReadDir(filepath.Join(dir, ".ocireg"))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			names = append(names, e.Name())
		}
	}
	return names
}

// files returns the content of each regular file below a directory, and the type
// of each other file. It leaves out the lock files of open stores.
func files(t testing.TB, dir string) map[string]string {
	all := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, ".ocireg/") && strings.HasSuffix(path, ".lock") {
			return nil
		}
		all[path] = fmt.Sprint(e.Type())
		if e.Type().IsRegular() {
			text, err := os.ReadFile(dir + "/" + path)
			all[path] = string(text)
			return err
		}
		return nil
	}))
	return all
}
