package layout_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
)

// knownLayout writes a tree with one layout and opens it. The files have old
// modification times and have been read, so the store knows them. The function
// use requests each of them and returns the errors.
func knownLayout(t *testing.T) (s *layout.Store, dir string, use func() []error) {
	t.Helper()
	dir = t.TempDir()
	writeLayout(t, filepath.Join(dir, "app"), 0, "v1")
	blob := digest.FromString("content")
	writeFile(t, filepath.Join(dir, "app"), "blobs/sha256/"+blob.Encoded(), "content")
	makeOld(t, dir)
	s = open(t, dir)
	use = func() (errs []error) {
		_, err := s.StatManifest(t.Context(), "app", "v1")
		errs = append(errs, err)
		_, err = s.GetManifest(t.Context(), "app", "v1")
		errs = append(errs, err)
		_, err = s.StatBlob(t.Context(), "app", blob)
		errs = append(errs, err)
		f, err := s.OpenBlob(t.Context(), "app", blob)
		if err == nil {
			f.Close()
		}
		return append(errs, err)
	}
	for range 2 {
		for _, err := range use() {
			require.NoError(t, err)
		}
	}
	return s, dir, use
}

// makeOld sets the modification times of all files below a directory to an hour
// ago.
func makeOld(t *testing.T, dir string) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	for _, name := range everyFile(t, dir) {
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), past, past))
	}
}

func TestKnownFilesAreNotFoundAfterClose(t *testing.T) {
	t.Parallel()
	s, _, use := knownLayout(t)
	require.NoError(t, s.Close())
	for i, err := range use() {
		require.ErrorIs(t, err, fs.ErrClosed, i)
	}
}

// TestKnownFilesLeadNowhereElse replaces a directory with a link to a copy outside
// the tree. Requests for files that the store knows then fail.
func TestKnownFilesLeadNowhereElse(t *testing.T) {
	t.Parallel()
	for _, replaced := range []string{"app", "app/blobs", "app/blobs/sha256"} {
		t.Run(replaced, func(t *testing.T) {
			t.Parallel()
			_, dir, use := knownLayout(t)
			outside := filepath.Join(t.TempDir(), "outside")
			require.NoError(t, os.CopyFS(outside, os.DirFS(filepath.Join(dir, replaced))))
			require.NoError(t, os.RemoveAll(filepath.Join(dir, replaced)))
			if err := os.Symlink(outside, filepath.Join(dir, replaced)); err != nil {
				t.Skip(err)
			}
			for i, err := range use() {
				require.ErrorContains(t, err, "path escapes from parent", i)
			}
		})
	}
}

// TestKnownFilesOfMovedDirectory renames the directory that a store has open and
// puts another in its place. The store continues to serve the renamed directory.
func TestKnownFilesOfMovedDirectory(t *testing.T) {
	t.Parallel()
	s, dir, use := knownLayout(t)
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir + ".moved") })
	writeLayout(t, filepath.Join(dir, "app"), 1, "v2")
	writeLayout(t, filepath.Join(dir, "other"), 1, "v2")
	require.Equal(t, []string{"app"}, collect(t, s.Repositories(t.Context(), "")))
	for i, err := range use() {
		require.NoError(t, err, i)
	}
}

// TestManifestChangesAfterStat checks that StatManifest reads the file of a
// manifest again after the file has changed.
func TestManifestChangesAfterStat(t *testing.T) {
	t.Parallel()
	s, dir, _ := knownLayout(t)
	d, err := s.StatManifest(t.Context(), "app", "v1")
	require.NoError(t, err)
	name := filepath.Join(dir, "app", "blobs", "sha256", d.Digest.Encoded())
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, bytes.ToUpper(content), 0o666))
	for range 2 {
		_, err = s.StatManifest(t.Context(), "app", "v1")
		require.ErrorContains(t, err, "is damaged")
	}
	require.NoError(t, os.Remove(name))
	_, err = s.StatManifest(t.Context(), "app", "v1")
	wantNotExist(t, err)
}

// TestStatReadsManifestOnce checks that StatManifest reads the file of a
// manifest only the first time.
func TestStatReadsManifestOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeLayout(t, dir, 0, "v1")
	makeOld(t, dir)
	var read atomic.Int64
	s, err := layout.OpenFS(countingFS{os.DirFS(dir), &read}, layout.Repository("app"))
	require.NoError(t, err)
	for range 2 {
		d, err := s.StatManifest(t.Context(), "app", "v1")
		require.NoError(t, err)
		before := read.Load()
		again, err := s.StatManifest(t.Context(), "app", string(d.Digest))
		require.NoError(t, err)
		require.Equal(t, d, again)
		require.Equal(t, before, read.Load())
	}
}
