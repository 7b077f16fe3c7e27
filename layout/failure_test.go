package layout

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// failing is a file system on which some operations fail.
type failing struct {
	files
	open   func(name string) error             // called before each Open, unless nil; Open returns its error
	rename func(oldname, newname string) error // called before each Rename, unless nil; Rename returns its error
}

func (f failing) Open(name string) (*os.File, error) {
	if f.open != nil {
		if err := f.open(name); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	return f.files.Open(name)
}

func (f failing) Rename(oldname, newname string) error {
	if f.rename != nil {
		if err := f.rename(oldname, newname); err != nil {
			return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err}
		}
	}
	return f.files.Rename(oldname, newname)
}

// The store makes the writes of a failed batch again, one by one. A deletion must
// not remove the file of a manifest that a later write of the batch puts.
func TestDeleteBeforePutOfABatch(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 1, "v1")
	put(t, s, 5, "v5")
	put(t, s, 99) // the manifest that the helper together pushes
	info, err := os.Stat(filepath.Join(dir, "app", indexFile))
	require.NoError(t, err)
	s.disk.root = noSpace(s.disk.root, info.Size())
	errs := together(t, s,
		func() error { return s.DeleteManifest(t.Context(), "app", numbered(1).Digest) },
		func() error { return s.PutManifest(t.Context(), "app", numbered(1), []string{"v1"}, nil) },
		func() error { return s.PutManifest(t.Context(), "app", numbered(2), []string{"v2"}, nil) },
	)
	if errs[1] == nil {
		_, err = s.GetManifest(t.Context(), "app", "v1")
		require.NoError(t, err)
	}
}

// If a write fails after it replaced index.json, the store keeps the manifest
// that the new index.json names.
func TestFailureAfterIndexWasReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := reopened(t, dir, Sync())
	put(t, s, 0, "v")
	works := s.disk.root
	s.disk.root = failing{files: works, open: func(name string) error {
		if name == "app" {
			return syscall.EMFILE
		}
		return nil
	}}
	require.ErrorIs(t, s.PutManifest(t.Context(), "app", numbered(1), []string{"v"}, nil), syscall.EMFILE)
	s.disk.root = works
	for _, s := range []*Store{s, reopened(t, dir)} {
		_, err := s.GetManifest(t.Context(), "app", "v")
		require.NoError(t, err)
	}
}

// A new layout gets its oci-layout file last. If that fails, the next push
// creates the layout.
func TestFailureOfTheMarker(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	works := s.disk.root
	s.disk.root = failing{files: works, rename: func(_, newname string) error {
		if strings.HasSuffix(newname, markerFile) {
			return syscall.ENOSPC
		}
		return nil
	}}
	require.ErrorIs(t, s.PutManifest(t.Context(), "app", numbered(0), []string{"v0"}, nil), syscall.ENOSPC)
	s.disk.root = works
	put(t, s, 1, "v1")
	tags := tagsIn(t, reopened(t, dir), "app")
	require.Contains(t, tags, "v1")
	for _, tag := range tags {
		_, err := s.GetManifest(t.Context(), "app", tag)
		require.NoError(t, err, tag)
	}
}

// unstatable is a file system that fails to look up the files whose names begin
// with dir.
type unstatable struct {
	fs.FS
	dir string
}

func (f unstatable) Stat(name string) (fs.FileInfo, error) {
	if strings.HasPrefix(name, f.dir) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: syscall.EMFILE}
	}
	return fs.Stat(f.FS, name)
}

// If the disk fails, the lists of tags and referrers return its error. They are
// not empty, and the repository is not missing.
func TestListsOfFailingDisk(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 0, "v")
	s = reopened(t, dir)
	s.disk.FS = unstatable{s.disk.FS, "app/"}
	errs := map[string]error{}
	for _, err := range s.Referrers(t.Context(), "app", numbered(0).Digest, "") {
		errs["referrers"] = err
	}
	for _, err := range s.Tags(t.Context(), "app", "") {
		errs["tags"] = err
	}
	require.ErrorIs(t, errs["referrers"], syscall.EMFILE)
	require.ErrorIs(t, errs["tags"], syscall.EMFILE)
}

// unlistable is a file system that fails to list the directory dir.
type unlistable struct {
	fs.FS
	dir string
}

func (f unlistable) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == f.dir {
		return nil, &fs.PathError{Op: "readdirent", Path: name, Err: syscall.EIO}
	}
	return fs.ReadDir(f.FS, name)
}

// If the disk fails, a request for an image of the Buildpacks lifecycle returns
// the error of the disk. The image does not count as missing.
func TestImagesOfFailingDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := reopened(t, dir)
	for _, tag := range []string{"v1", "v2"} {
		require.NoError(t, s.PutManifest(t.Context(), "ghcr.io/org/app/"+tag, numbered(0), []string{tag}, nil))
	}
	encoded := numbered(1).Digest.Encoded()
	require.NoError(t, s.PutManifest(t.Context(), "ghcr.io/org/app/sha256/"+encoded, numbered(1), nil, nil))
	const repo = "ghcr.io/org/app"
	inSHA256 := string(numbered(1).Digest)
	for _, c := range []struct {
		disk func(fs.FS) fs.FS
		ref  string
		want error
	}{
		{func(f fs.FS) fs.FS { return unstatable{f, repo + "/v"} }, "v1", syscall.EMFILE},
		{func(f fs.FS) fs.FS { return unlistable{f, repo} }, "v1", syscall.EIO},
		{func(f fs.FS) fs.FS { return unlistable{f, repo + "/sha256"} }, inSHA256, syscall.EIO},
	} {
		s := reopened(t, dir)
		s.disk.byPath.Store(false)
		s.disk.FS = c.disk(s.disk.FS)
		_, err := s.GetManifest(t.Context(), repo, c.ref)
		require.ErrorIs(t, err, c.want)
		for _, err = range s.Tags(t.Context(), repo, "") {
		}
		require.ErrorIs(t, err, c.want)
	}
	s = reopened(t, dir)
	s.disk.byPath.Store(false)
	s.disk.FS = unlistable{s.disk.FS, repo}
	require.ErrorIs(t, s.PutManifest(t.Context(), repo, numbered(2), []string{"v3"}, nil), syscall.EIO)
	require.NoFileExists(t, filepath.Join(dir, repo, markerFile))
}

func repositoriesOf(t *testing.T, s *Store) (all []string) {
	t.Helper()
	for repo, err := range s.Repositories(t.Context(), "") {
		require.NoError(t, err)
		all = append(all, repo)
	}
	return all
}

// An image of the Buildpacks lifecycle needs a tag that names its directory. A
// manifest that was pushed by digest gives the directory none, so the directory
// is an ordinary repository.
func TestOwnPushesAreNoImages(t *testing.T) {
	t.Parallel()
	s, _ := openTree(t)
	require.NoError(t, s.PutManifest(t.Context(), "ghcr.io/org/app/charts", numbered(0), nil, nil))
	require.Equal(t, []string{"ghcr.io/org/app/charts"}, repositoriesOf(t, s))
	w, err := s.CreateBlob(t.Context(), "ghcr.io/org/app", 1)
	require.NoError(t, err)
	require.NoError(t, w.Close())
}

// A list of repositories reads the index of each layout below a host. The store
// does not keep the index of a layout that is not an image of the Buildpacks
// lifecycle.
func TestListOfRepositoriesKeepsNoIndexes(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	for i := range 3 {
		require.NoError(t, s.PutManifest(t.Context(), "ghcr.io/org/app", numbered(i), []string{fmt.Sprint("v", i)}, nil))
	}
	s = reopened(t, dir)
	require.Equal(t, []string{"ghcr.io/org/app"}, repositoriesOf(t, s))
	require.Empty(t, s.images)
}

// When an index is deleted, its children are gone too, even if the store no
// longer remembers that the deleted manifest was an index.
func TestChildrenOfForgottenIndex(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 5000, "keep")
	image := func(name string) registry.Manifest {
		c := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"annotations":{"n":%q},"config":{"mediaType":"application/vnd.oci.empty.v1+json",`+
			`"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`, ocispec.MediaTypeImageManifest, name)
		return registry.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(c), Content: []byte(c)}
	}
	child := image("child")
	push(t, s, "app", string(child.Content))
	s = reopened(t, dir) // The new store remembers no pushed blobs.
	c := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageIndex, child.MediaType, child.Digest, len(child.Content))
	index := registry.Manifest{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString(c), Content: []byte(c)}
	require.NoError(t, s.PutManifest(t.Context(), "app", index, []string{"i"}, nil))
	_, err := s.GetManifest(t.Context(), "app", string(child.Digest))
	require.NoError(t, err)
	l := s.layouts["app"]
	for i := 0; l.facts[idOf(index.Descriptor())] != nil; i++ {
		require.Less(t, i, 2000, "the store never forgets the facts of the index")
		m := numbered(i)
		l.addFacts(m.Descriptor(), m.Content)
	}
	put(t, s, 0)
	require.NoError(t, s.DeleteManifest(t.Context(), "app", numbered(0).Digest))
	require.NoError(t, s.DeleteManifest(t.Context(), "app", index.Digest))
	for _, s := range []*Store{s, reopened(t, dir)} {
		_, err = s.GetManifest(t.Context(), "app", string(child.Digest))
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// If the file of a blob is a relative symbolic link, a mount copies the content
// of the link's target.
func TestMountOfLinkedBlob(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	d := push(t, s, "app", "content")
	put(t, s, 0, "v0")
	file := filepath.Join(dir, "app", filepath.FromSlash(blobPath(d)))
	require.NoError(t, os.Rename(file, filepath.Join(dir, "app", "blobs", "pool")))
	if err := os.Symlink("../pool", file); err != nil {
		t.Skip(err)
	}
	s = reopened(t, dir)
	require.NoError(t, s.MountBlob(t.Context(), "team/other", d, "app"))
	_, err := s.StatBlob(t.Context(), "team/other", d)
	require.NoError(t, err)
}
