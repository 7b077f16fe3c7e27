package memstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"unsafe"
	"weak"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// announcements returns the sizes, right and wrong, that a client may announce
// for a blob of the given size.
func announcements(size int64) map[string]int64 {
	return map[string]int64{
		"right": size, "none": -1, "zero": 0, "one": 1, "too small": size / 3, "one short": size - 1,
		"one too large": size + 1, "too large": 2 * size, "absurd": 1 << 60,
	}
}

func TestLargeUploadHoldsATenthMoreAtMost(t *testing.T) {
	// Not parallel: the test measures allocations.
	const size = 64 << 20
	d := digest.FromString("what it is called does not matter")
	for name, announced := range announcements(size) {
		for _, readFrom := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/ReadFrom=%t", name, readFrom), func(t *testing.T) {
				s := New()
				w := create(t, s, "app", announced)
				src := &zeros{n: size, check: func() {
					if w.content.size >= 10<<20 {
						require.LessOrEqual(t, float64(w.content.held()), 1.1*float64(w.content.size))
					}
				}}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var n int64
				var err error
				if readFrom {
					n, err = io.Copy(w, src)
				} else {
					n, err = io.CopyBuffer(struct{ io.Writer }{w}, src, make([]byte, 100<<10))
				}
				require.NoError(t, err)
				require.EqualValues(t, size, n)
				require.NoError(t, w.Commit(t.Context(), d))
				require.NoError(t, w.Close())
				runtime.ReadMemStats(&after)
				require.LessOrEqual(t, float64(after.TotalAlloc-before.TotalAlloc), 1.1*size, "the upload allocated too many bytes")

				c := s.blobs[d].content
				require.EqualValues(t, size, c.size)
				require.LessOrEqual(t, float64(c.held()), 1.1*size)
				require.LessOrEqual(t, len(c.slabs), size/largeSlab, "the blob has too many slabs")
			})
		}
	}
}

func TestSmallBlobHoldsWhatItNeeds(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 1, 63, 64, 65, 300, 4095, 4096, 4097, 100_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 9 << 20} {
		for name, announced := range announcements(size) {
			t.Run(fmt.Sprint(size, name), func(t *testing.T) {
				t.Parallel()
				s := New()
				w := create(t, s, "app", announced)
				_, err := io.Copy(w, &zeros{n: size})
				require.NoError(t, err)
				if announced == size && size <= largeSlab {
					require.LessOrEqual(t, len(w.content.slabs), 1, "the upload has more than one slab")
					require.Equal(t, size, w.content.held(), "the upload must hold exactly the announced bytes")
				}
				if announced < 0 {
					require.LessOrEqual(t, w.content.held(), max(2*size, minSlab), "the upload holds too many bytes")
				}
				require.NoError(t, w.Commit(t.Context(), "sha256:any"))
				c := s.blobs["sha256:any"].content
				require.Equal(t, size, c.size)
				require.LessOrEqual(t, float64(c.held()), 1.1*float64(size), "the committed blob holds too many bytes")
			})
		}
	}
}

func TestAnnouncedSizeIsNotTakenOnTrust(t *testing.T) {
	t.Parallel()
	w := create(t, New(), "app", 1<<60)
	_, err := w.Write([]byte("x"))
	require.NoError(t, err)
	require.LessOrEqual(t, w.content.held(), int64(largeSlab))
}

func TestUploadKeepsEveryByteInOrder(t *testing.T) {
	t.Parallel()
	data := random(3 << 20)
	for name, announced := range announcements(int64(len(data))) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New()
			w := create(t, s, "app", announced)
			r := rand.New(rand.NewPCG(1, 2))
			for rest := data; len(rest) > 0; {
				n := min(1+r.IntN(200_000), len(rest))
				var err error
				if r.IntN(2) == 0 {
					_, err = w.Write(rest[:n])
				} else {
					_, err = w.ReadFrom(iotest.HalfReader(bytes.NewReader(rest[:n])))
				}
				require.NoError(t, err)
				rest = rest[n:]
			}
			require.NoError(t, iotest.TestReader(io.NewSectionReader(w, 0, 20_000), data[:20_000]))
			require.NoError(t, w.Commit(t.Context(), digest.FromBytes(data)))
			f, err := s.OpenBlob(t.Context(), "app", digest.FromBytes(data))
			require.NoError(t, err)
			got, err := io.ReadAll(f)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got))
		})
	}
}

func TestReadFromStopsAtWhatAReaderDoesWrong(t *testing.T) {
	t.Parallel()
	for _, announced := range []int64{-1, 0, 5, 10} {
		for name, try := range map[string]struct {
			read func(p []byte) (int, error)
			want error
		}{
			"nothing forever": {func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress},
			"less than none":  {func([]byte) (int, error) { return -1, nil }, errInvalidRead},
			"more than asked": {func(p []byte) (int, error) { return len(p) + 1, nil }, errInvalidRead},
			"bytes and error": {func(p []byte) (int, error) { return copy(p, "67"), io.ErrUnexpectedEOF }, io.ErrUnexpectedEOF},
		} {
			t.Run(fmt.Sprint(announced, name), func(t *testing.T) {
				t.Parallel()
				w := create(t, New(), "app", announced)
				n, err := w.ReadFrom(io.MultiReader(iotest.OneByteReader(bytes.NewReader([]byte("12345"))), readFunc(try.read)))
				require.ErrorIs(t, err, try.want)
				require.Equal(t, w.content.size, n)
				require.GreaterOrEqual(t, n, int64(5))
				got := make([]byte, n)
				_, err = w.ReadAt(got, 0)
				require.NoError(t, err)
				require.Equal(t, "1234567"[:n], string(got))
			})
		}
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestReadFromWaitsForAReaderThatIsOnlySlow(t *testing.T) {
	t.Parallel()
	w := create(t, New(), "app", -1)
	reads := 0
	n, err := w.ReadFrom(readFunc(func(p []byte) (int, error) {
		reads++
		switch {
		case reads == 1000:
			return 0, io.EOF
		case reads%(maxEmptyReads-1) == 0:
			return copy(p, "x"), nil
		}
		return 0, nil
	}))
	require.NoError(t, err)
	require.EqualValues(t, 10, n)
}

func TestWriterIsOfNoUseAfterwards(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *writer) error{
		"Commit": func(w *writer) error { return w.Commit(t.Context(), "sha256:any") },
		"Close":  func(w *writer) error { return w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := create(t, New(), "app", -1)
			_, err := w.Write([]byte("x"))
			require.NoError(t, err)
			require.NoError(t, end(w))
			_, err = w.Write([]byte("y"))
			require.ErrorIs(t, err, fs.ErrClosed)
			_, err = w.ReadFrom(bytes.NewReader([]byte("y")))
			require.ErrorIs(t, err, fs.ErrClosed)
			require.ErrorIs(t, w.Commit(t.Context(), "sha256:other"), fs.ErrClosed)
			require.NoError(t, w.Close())
			_, err = w.ReadAt(make([]byte, 1), 0)
			require.ErrorIs(t, err, fs.ErrClosed)
		})
	}
}

// A places is an io.Writer that records the address of each slice that it gets.
// If stop is set, it fails after stop bytes.
type places struct {
	at    []*byte
	bytes int64
	stop  int64
}

var errStop = errors.New("stop")

func (w *places) Write(p []byte) (int, error) {
	w.at = append(w.at, unsafe.SliceData(p))
	if w.bytes += int64(len(p)); w.stop > 0 && w.bytes > w.stop {
		n := int64(len(p)) - (w.bytes - w.stop)
		w.bytes = w.stop
		return int(n), errStop
	}
	return len(p), nil
}

func TestReaderWritesFromWhereTheBytesAre(t *testing.T) {
	t.Parallel()
	const size = 9<<20 + 5
	s := New()
	d := push(t, s, "app", make([]byte, size))
	slabs := s.blobs[d].slabs
	f, err := s.OpenBlob(t.Context(), "app", d)
	require.NoError(t, err)

	var all places
	n, err := f.(io.WriterTo).WriteTo(&all)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.Len(t, all.at, len(slabs))
	for i, s := range slabs {
		require.Same(t, unsafe.SliceData(s.data), all.at[i])
	}

	n, err = f.(io.WriterTo).WriteTo(&all)
	require.NoError(t, err)
	require.Zero(t, n, "WriteTo must write nothing at the end of the blob")

	_, err = f.Seek(1<<20+1, io.SeekStart)
	require.NoError(t, err)
	part := places{stop: 2 << 20}
	n, err = f.(io.WriterTo).WriteTo(&part)
	require.ErrorIs(t, err, errStop)
	require.EqualValues(t, 2<<20, n)
	at, err := f.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	require.EqualValues(t, 3<<20+1, at, "the reader must stay where the error occurred")

	n, err = f.(io.WriterTo).WriteTo(shortWriter{})
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.Zero(t, n)
	_, err = f.Seek(size+10, io.SeekStart)
	require.NoError(t, err)
	n, err = f.(io.WriterTo).WriteTo(&all)
	require.NoError(t, err)
	require.Zero(t, n, "WriteTo must write nothing beyond the end of the blob")
}

type shortWriter struct{}

func (shortWriter) Write([]byte) (int, error) { return 0, nil }

func TestReaderIsASoundReader(t *testing.T) {
	t.Parallel()
	data := random(10_000)
	s := New()
	w := create(t, s, "app", -1)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Commit(t.Context(), "sha256:any"))
	require.Greater(t, len(w.content.slabs), 1)
	f, err := s.OpenBlob(t.Context(), "app", "sha256:any")
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(f, data))
	_, err = f.(io.ReaderAt).ReadAt(make([]byte, 1), -1)
	require.Error(t, err)
}

func TestBlobIsHeldOnce(t *testing.T) {
	t.Parallel()
	s := New()
	data := random(100_000)
	d := digest.FromBytes(data)
	writers := make([]*writer, 64)
	var wg sync.WaitGroup
	for i := range writers {
		writers[i] = create(t, s, fmt.Sprintf("app/%d", i%4), int64(len(data)))
		wg.Go(func() {
			if _, err := io.Copy(writers[i], bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
			if err := writers[i].Commit(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.MountBlob(t.Context(), "mounted", d, ""))
	held := s.blobs[d].content
	for i, w := range writers {
		require.Same(t, held, w.content, "writer %d", i)
	}
	for _, r := range s.repos.All {
		require.Same(t, held, r.(*repository).blobs[d])
	}
	require.Equal(t, 5, s.blobs[d].repos)
}

// collected reports whether the garbage collector has freed the value that p
// points to.
func collected[T any](p weak.Pointer[T]) bool {
	for range 5 {
		runtime.GC()
	}
	return p.Value() == nil
}

func TestBlobIsReleasedWithItsLastRepository(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	d := push(t, s, "a", random(100_000))
	push(t, s, "a", random(100_000))
	require.NoError(t, s.MountBlob(ctx, "b", d, "a"))
	require.NoError(t, s.MountBlob(ctx, "b", d, "a"))
	clone := s.Clone()
	held := weak.Make(s.blobs[d].content)

	require.NoError(t, s.DeleteBlob(ctx, "a", d))
	require.Contains(t, s.blobs, d)
	require.NoError(t, s.DeleteBlob(ctx, "b", d))
	require.Empty(t, s.blobs)
	require.False(t, collected(held), "the clone still has the content")
	require.NoError(t, clone.DeleteBlob(ctx, "b", d))
	require.False(t, collected(held), "a repository of the clone still has the content")
	require.NoError(t, clone.DeleteBlob(ctx, "a", d))
	require.True(t, collected(held))
	runtime.KeepAlive(s)
	runtime.KeepAlive(clone)
}

func TestUploadIsReleasedWhenItIsClosed(t *testing.T) {
	t.Parallel()
	s := New()
	w := create(t, s, "app", -1)
	_, err := w.Write(random(100_000))
	require.NoError(t, err)
	held := weak.Make(w.content)
	require.NoError(t, w.Close())
	require.True(t, collected(held))
	runtime.KeepAlive(s)
	runtime.KeepAlive(w)
}

func TestWhatIsTrimmedIsReleased(t *testing.T) {
	t.Parallel()
	w := create(t, New(), "app", -1)
	_, err := w.Write(random(minSlab))
	require.NoError(t, err)
	w.room()
	empty := weak.Make(unsafe.SliceData(w.content.room()))
	require.NoError(t, w.Commit(t.Context(), "sha256:any"))
	require.True(t, collected(empty))
	runtime.KeepAlive(w)
}
