package content

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestSourcesReadTheSameEverywhere(t *testing.T) {
	t.Parallel()
	gz := func(size, blocks int64) source {
		g, _ := compress(random{3, size}, blocks)
		return g
	}
	for name, s := range map[string]source{
		"random":                     random{1, 1003},
		"random, less than a word":   random{1, 3},
		"random, empty":              random{1, 0},
		"zeros":                      zeros(100),
		"concat":                     concat{bytes.NewReader([]byte("abc")), zeros(0), random{1, 100}, zeros(5)},
		"gzip":                       gz(1000, 1),
		"gzip, empty":                gz(0, 1),
		"gzip, full block":           gz(maxStored, 1),
		"gzip, last block is empty":  gz(maxStored, 2),
		"gzip, last two are short":   gz(2*maxStored-4, 3),
		"gzip, one byte in the last": gz(maxStored+1, 2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, err := io.ReadAll(newReader(s))
			require.NoError(t, err)
			require.Len(t, whole, int(s.Size()))
			if len(whole) < 2000 {
				require.NoError(t, iotest.TestReader(newReader(s), whole))
			}
			// Read around the ends of random words and of stored blocks.
			for _, around := range []int{0, 8, 10, 15, 10 + 5 + maxStored, 10 + 2*(5+maxStored), len(whole)} {
				for off := max(0, around-12); off < min(len(whole), around+12); off++ {
					for _, n := range []int{1, 7, 8, 9, 20} {
						p := make([]byte, min(n, len(whole)-off))
						got, err := s.ReadAt(p, int64(off))
						require.NoError(t, err)
						require.Equal(t, len(p), got)
						require.Equal(t, whole[off:off+len(p)], p, "%d bytes at %d", n, off)
					}
				}
			}
			_, err = s.ReadAt(make([]byte, 1), s.Size())
			require.Equal(t, io.EOF, err)
			_, err = s.ReadAt(make([]byte, 1), math.MaxInt64)
			require.Equal(t, io.EOF, err)
			_, err = s.ReadAt(make([]byte, 1), -1)
			require.ErrorIs(t, err, fs.ErrInvalid)
		})
	}
}

func TestRandomIsTheSameForever(t *testing.T) {
	t.Parallel()
	p := make([]byte, 16)
	random{0, 16}.ReadAt(p, 0)
	// With seed 0, random begins with the first number of SplitMix64 for that seed.
	require.Equal(t, "afcd1d7b39a820e2", fmt.Sprintf("%x", p[:8]))
	require.Equal(t, digest.Digest("sha256:c924b7af02ecbae8261b1006aacd6264144aafbdff5ef028f5642908eb252c86"), Random("a/b", 1000, 7).Digest)
	require.Equal(t, digest.Digest("sha256:06c76628fe78ebe654e07d83077dfd0fdbba6f86f9004ed3203dd532cbe60e08"), Random("a/b", 64<<20, 0).Digest)
	random{7, 11 << 30}.ReadAt(p, 10<<30+3)
	require.Equal(t, "f761510201e159c8eaf0d240ee1dad32", fmt.Sprintf("%x", p))
	require.NotEqual(t, Random("a/b", 1000, 7).Digest, Random("a/b", 1000, 8).Digest)
}

func TestGzipIsReadByOthers(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 1, maxStored - 1, maxStored, maxStored + 1, 2*maxStored - 1, 3 * maxStored} {
		for more := range int64(2) {
			s := random{1, size}
			g, d := compress(s, storedBlocks(size)+more)
			r, err := gzip.NewReader(newReader(g))
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Len(t, got, int(size))
			require.Equal(t, d, digest.FromBytes(got))
		}
	}
}

// Layers of all sizes are valid tar archives, even if a file of 8 GiB or more needs a
// longer header.
func TestLayersOfAnySizeAreArchives(t *testing.T) {
	t.Parallel()
	const limit = 8 << 30
	for _, size := range []int64{minTar, minTar + 1, minTar + 512, 4000, limit, limit + 1024, limit + 1536, limit + 2048, limit + 3000, 10 << 30, 1 << 50} {
		s := tarRandom("file", 1, size)
		require.Equal(t, size, s.Size())
		r := tar.NewReader(newReader(s))
		h, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, "file", h.Name)
		require.Positive(t, h.Size)
		require.Less(t, size-h.Size, int64(6*512), "the archive is hardly larger than the file")

		file, end := h.Size, size-tarTrailer
		require.GreaterOrEqual(t, end, file)
		trailer := make([]byte, tarTrailer)
		_, err = s.ReadAt(trailer, end)
		require.NoError(t, err)
		require.Equal(t, make([]byte, tarTrailer), trailer)
		if size < 1<<20 {
			_, err = r.Next()
			require.Equal(t, io.EOF, err)
		}
	}
}

// This test is not parallel, because it measures the allocations of the process.
func TestGeneratedContentTakesNoMemory(t *testing.T) {
	const size = 16 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b := Random("application/octet-stream", size, 1)
	runtime.ReadMemStats(&after)
	require.NoError(t, b.err)
	require.Equal(t, int64(size), b.Size)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))

	// A reader that seeks reads the same bytes.
	r := b.Open()
	_, err := r.Seek(-1000, io.SeekEnd)
	require.NoError(t, err)
	end, err := io.ReadAll(r)
	require.NoError(t, err)
	want := make([]byte, 1000)
	_, err = random{1, size}.ReadAt(want, size-1000)
	require.NoError(t, err)
	require.Equal(t, want, end)
}
