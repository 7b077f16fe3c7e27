package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// noSpace returns a file system that fails to write an index.json of more than
// limit bytes.
func noSpace(works files, limit int64) files {
	return failing{files: works, rename: func(oldname, newname string) error {
		if info, err := works.Stat(oldname); err == nil && info.Size() > limit && strings.HasSuffix(newname, indexFile) {
			return syscall.ENOSPC
		}
		return nil
	}}
}

// TestWritesOfABatchFailAlone makes two pushes and two deletions in one batch
// while the disk has no space for a larger index.json. The pushes fail and leave
// no file; the deletions succeed.
func TestWritesOfABatchFailAlone(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 0, "v0")
	put(t, s, 1, "v1")
	info, err := os.Stat(filepath.Join(dir, "app", indexFile))
	require.NoError(t, err)
	s.disk.root = noSpace(s.disk.root, info.Size())
	ctx := t.Context()
	putIt := func(i int) func() error {
		return func() error { return s.PutManifest(ctx, "app", numbered(i), []string{fmt.Sprintf("tag-%d", i)}, nil) }
	}
	errs := together(t, s,
		putIt(2),
		func() error { return s.DeleteTag(ctx, "app", "v0") },
		putIt(3),
		func() error { return s.DeleteManifest(ctx, "app", numbered(1).Digest) },
	)
	require.ErrorIs(t, errs[0], syscall.ENOSPC)
	require.NoError(t, errs[1])
	require.ErrorIs(t, errs[2], syscall.ENOSPC)
	require.NoError(t, errs[3])
	for _, s := range []*Store{s, reopened(t, dir)} {
		require.Empty(t, tagsIn(t, s, "app"))
		for i, want := range []bool{true, false, false, false} {
			_, err := s.GetManifest(ctx, "app", string(numbered(i).Digest))
			require.Equal(t, want, err == nil, "manifest %d: %v", i, err)
			_, err = s.StatBlob(ctx, "app", numbered(i).Digest)
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
	require.NoError(t, putIt(4)(), "the deletions must leave space for a new entry")
}

func reopened(t *testing.T, dir string, opts ...Option) *Store {
	s, err := Open(dir, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func tagsIn(t *testing.T, s *Store, repo string) (tags []string) {
	for tag, err := range s.Tags(t.Context(), repo, "") {
		require.NoError(t, err)
		tags = append(tags, tag)
	}
	return tags
}

// TestVerify overwrites a blob in place and restores its modification time. Only
// a store with [Verify] notices.
func TestVerify(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 0)
	d := digest.FromString("content")
	name := filepath.Join(dir, "app", filepath.FromSlash(blobPath(d)))
	require.NoError(t, os.WriteFile(name, []byte("content"), 0o644))
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(name, old, old))
	verifying := reopened(t, dir, Verify())
	get := func(s *Store) int {
		w := httptest.NewRecorder()
		registry.New(s).ServeHTTP(w, httptest.NewRequest("GET", "/v2/app/blobs/"+string(d), nil))
		return w.Code
	}
	for range 2 {
		require.Equal(t, http.StatusOK, get(s))
		require.Equal(t, http.StatusOK, get(verifying))
	}
	require.NoError(t, os.WriteFile(name, []byte("CONTENT"), 0o644))
	require.NoError(t, os.Chtimes(name, old, old))
	require.Equal(t, http.StatusOK, get(s), "the file looks unchanged")
	require.Equal(t, http.StatusNotFound, get(verifying))
	_, err := verifying.StatBlob(t.Context(), "app", d)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(name, []byte("content"), 0o644))
	require.Equal(t, http.StatusOK, get(verifying))
}

// noTimes is a file system on which modification times cannot be set.
type noTimes struct{ files }

func (noTimes) Chtimes(name string, _, _ time.Time) error {
	return &fs.PathError{Op: "chtimes", Path: name, Err: syscall.EPERM}
}

func TestTimesThatCannotBeSet(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	s.disk.root = noTimes{s.disk.root}
	put(t, s, 0, "v0")
	d := push(t, s, "app", "content")
	require.NoError(t, s.MountBlob(t.Context(), "other", d, "app"))
	put(t, s, 1, "v1")
	for _, s := range []*Store{s, reopened(t, dir)} {
		require.Equal(t, []string{"v0", "v1"}, tagsIn(t, s, "app"))
		_, err := s.StatBlob(t.Context(), "other", d)
		require.NoError(t, err)
	}
}

func push(t *testing.T, s *Store, repo, content string) digest.Digest {
	w, err := s.CreateBlob(t.Context(), repo, -1)
	require.NoError(t, err)
	_, err = io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Commit(t.Context(), digest.FromString(content)))
	require.NoError(t, w.Close())
	return digest.FromString(content)
}

// TestFailedWritesLeaveNoTrace checks that failed writes to new repositories
// leave no layout in the store and no directory on disk.
func TestFailedWritesLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	ctx := t.Context()
	d := push(t, s, "app", "content")
	none := digest.FromString("none")
	refused := errors.New("refused")
	for i := range 3 {
		repo := fmt.Sprintf("new%d/x/y", i)
		require.ErrorIs(t, s.MountBlob(ctx, repo, none, "app"), fs.ErrNotExist)
		require.ErrorIs(t, s.MountBlob(ctx, repo, none, ""), fs.ErrNotExist)
		require.ErrorIs(t, s.MountBlob(ctx, repo, d, "none"), fs.ErrNotExist)
		require.ErrorIs(t, s.PutManifest(ctx, repo, numbered(0), nil, func(string, digest.Digest) error { return refused }), refused)
		require.ErrorIs(t, s.DeleteManifest(ctx, repo, none), fs.ErrNotExist)
	}
	s.disk.root = noSpace(s.disk.root, 0)
	require.ErrorIs(t, s.PutManifest(ctx, "new", numbered(0), nil, nil), syscall.ENOSPC)
	require.Len(t, s.layouts, 1)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{tempDir, "app"}, names)

	empty, dir := openTree(t)
	require.ErrorIs(t, empty.PutManifest(ctx, "a/b", numbered(0), nil, func(string, digest.Digest) error { return refused }), refused)
	require.NoError(t, empty.Close())
	reopened(t, dir)
}

// TestIdleUploadsHoldNoDescriptor checks that 50 idle uploads hold no file
// descriptor, and that each can be completed.
func TestIdleUploadsHoldNoDescriptor(t *testing.T) {
	// Not parallel: the test counts file descriptors.
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	s, _ := openTree(t)
	h := registry.New(s)
	send := func(method, target, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		return w
	}
	push(t, s, "app", "content")
	before := count()
	var locations []string
	for range 50 {
		location := send("POST", "/v2/app/blobs/uploads/", "").Header().Get("Location")
		require.Equal(t, http.StatusAccepted, send("PATCH", location, "a").Code)
		locations = append(locations, location)
	}
	require.LessOrEqual(t, count(), before)
	for i, location := range locations {
		require.Equal(t, http.StatusAccepted, send("PATCH", location, "b").Code)
		algorithm := []digest.Algorithm{digest.SHA256, digest.SHA512}[i%2]
		require.Equal(t, http.StatusCreated, send("PUT", location+"?digest="+string(algorithm.FromString("abc")), "c").Code)
	}
}

// TestSync writes to a store with [Sync]. Each write syncs the directories in
// which it adds, replaces or removes a name, so that the names survive a power
// failure.
func TestSync(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows cannot sync directories")
	}
	dir := t.TempDir()
	s := reopened(t, dir, Sync())
	synced := map[string]bool{}
	defer hook(s, func(op, name string) (string, error) {
		if op == "open to sync" {
			synced[name] = true
		}
		return name, nil
	})()
	names := func() map[string]map[string]fs.FileInfo {
		all := map[string]map[string]fs.FileInfo{}
		require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
			if name == tempDir {
				return fs.SkipDir
			}
			if e.IsDir() {
				all[name] = map[string]fs.FileInfo{}
			}
			if name != "." {
				all[path.Dir(name)][e.Name()], err = e.Info()
			}
			return err
		}))
		return all
	}
	var d digest.Digest
	for _, c := range []struct {
		write string
		do    func() error
	}{
		{"blob of a new repository", func() error { d = push(t, s, "team/app", "content"); return nil }},
		{"blob with another algorithm", func() error {
			w, err := s.CreateBlob(t.Context(), "team/app", -1)
			require.NoError(t, err)
			return w.Commit(t.Context(), digest.SHA512.FromString(""))
		}},
		{"manifest of a new repository", func() error { return s.PutManifest(t.Context(), "app", numbered(0), []string{"v0"}, nil) }},
		{"mount to a new repository", func() error { return s.MountBlob(t.Context(), "a/b/c/d", d, "team/app") }},
		{"deletion of a tag", func() error { return s.DeleteTag(t.Context(), "app", "v0") }},
		{"deletion of a manifest", func() error { return s.DeleteManifest(t.Context(), "app", numbered(0).Digest) }},
		{"deletion of a blob", func() error { return s.DeleteBlob(t.Context(), "team/app", d) }},
	} {
		before := names()
		clear(synced)
		require.NoError(t, c.do(), c.write)
		changed := 0
		for dir, now := range names() {
			then := before[dir]
			if !maps.EqualFunc(then, now, os.SameFile) {
				changed++
				require.True(t, synced[dir], "%s: %s is not synced", c.write, dir)
			}
		}
		require.NotZero(t, changed, c.write)
	}
	_, err := reopened(t, dir).StatBlob(t.Context(), "a/b/c/d", d)
	require.NoError(t, err)
}

// TestDirectoryIsMadeAgain removes the directory that a store serves and creates
// it again. The store then serves the new directory, and not the old content.
func TestDirectoryIsMadeAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tree", "layout"} {
		dir := filepath.Join(t.TempDir(), "app")
		fill := func() {
			require.NoError(t, os.Mkdir(dir, 0o755))
			if name == "layout" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, markerFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
			}
		}
		fill()
		s := reopened(t, dir)
		for i := range 3 {
			d := push(t, s, "app", "content")
			put(t, s, i, "v1")
			if err := os.RemoveAll(dir); err != nil {
				t.Skip(err) // Windows does not remove an open directory.
			}
			_, err := s.StatBlob(t.Context(), "app", d)
			require.ErrorIs(t, err, fs.ErrNotExist, name)
			_, err = s.GetManifest(t.Context(), "app", "v1")
			require.ErrorIs(t, err, fs.ErrNotExist, name)
			require.Error(t, s.PutManifest(t.Context(), "app", numbered(0), nil, nil))
			fill()
			_, err = s.GetManifest(t.Context(), "app", "v1")
			require.ErrorIs(t, err, fs.ErrNotExist, name)
		}
		push(t, s, "app", "content")
		put(t, s, 7, "v7")
		require.Equal(t, []string{"v7"}, tagsIn(t, s, "app"))
		require.Equal(t, []string{"v7"}, tagsIn(t, reopened(t, dir), "app"))

		// Another program creates the directory.
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/regctl")))
		_, err := s.GetManifest(t.Context(), "app", "v7")
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		if name == "layout" {
			require.NotEmpty(t, tagsIn(t, s, "app"))
		}
	}
}

// TestNamesThatCannotBeDirectories requests repositories without a usable
// directory: a file has its name, its path leads through a link to a place outside,
// or a name is too long. Pulls and deletions get 404. The store refuses pushes with
// NAME_INVALID.
func TestNamesThatCannotBeDirectories(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	d := push(t, s, "app", "content")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "team"), 0o755))
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "team", "link")); err != nil {
		t.Skip(err) // On Windows, only administrators may create symbolic links.
	}
	h := registry.New(s)
	send := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader("")))
		return w
	}
	for _, repo := range []string{"file", "file/below", "team/link", "team/link/below", "con." + strings.Repeat("a", 251), strings.Repeat("a", 250) + "/aux/b"} {
		if len(repo) > 255 {
			repo = repo[len(repo)-255:]
		}
		for _, path := range []string{"blobs/" + string(d), "manifests/v1", "manifests/" + string(d), "tags/list"} {
			require.Equal(t, http.StatusNotFound, send("GET", "/v2/"+repo+"/"+path).Code, "%s/%s", repo, path)
		}
		for _, path := range []string{"blobs/" + string(d), "manifests/v1", "manifests/" + string(d)} {
			require.Equal(t, http.StatusNotFound, send("DELETE", "/v2/"+repo+"/"+path).Code, "%s/%s", repo, path)
		}
		require.Equal(t, http.StatusOK, send("GET", "/v2/"+repo+"/referrers/"+string(d)).Code, repo)
		require.Equal(t, http.StatusAccepted, send("POST", "/v2/new/blobs/uploads/?mount="+string(d)+"&from="+repo).Code, "mount from %s", repo)
		if strings.HasPrefix(repo, "a") {
			continue
		}
		w := send("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(digest.FromString("")))
		require.Equal(t, http.StatusBadRequest, w.Code, "push to %s: %s", repo, w.Body)
		require.Contains(t, w.Body.String(), "NAME_INVALID")
	}
	require.Equal(t, `{"repositories":["app"]}`, send("GET", "/v2/_catalog").Body.String())
}
