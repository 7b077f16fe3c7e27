package layout_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// writeLayout makes a layout with one tagged image, as other tools write it.
func writeLayout(t testing.TB, dir string, image int, tag string) {
	m := smallImage(image)
	writeFile(t, dir, "blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
	writeFile(t, dir, "index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":%q}}]}`,
		m.MediaType, m.Digest, len(m.Content), tag))
	writeFile(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
}

func TestTreeFindsLayouts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	paths := []string{
		"a", "a/b", "a-b", "a-b/c", "a.b", "a/b/c/d", "z", "team/app", "team/app/sub",
		"con_", "x/nul_.tar", // the store makes these directories for con and x/nul.tar
		"team/blobs", "team/index.json/x", // other programs may make these directories
		".hidden", "team/.git", "Upper", "with space", "a/b/blobs/nested", "x_", "a/oci-layout_", "a/blobs_/x",
	}
	want := []string{
		"a", "a-b", "a-b/c", "a.b", "a/b", "a/b/c/d", "a/blobs/x", "a/oci-layout", "con", "prn",
		"team/app", "team/app/sub", "team/blobs", "team/index.json/x", "x/nul.tar", "z",
	}
	if runtime.GOOS != "windows" { // On Windows, these names are devices.
		paths = append(paths, "aux", "x/com1", "prn") // The directory prn_ takes precedence over prn.
		want = append(want, "aux", "x/com1")
		slices.Sort(want)
	}
	for _, path := range paths {
		writeLayout(t, filepath.Join(dir, path), 0, "v1")
	}
	writeLayout(t, filepath.Join(dir, "prn_"), 1, "v1")
	s := open(t, dir)
	require.Equal(t, want, collect(t, s.Repositories(t.Context(), "")))
	for i, repo := range want {
		require.Equal(t, want[i+1:], append([]string{}, collect(t, s.Repositories(t.Context(), repo))...), "after %q", repo)
		image := 0
		if repo == "prn" {
			image = 1
		}
		wantManifestDigest(t, s, repo, "v1", image)
		require.Equal(t, []string{"v1"}, collect(t, s.Tags(t.Context(), repo, "")))
	}
	for _, repo := range []string{".hidden", "team/.git", "Upper", "with space", "a/b/blobs/nested", "x_", "blobs", "a/blobs", "..", "../x", "", "/", "a/", "a//b"} {
		_, err := s.GetManifest(t.Context(), repo, "v1")
		wantNotExist(t, err)
	}
}

func TestNamesThatDirectoriesCannotHave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	repos := []string{"a", "a/blobs", "a/blobs/sha256", "a/index.json", "a/oci-layout", "com9.x", "con", "nul.tar/aux"}
	for i, repo := range repos {
		put(t, s, repo, i%5, "v1")
	}
	require.Equal(t, repos, collect(t, s.Repositories(t.Context(), "")))
	for _, s := range []*layout.Store{s, open(t, dir)} {
		for i, repo := range repos {
			wantManifestDigest(t, s, repo, "v1", i%5)
		}
	}
	for _, path := range []string{"a/blobs_", "a/blobs_/sha256", "a/index_.json", "a/oci-layout_", "com9_.x", "con_", "nul_.tar/aux_"} {
		require.FileExists(t, filepath.Join(dir, path, "oci-layout"))
	}
	require.Equal(t, []string{"0 v1"}, indexOf(t, filepath.Join(dir, "a")))
}

func TestPlainDirectoryIsWrittenTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeLayout(t, filepath.Join(dir, "team/blobs"), 0, "v1")
	s := open(t, dir)
	put(t, s, "team/blobs", 1, "v2")
	require.Equal(t, []string{"0 v1", "1 v2"}, indexOf(t, filepath.Join(dir, "team/blobs")))
}

// In a tree, other programs may create repositories whose directories have the names
// of the files of a layout. The store refuses to make the directory above them a
// layout, because the repositories would then vanish.
func TestPlainDirectoriesStay(t *testing.T) {
	t.Parallel()
	for _, below := range []string{"blobs", "blobs/app", "index.json", "oci-layout/app"} {
		dir := t.TempDir()
		writeLayout(t, filepath.Join(dir, "team", below), 0, "v1")
		s := open(t, dir)
		h := registry.New(s)
		call := func(method, target, body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
			return w
		}
		put(t, s, "team/"+below, 1, "v2")
		d := string(digest.FromString("content"))
		for _, push := range []*httptest.ResponseRecorder{
			call("POST", "/v2/team/blobs/uploads/?digest="+d, "content"),
			call("PUT", "/v2/team/manifests/v1", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`),
		} {
			require.Equal(t, 400, push.Code, below)
			require.Contains(t, push.Body.String(), "has repositories of its own")
		}
		require.Equal(t, 404, call("GET", "/v2/team/blobs/"+d, "").Code)
		require.Equal(t, []string{"team/" + below + ":v1", "team/" + below + ":v2"}, tagsOf(t, s))
		require.Equal(t, []string{"team/" + below + ":v1", "team/" + below + ":v2"}, tagsOf(t, open(t, dir)))
	}
}

func TestReferenceInTreeContributesItsTag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeLayout(t, filepath.Join(dir, "team/app"), 0, "docker.io/library/alpine:3")
	s := open(t, dir)
	require.Equal(t, []string{"team/app:3"}, tagsOf(t, s))
	put(t, s, "team/app", 1, "3", "4")
	require.Equal(t, []string{"0", "1 3", "1 4"}, indexOf(t, filepath.Join(dir, "team/app")))
}

// TestOpen opens directories that are trees and directories that are not.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		files   map[string]string
		wantErr string
	}{
		{"empty", map[string]string{}, ""},
		{"names that begin with a dot do not count", map[string]string{".gitkeep": "", ".git/config": ""}, ""},
		{"layout deep down", map[string]string{"README": "", "a/b/c/oci-layout": "{}"}, ""},
		{"tree after a crash", map[string]string{".ocireg/1": "", "a/blobs/sha256/x": "", "a/index.json": "{}"}, ""},
		{"files", map[string]string{"README": ""}, "it is not an OCI image layout and contains none"},
		{"index.json alone", map[string]string{"index.json": `{"schemaVersion":2}`}, "it is not an OCI image layout and contains none"},
		{"directories", map[string]string{"a/b/README": ""}, "it is not an OCI image layout and contains none"},
		{"layouts where Open does not look", map[string]string{".a/oci-layout": "{}", "B/oci-layout": "{}"}, "it is not an OCI image layout and contains none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fsys := fstest.MapFS{}
			for name, text := range test.files {
				writeFile(t, dir, name, text)
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			before := files(t, dir)
			for _, openStore := range []func() (*layout.Store, error){
				func() (*layout.Store, error) { return layout.Open(dir) },
				func() (*layout.Store, error) { return layout.Open(dir, layout.ReadOnly()) },
				func() (*layout.Store, error) { return layout.OpenFS(fsys) },
			} {
				s, err := openStore()
				if test.wantErr != "" {
					require.ErrorContains(t, err, test.wantErr)
					continue
				}
				require.NoError(t, err)
				require.NoError(t, s.Close())
			}
			require.Equal(t, before, files(t, dir))
		})
	}
	_, err := layout.Open(filepath.Join(t.TempDir(), "missing"))
	wantNotExist(t, err)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = layout.Open(file)
	require.Error(t, err)
}

// manyDirs is a file system whose top directory has n empty directories.
type manyDirs int

func (manyDirs) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

func (n manyDirs) ReadDir(name string) (entries []fs.DirEntry, err error) {
	if name == "." {
		one, err := fs.Stat(fstest.MapFS{"a": {Mode: fs.ModeDir}}, "a")
		for range n {
			entries = append(entries, fs.FileInfoToDirEntry(one))
		}
		return entries, err
	}
	return nil, nil
}

func TestOpenGivesUp(t *testing.T) {
	t.Parallel()
	_, err := layout.OpenFS(manyDirs(10_001))
	require.ErrorContains(t, err, "none was found in the first 10000 directories below it")
}

// unlistable is a file system whose directories can be opened and read in parts,
// but not listed by ReadDir.
type unlistable struct{ fs.FS }

func (unlistable) ReadDir(string) ([]fs.DirEntry, error) { return nil, errors.New("listed") }

// Open reads only the beginning of the directories of a tree and lists none of
// them whole.
func TestOpenListsNoTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 30 {
		writeLayout(t, filepath.Join(dir, fmt.Sprintf("team%d/app%d", i%3, i)), 0, "v1")
	}
	s, err := layout.OpenFS(unlistable{os.DirFS(dir)})
	require.NoError(t, err)
	wantManifestDigest(t, s, "team2/app29", "v1", 0)
	require.ErrorContains(t, errorOf(s.Repositories(t.Context(), "")), "listed")
}

func TestSymbolicLinks(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	writeLayout(t, outside, 0, "v1")
	dir := t.TempDir()
	writeLayout(t, filepath.Join(dir, "v1"), 1, "x")
	for link, target := range map[string]string{"latest": "v1", "circle": ".", "up": "..", "outside": outside} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	s := open(t, dir)
	require.Equal(t, []string{"latest", "v1"}, collect(t, s.Repositories(t.Context(), "")))
	wantManifestDigest(t, s, "latest", "x", 1)
	for _, repo := range []string{"outside", "up/v1"} {
		_, err := s.GetManifest(t.Context(), repo, "x")
		require.ErrorContains(t, err, "path escapes from parent")
		require.ErrorContains(t, s.PutManifest(t.Context(), repo, smallImage(2), nil, nil), "path escapes from parent")
	}
	require.Len(t, files(t, outside), 6)
}
