package memstore

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A computed is the source of a blob that consists of zeros. It counts the bytes
// that were read.
type computed struct{ read int64 }

func (c *computed) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	c.read += int64(len(p))
	return len(p), nil
}

func readBlob(t *testing.T, s *Store, repo string, d digest.Digest) []byte {
	t.Helper()
	r, err := s.OpenBlob(t.Context(), repo, d)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return data
}

func TestPutBlobReadsItsSourceWhenTheBlobIsRead(t *testing.T) {
	// Not parallel: the test measures allocations.
	const size = 10 << 30
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, c, d := New(), &computed{}, digest.FromString("a large blob")
	s.PutBlob("app", d, size, c)
	require.NoError(t, s.MountBlob(t.Context(), "other", d, "app"))
	clone := s.Clone()
	require.NoError(t, s.DeleteBlob(t.Context(), "app", d))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	require.Zero(t, c.read)

	for _, at := range []struct {
		store *Store
		repo  string
	}{{s, "other"}, {clone, "app"}, {clone, "other"}} {
		n, err := at.store.StatBlob(t.Context(), at.repo, d)
		require.NoError(t, err)
		require.Equal(t, int64(size), n)
		r, err := at.store.OpenBlob(t.Context(), at.repo, d)
		require.NoError(t, err)
		end, err := r.Seek(-5, io.SeekEnd)
		require.NoError(t, err)
		require.Equal(t, int64(size-5), end)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, make([]byte, 5), data)
	}
}

func TestReaderOfASourceIsASoundReader(t *testing.T) {
	t.Parallel()
	data := random(3*sourceBuffer + 17)
	s, d := New(), digest.FromBytes(data)
	s.PutBlob("app", d, int64(len(data)), bytes.NewReader(data))
	r, err := s.OpenBlob(t.Context(), "app", d)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(r, data))
	_, err = r.Seek(100, io.SeekStart)
	require.NoError(t, err)
	var got bytes.Buffer
	n, err := io.Copy(struct{ io.Writer }{&got}, r)
	require.NoError(t, err)
	require.EqualValues(t, len(data)-100, n)
	require.True(t, bytes.Equal(data[100:], got.Bytes()))
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestErrorOfASourceReachesTheReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s, d := New(), digest.FromString("unreadable")
	s.PutBlob("app", d, 100, failing{broken})
	r, err := s.OpenBlob(t.Context(), "app", d)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, broken)
}

func TestBlobThatIsThereGoesBeforeASource(t *testing.T) {
	t.Parallel()
	s := New()
	d := push(t, s, "app", []byte("content"))
	c := &computed{}
	s.PutBlob("other", d, 7, c)
	require.Equal(t, []byte("content"), readBlob(t, s, "other", d))
	require.Zero(t, c.read)

	// If the store already has a blob with a source, it discards the same bytes when
	// a client pushes them.
	zeros := make([]byte, 5)
	s.PutBlob("app", digest.FromBytes(zeros), 5, c)
	require.Equal(t, digest.FromBytes(zeros), push(t, s, "app", zeros))
	require.Equal(t, zeros, readBlob(t, s, "app", digest.FromBytes(zeros)))
	require.NotZero(t, c.read)
}
