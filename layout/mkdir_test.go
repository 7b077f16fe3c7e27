package layout

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

// racing is a file system whose MkdirAll fails n times, as in Go 1.25.0 when
// another process creates a directory at the same time.
type racing struct {
	files
	n *int
}

func (r racing) MkdirAll(name string, perm fs.FileMode) error {
	if *r.n > 0 {
		*r.n--
		return &fs.PathError{Op: "mkdirat", Path: name, Err: fs.ErrExist}
	}
	return r.files.MkdirAll(name, perm)
}

func TestDirectoriesAreCreatedConcurrently(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	defer s.Close()
	n := 2
	s.disk.root = racing{s.disk.root, &n}
	require.NoError(t, s.disk.mkdirAll("app/blobs/sha256"))
	require.Zero(t, n)
	info, err := s.disk.stat("app/blobs/sha256")
	require.NoError(t, err)
	require.True(t, info.IsDir())

	// A file in place of a directory is still an error.
	n = 100
	require.ErrorIs(t, s.disk.mkdirAll("app/file"), fs.ErrExist)
}

// A new layout keeps its empty directory of blobs, because another request may
// be about to move a blob there.
func TestNewLayoutKeepsItsDirectories(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.add(s.newLayout("app", "app")).exist(t.Context()))
	_, err = s.disk.stat("app/blobs/sha256")
	require.NoError(t, err)
}
