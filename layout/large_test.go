package layout

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// Without largeFile, a 32-bit system cannot open files above 2 GiB. The test
// uses a sparse file, which takes no space on the disk.
func TestFilesAbove2GiB(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux needs a flag for files above 2 GiB")
	}
	const size = 3 << 30
	tree, dir := openTree(t)
	put(t, tree, 0)
	name := "app/" + blobPath(digest.FromString("large"))
	file := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	if err := os.Truncate(file, size); err != nil {
		t.Skip(err)
	}
	for _, s := range []*Store{tree, reopened(t, dir, ReadOnly())} {
		f, info, err := s.disk.open(name)
		require.NoError(t, err)
		require.EqualValues(t, int64(size), info.Size())
		_, err = f.(io.Seeker).Seek(-1, io.SeekEnd)
		require.NoError(t, err)
		n, err := f.Read(make([]byte, 2))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		known, _, err := s.disk.openKnown(name, info)
		require.NoError(t, err)
		require.NoError(t, known.Close())
		require.NoError(t, f.Close())
	}
	w := &blobWriter{store: tree, temp: name}
	n, err := w.Write([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, int64(size)+1, info.Size())
}
