package layout_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

func blobFile(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", d.Algorithm().String(), d.Encoded())
}

func TestDamagedBlobIsNotServed(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	d := pushBlob(t, s, "app", "content")
	file := "blobs/sha256/" + d.Encoded()
	wantDamaged := func() {
		t.Helper()
		for range 2 {
			_, err := s.OpenBlob(t.Context(), "app", d)
			require.ErrorContains(t, err, file+" is damaged: its content has the digest "+string(digest.FromString("CONTENT")))
			require.ErrorIs(t, err, fs.ErrNotExist, "a damaged blob must count as missing, so that a client pushes it again")
		}
	}
	require.Equal(t, "content", string(readBlob(t, s, "app", d)))
	require.NoError(t, os.WriteFile(blobFile(dir, d), []byte("CONTENT"), 0o644))
	wantDamaged()
	long := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(blobFile(dir, d), long, long))
	wantDamaged()
	require.NoError(t, os.WriteFile(blobFile(dir, d), []byte("content"), 0o644))
	require.Equal(t, "content", string(readBlob(t, s, "app", d)))
	require.NoError(t, os.WriteFile(blobFile(dir, d), []byte("CONTENT"), 0o644))
	wantDamaged()

	// Pushing the blob again repairs it.
	pushBlob(t, s, "app", "content")
	require.Equal(t, "content", string(readBlob(t, s, "app", d)))

	require.NoError(t, os.Remove(blobFile(dir, d)))
	_, err := s.OpenBlob(t.Context(), "app", d)
	wantNotExist(t, err)
	require.NoError(t, os.Mkdir(blobFile(dir, d), 0o755))
	_, err = s.OpenBlob(t.Context(), "app", d)
	require.ErrorContains(t, err, file+" is not a regular file")
	_, err = s.StatBlob(t.Context(), "app", d)
	require.ErrorContains(t, err, file+" is not a regular file")
}

func TestBlobIsNoLinkToOutside(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	writeFile(t, filepath.Dir(dir), "secret", "content")
	writeFile(t, dir, "inside", "content")
	s := open(t, dir)
	d := digest.FromString("content")
	require.NoError(t, os.MkdirAll(filepath.Dir(blobFile(dir, d)), 0o755))
	if err := os.Symlink("../../../secret", blobFile(dir, d)); err != nil {
		t.Skip(err)
	}
	_, err := s.OpenBlob(t.Context(), "app", d)
	require.ErrorContains(t, err, "path escapes from parent")
	_, err = s.StatBlob(t.Context(), "app", d)
	require.ErrorContains(t, err, "path escapes from parent")
	require.NoError(t, os.Remove(blobFile(dir, d)))
	require.NoError(t, os.Symlink("../../inside", blobFile(dir, d)))
	require.Equal(t, "content", string(readBlob(t, s, "app", d)))
}

func TestTemporaryFilesHaveNowhereToBe(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	if err := os.Symlink("nowhere", filepath.Join(dir, ".ocireg")); err != nil {
		t.Skip(err)
	}
	_, err := s.CreateBlob(t.Context(), "app", -1)
	require.ErrorContains(t, err, ".ocireg, where the store keeps temporary files, is not a directory")
	require.NoError(t, os.Remove(filepath.Join(dir, ".ocireg")))
	pushBlob(t, s, "app", "content")
}

func TestBlobOnDiskIsAFile(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	r, err := s.OpenBlob(t.Context(), "app", pushBlob(t, s, "app", "content"))
	require.NoError(t, err)
	require.IsType(t, (*os.File)(nil), r, "the reader must be a file, which the operating system can send")
	require.NoError(t, r.Close())
}

func TestDigestIsNoPath(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	pushBlob(t, s, "app", "content")
	for _, d := range []digest.Digest{"", "sha256:", "sha256:..", "sha256:../../oci-layout", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256", layer + "0", digest.Digest(strings.ToUpper(string(layer)))} {
		_, err := s.StatBlob(t.Context(), "app", d)
		wantNotExist(t, err)
		_, err = s.OpenBlob(t.Context(), "app", d)
		wantNotExist(t, err)
		wantNotExist(t, s.DeleteBlob(t.Context(), "app", d))
		wantNotExist(t, s.MountBlob(t.Context(), "other", d, "app"))
		wantNotExist(t, s.DeleteManifest(t.Context(), "app", d))
		w, err := s.CreateBlob(t.Context(), "app", 1)
		require.NoError(t, err)
		require.Error(t, w.Commit(t.Context(), d))
		require.NoError(t, w.Close())
		require.Error(t, s.PutManifest(t.Context(), "app", registry.Manifest{Digest: d}, nil, nil))
	}
}

func TestMountIsALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	d := pushBlob(t, s, "from", "content")
	require.NoError(t, s.MountBlob(t.Context(), "to", d, "from"))
	a, err := os.Stat(blobFile(filepath.Join(dir, "from"), d))
	require.NoError(t, err)
	b, err := os.Stat(blobFile(filepath.Join(dir, "to"), d))
	require.NoError(t, err)
	require.True(t, os.SameFile(a, b))
}

func TestUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	d := pushBlob(t, s, "app", "content")
	w, err := s.CreateBlob(t.Context(), "app", -1)
	require.NoError(t, err)
	_, err = io.Copy(w, strings.NewReader("more content"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	require.ErrorIs(t, w.Commit(t.Context(), d), fs.ErrClosed)
	put(t, s, "app", 0, "v1")
	require.Error(t, s.PutManifest(t.Context(), "app", smallImage(1), nil, func(string, digest.Digest) error { return errors.New("no") }))
	require.Empty(t, temporary(t, dir))
	left, err := os.ReadDir(filepath.Join(dir, "app/blobs/sha256"))
	require.NoError(t, err)
	require.Len(t, left, 2)
}

func TestCloseLeavesNoUploads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := layout.Open(dir)
	require.NoError(t, err)
	d := pushBlob(t, s, "app", "content")
	open, err := s.CreateBlob(t.Context(), "app", -1)
	require.NoError(t, err)
	_, err = io.Copy(open, strings.NewReader("more content"))
	require.NoError(t, err)
	other, err := layout.Open(dir)
	require.NoError(t, err)
	theirs, err := other.CreateBlob(t.Context(), "app", -1)
	require.NoError(t, err)

	require.NoError(t, s.Close())
	require.Len(t, temporary(t, dir), 1, "the other store keeps its file")
	require.Error(t, open.Commit(t.Context(), d))
	open.Close()

	require.NoError(t, theirs.Commit(t.Context(), digest.FromString("")))
	require.NoError(t, other.Close())
	require.NoDirExists(t, filepath.Join(dir, ".ocireg"))
	require.FileExists(t, blobFile(filepath.Join(dir, "app"), d))
}

func TestStaleUploadsAreRemoved(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), emptyLayout(t)} {
		now := time.Now()
		for name, age := range map[string]time.Duration{"new": time.Hour, "old": 25 * time.Hour} {
			writeFile(t, dir, ".ocireg/"+name, name)
			require.NoError(t, os.Chtimes(filepath.Join(dir, ".ocireg", name), now.Add(-age), now.Add(-age)))
		}
		open(t, dir, layout.ReadOnly())
		require.FileExists(t, filepath.Join(dir, ".ocireg/old"))
		open(t, dir)
		require.FileExists(t, filepath.Join(dir, ".ocireg/new"))
		require.NoFileExists(t, filepath.Join(dir, ".ocireg/old"))
	}
}

// TestOneLayoutOfSeveralRepositories checks that the repositories of one layout
// share their blobs but not their manifests, in the store that writes and in a
// store that is opened later.
func TestOneLayoutOfSeveralRepositories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/docker")))
	const config1 = digest.Digest("sha256:46bd8c0aebbce9029dcf2d333cc3d7802f0b322855c3806344223c3a0ee16159")
	const one, two = "library/app", "team/app"
	s := open(t, dir)
	has := func(d digest.Digest, want bool) {
		t.Helper()
		for _, s := range []*layout.Store{s, open(t, dir)} {
			for _, repo := range []string{one, two, "new"} {
				_, err := s.StatBlob(t.Context(), repo, d)
				require.Equal(t, want, err == nil, "%s in %s: %v", d, repo, err)
			}
		}
	}
	hasManifest := func(repo string, d digest.Digest, want bool) {
		t.Helper()
		for _, s := range []*layout.Store{s, open(t, dir)} {
			_, err := s.StatManifest(t.Context(), repo, string(d))
			require.Equal(t, want, err == nil, "%s in %s: %v", d, repo, err)
		}
	}

	// Each repository can read a pushed blob, before and after a manifest names
	// it. A mount copies nothing.
	require.True(t, s.SharesBlobs())
	has(config1, true)
	has(layer, true)
	orphan := pushBlob(t, s, one, "orphan")
	has(orphan, true)
	require.NoError(t, s.MountBlob(t.Context(), "new", config1, two))
	wantNotExist(t, s.MountBlob(t.Context(), "new", digest.FromString("none"), ""))

	// A manifest belongs to the repository that it was pushed to.
	hasManifest(one, amd64, true)
	hasManifest(two, amd64, false)
	hasManifest(one, arm64, false)
	hasManifest("new", amd64, false)

	// A blob cannot be deleted while another repository needs it.
	for _, repo := range []string{one, two} {
		require.ErrorIs(t, s.DeleteBlob(t.Context(), repo, layer), errors.ErrUnsupported)
	}
	require.ErrorContains(t, s.DeleteBlob(t.Context(), one, layer), "repository team/app, which shares the layout, needs it")
	require.ErrorContains(t, s.DeleteBlob(t.Context(), "new", config1), "repository library/app")
	request(t, registry.New(s), "DELETE", "/v2/"+one+"/blobs/"+string(layer), 405)
	has(layer, true)
	require.NoError(t, s.DeleteBlob(t.Context(), two, orphan))
	has(orphan, false)
	require.NoError(t, s.DeleteBlob(t.Context(), one, config1))
	has(config1, false)
	require.NoFileExists(t, blobFile(dir, config1))

	// If two repositories have the same manifest, they share its file. The store
	// removes the file when the second of them deletes the manifest.
	m, err := s.GetManifest(t.Context(), one, "v1")
	require.NoError(t, err)
	require.NoError(t, s.PutManifest(t.Context(), two, m, []string{"v1"}, nil))
	require.NoError(t, s.DeleteManifest(t.Context(), one, amd64))
	hasManifest(one, amd64, false)
	hasManifest(two, amd64, true)
	wantManifest(t, s, two, "v1", imageType, amd64)
	require.NoError(t, s.DeleteManifest(t.Context(), two, amd64))
	hasManifest(two, amd64, false)
	require.NoFileExists(t, blobFile(dir, amd64))

	// A repository disappears with its last manifest, in the store that deletes
	// the manifest and in a store that is opened afterwards.
	require.NoError(t, s.DeleteManifest(t.Context(), two, arm64))
	for _, s := range []*layout.Store{s, open(t, dir)} {
		wantNotExist(t, errorOf(s.Tags(t.Context(), two, "")))
	}
	require.NoError(t, open(t, dir).DeleteBlob(t.Context(), "new", layer), "no manifest needs it any more")
}

// TestManifestThatIsABlob pushes the same content as a manifest and as a blob.
// Each can be read and deleted without the other.
func TestManifestThatIsABlob(t *testing.T) {
	t.Parallel()
	m := smallImage(0)
	for name, open := range map[string]func() *layout.Store{
		"tree": func() *layout.Store { return open(t, t.TempDir()) }, "layout": func() *layout.Store { return open(t, emptyLayout(t)) },
	} {
		s := open()
		put(t, s, "app", 0, "v1")
		_, err := s.StatBlob(t.Context(), "app", m.Digest)
		require.ErrorIs(t, err, fs.ErrNotExist, "%s: a manifest is not a blob", name)
		_, err = s.OpenBlob(t.Context(), "app", m.Digest)
		wantNotExist(t, err)
		wantNotExist(t, s.MountBlob(t.Context(), "other", m.Digest, "app"))
		wantNotExist(t, s.DeleteBlob(t.Context(), "app", m.Digest))
		pushBlob(t, s, "app", string(m.Content))
		require.Equal(t, m.Content, readBlob(t, s, "app", m.Digest))
		require.NoError(t, s.DeleteBlob(t.Context(), "app", m.Digest), "the manifest was also pushed as a blob")
		_, err = s.StatBlob(t.Context(), "app", m.Digest)
		wantNotExist(t, err)
		wantManifestDigest(t, s, "app", "v1", 0)

		pushBlob(t, s, "app", string(m.Content))
		require.NoError(t, s.DeleteManifest(t.Context(), "app", m.Digest))
		_, err = s.GetManifest(t.Context(), "app", string(m.Digest))
		wantNotExist(t, err)
		require.Equal(t, m.Content, readBlob(t, s, "app", m.Digest))
		require.NoError(t, s.DeleteBlob(t.Context(), "app", m.Digest))
		_, err = s.StatBlob(t.Context(), "app", m.Digest)
		wantNotExist(t, err)
	}
}

// TestDeletedManifestStaysGone deletes a manifest that the indexes of two
// repositories name. The second repository needs the file, and a store that is
// opened later could not tell that the first repository has deleted the
// manifest. The store therefore refuses the deletion until the index of the
// first repository is deleted.
func TestDeletedManifestStaysGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/regctl")))
	reopen := func() *layout.Store { return open(t, dir, layout.Repository("app")) }
	s := reopen()
	m, err := s.GetManifest(t.Context(), "app", "multi")
	require.NoError(t, err)
	require.NoError(t, s.PutManifest(t.Context(), "other", m, []string{"multi"}, nil))
	wantImage(t, s, "other", "multi", indexType, multi)
	err = s.DeleteManifest(t.Context(), "app", arm64)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "repository other, which shares the layout, needs it")
	request(t, registry.New(s), "DELETE", "/v2/app/manifests/"+string(arm64), 405)
	wantImage(t, reopen(), "app", string(arm64), imageType, arm64)

	require.NoError(t, s.DeleteManifest(t.Context(), "app", multi))
	for _, s := range []*layout.Store{s, reopen()} {
		_, err = s.GetManifest(t.Context(), "app", string(arm64))
		wantNotExist(t, err)
		wantImage(t, s, "other", string(arm64), imageType, arm64)
	}
	require.NoError(t, s.DeleteManifest(t.Context(), "other", arm64))
	require.NoFileExists(t, blobFile(dir, arm64))
	_, err = reopen().GetManifest(t.Context(), "other", string(arm64))
	wantNotExist(t, err)
}

// TestDescriptorsAreClosed checks that a store that is used and closed leaves no
// file descriptor open. It does not run in parallel with tests that open files.
func TestDescriptorsAreClosed(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata")))
	use := func(s *layout.Store) {
		d := pushBlob(t, s, "a", "content")
		require.NoError(t, s.MountBlob(t.Context(), "b", d, "a"))
		require.NoError(t, s.DeleteBlob(t.Context(), "b", d))
		readBlob(t, s, "a", d)
		put(t, s, "a", 0, "v1", "v2")
		put(t, s, "a", 1, "v2")
		wantImage(t, s, "regctl", "multi", indexType, multi)
		wantReferrers(t, s, "regctl", amd64, sbom)
		require.NoError(t, s.DeleteManifest(t.Context(), "a", smallImage(0).Digest))
		require.NoError(t, s.DeleteTag(t.Context(), "a", "v2"))
		tagsOf(t, s)
		writeFile(t, dir, "a/blobs/sha256/"+layer.Encoded(), "damaged")
		_, err := s.OpenBlob(t.Context(), "a", layer)
		require.Error(t, err)
		whole, err := os.ReadFile(filepath.Join(dir, "umoci/index.json"))
		require.NoError(t, err)
		writeFile(t, dir, "umoci/index.json", "damaged")
		_, err = s.GetManifest(t.Context(), "umoci", "v1")
		require.Error(t, err)
		require.Error(t, s.PutManifest(t.Context(), "umoci", smallImage(0), nil, nil))
		_, err = layout.Open(filepath.Join(dir, "umoci"))
		require.Error(t, err)
		writeFile(t, dir, "umoci/index.json", string(whole))
		_, err = layout.Open(filepath.Join(dir, "umoci/blobs"))
		require.Error(t, err)
		w, err := s.CreateBlob(t.Context(), "a", 1)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	s, err := layout.Open(dir)
	require.NoError(t, err)
	use(s) // The first use makes the Go runtime open files that stay open.
	open := count()
	for range 3 {
		use(s)
	}
	require.Equal(t, open, count())
	require.NoError(t, s.Close())
	require.Equal(t, open-2, count(), "an open store has a descriptor for its directory and one for its lock")
	_, err = s.GetManifest(t.Context(), "a", "v1")
	require.ErrorIs(t, err, fs.ErrClosed)
}
