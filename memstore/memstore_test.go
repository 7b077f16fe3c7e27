package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"unsafe"
	"weak"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// zeros reads n zeros, and checks what the writer holds while it does.
type zeros struct {
	n     int64
	check func()
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.check != nil {
		z.check()
	}
	n := min(int64(len(p)), z.n)
	if z.n -= n; n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	return int(n), nil
}

func create(t testing.TB, s *Store, repo string, announced int64) *writer {
	t.Helper()
	w, err := s.CreateBlob(t.Context(), repo, announced)
	require.NoError(t, err)
	return w.(*writer)
}

func push(t testing.TB, s *Store, repo string, data []byte) digest.Digest {
	t.Helper()
	w := create(t, s, repo, int64(len(data)))
	_, err := w.Write(data)
	require.NoError(t, err)
	d := digest.FromBytes(data)
	require.NoError(t, w.Commit(t.Context(), d))
	require.NoError(t, w.Close())
	return d
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func newManifest(i int) registry.Manifest {
	data := fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"n":"%d"}}`, i)
	return registry.Manifest{MediaType: "application/vnd.oci.image.index.v1+json", Digest: digest.FromBytes(data), Content: data}
}

// announcements are what a client may say of the size of a blob.
func announcements(size int64) map[string]int64 {
	return map[string]int64{
		"right": size, "none": -1, "zero": 0, "one": 1, "too small": size / 3, "one short": size - 1,
		"one too large": size + 1, "too large": 2 * size, "absurd": 1 << 60,
	}
}

func TestLargeUploadHoldsATenthMoreAtMost(t *testing.T) {
	// Not parallel: it counts all that is allocated.
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
				require.LessOrEqual(t, float64(after.TotalAlloc-before.TotalAlloc), 1.1*size, "allocated from the first byte to the commit")

				c := s.blobs[d].content
				require.EqualValues(t, size, c.size)
				require.LessOrEqual(t, float64(c.held()), 1.1*size)
				require.LessOrEqual(t, len(c.slabs), size/largeSlab, "slabs")
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
					require.LessOrEqual(t, len(w.content.slabs), 1, "slabs")
					require.Equal(t, size, w.content.held(), "held before the commit")
				}
				if announced < 0 {
					require.LessOrEqual(t, w.content.held(), max(2*size, minSlab), "held before the commit")
				}
				require.NoError(t, w.Commit(t.Context(), "sha256:any"))
				c := s.blobs["sha256:any"].content
				require.Equal(t, size, c.size)
				require.LessOrEqual(t, float64(c.held()), 1.1*float64(size), "held after the commit")
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

// A places records where the bytes are that it is passed.
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
	require.Zero(t, n, "at the end")

	_, err = f.Seek(1<<20+1, io.SeekStart)
	require.NoError(t, err)
	part := places{stop: 2 << 20}
	n, err = f.(io.WriterTo).WriteTo(&part)
	require.ErrorIs(t, err, errStop)
	require.EqualValues(t, 2<<20, n)
	at, err := f.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	require.EqualValues(t, 3<<20+1, at, "where an error ends it")

	n, err = f.(io.WriterTo).WriteTo(shortWriter{})
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.Zero(t, n)
	_, err = f.Seek(size+10, io.SeekStart)
	require.NoError(t, err)
	n, err = f.(io.WriterTo).WriteTo(&all)
	require.NoError(t, err)
	require.Zero(t, n, "beyond the end")
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
	for _, r := range s.repos.All() {
		require.Same(t, held, r.blobs[d])
	}
	require.Equal(t, 5, s.blobs[d].repos)
}

// collected reports whether the garbage collector takes what p points to.
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
	require.False(t, collected(held), "the clone has it still")
	require.NoError(t, clone.DeleteBlob(ctx, "b", d))
	require.False(t, collected(held), "a repository of the clone has it still")
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

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a := New()
	blob := push(t, a, "app", []byte("blob"))
	subject, sbom := newManifest(0), newManifest(1)
	sbom.Subject = subject.Digest
	require.NoError(t, a.PutManifest(ctx, "app", subject, []string{"v1", "v2"}, nil))
	require.NoError(t, a.PutManifest(ctx, "app", sbom, nil, nil))
	inFlight := create(t, a, "app", -1)

	// look returns all that can be seen of a store.
	look := func(s *Store) (seen []string) {
		for repo, err := range s.Repositories(ctx, "") {
			require.NoError(t, err)
			seen = append(seen, repo)
			for tag, err := range s.Tags(ctx, repo, "") {
				require.NoError(t, err)
				m, err := s.GetManifest(ctx, repo, tag)
				require.NoError(t, err)
				seen = append(seen, repo+":"+tag+"@"+string(m.Digest)+m.MediaType)
			}
			for d, err := range s.Referrers(ctx, repo, subject.Digest, "") {
				require.NoError(t, err)
				seen = append(seen, repo+" referrer "+string(d.Digest)+d.MediaType)
			}
			_, err := s.StatBlob(ctx, repo, blob)
			seen = append(seen, fmt.Sprint(repo, " blob ", err == nil))
			_, err = s.StatManifest(ctx, repo, string(sbom.Digest))
			seen = append(seen, fmt.Sprint(repo, " manifest ", err == nil))
		}
		for d, shared := range s.blobs {
			seen = append(seen, fmt.Sprintf("%s in %d repositories", d, shared.repos))
		}
		return seen
	}
	b := a.Clone()
	before := look(a)
	require.Equal(t, before, look(b))

	for name, change := range map[string]func(s *Store) error{
		"PutManifest with tags": func(s *Store) error { return s.PutManifest(ctx, "app", sbom, []string{"v2", "v3"}, nil) },
		"PutManifest with another type": func(s *Store) error {
			m := sbom
			m.MediaType = "application/vnd.docker.distribution.manifest.list.v2+json"
			return s.PutManifest(ctx, "app", m, nil, nil)
		},
		"PutManifest in a new repository": func(s *Store) error { return s.PutManifest(ctx, "new", subject, nil, nil) },
		"DeleteManifest":                  func(s *Store) error { return s.DeleteManifest(ctx, "app", subject.Digest) },
		"DeleteManifest of the referrer":  func(s *Store) error { return s.DeleteManifest(ctx, "app", sbom.Digest) },
		"DeleteTag":                       func(s *Store) error { return s.DeleteTag(ctx, "app", "v1") },
		"DeleteBlob":                      func(s *Store) error { return s.DeleteBlob(ctx, "app", blob) },
		"MountBlob":                       func(s *Store) error { return s.MountBlob(ctx, "other", blob, "app") },
	} {
		first, second := b.Clone(), b.Clone()
		require.NoError(t, change(first), name)
		require.NotEqual(t, before, look(first), name)
		require.Equal(t, before, look(second), name)
		require.Equal(t, before, look(b), name)
		require.NoError(t, change(second), "%s after a clone has done so", name)
		require.Equal(t, look(first), look(second), name)
	}

	require.NoError(t, inFlight.Commit(ctx, digest.FromString("")))
	_, err := a.StatBlob(ctx, "app", digest.FromString(""))
	require.NoError(t, err)
	_, err = b.StatBlob(ctx, "app", digest.FromString(""))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestCloneCopiesNoContent(t *testing.T) {
	// Not parallel: it counts all that is allocated.
	s := New()
	push(t, s, "app", make([]byte, 16<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	clone := s.Clone()
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
	runtime.KeepAlive(clone)
}

func TestReadersDoNotWaitForACheck(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "app", []byte("blob"))
	m := newManifest(0)
	require.NoError(t, s.PutManifest(ctx, "app", m, []string{"v1"}, nil))
	err := s.PutManifest(ctx, "app", newManifest(1), []string{"v1"}, func(string, digest.Digest) error {
		got, err := s.GetManifest(ctx, "app", "v1")
		require.NoError(t, err)
		require.Equal(t, m, got)
		_, err = s.OpenBlob(ctx, "app", blob)
		require.NoError(t, err)
		for range s.Repositories(ctx, "") {
		}
		for range s.Tags(ctx, "app", "") {
		}
		for range s.Referrers(ctx, "app", m.Digest, "") {
		}
		return nil
	})
	require.NoError(t, err)
}

func TestNobodyWaitsForABody(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "app", random(100_000))
	f, err := s.OpenBlob(ctx, "app", blob)
	require.NoError(t, err)
	use := func() {
		push(t, s, "app", []byte("another"))
		require.NoError(t, s.PutManifest(ctx, "app", newManifest(0), []string{"v1"}, nil))
		s.Clone()
	}
	_, err = f.(io.WriterTo).WriteTo(writeFunc(func(p []byte) (int, error) { use(); return len(p), nil }))
	require.NoError(t, err)
	w := create(t, s, "app", -1)
	_, err = w.ReadFrom(readFunc(func([]byte) (int, error) { use(); return 0, io.EOF }))
	require.NoError(t, err)
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

func TestListsStopWhenTheContextIsDone(t *testing.T) {
	t.Parallel()
	s := New()
	tags := make([]string, 3*batchSize)
	for i := range tags {
		tags[i] = fmt.Sprintf("v%04d", i)
	}
	require.NoError(t, s.PutManifest(t.Context(), "app", newManifest(0), tags, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range s.Tags(ctx, "app", "") {
		cancel()
		n++
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	require.LessOrEqual(t, n, batchSize+1)
}

func TestListsOfAnyLengthAreWhole(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	subject := digest.FromString("subject")
	for _, n := range []int{1, batchSize - 1, batchSize, batchSize + 1, 2 * batchSize, 3*batchSize + 7} {
		s := New()
		for i := range n {
			m := newManifest(i)
			m.Subject = subject
			require.NoError(t, s.PutManifest(ctx, fmt.Sprintf("r%04d", i), m, nil, nil))
			require.NoError(t, s.PutManifest(ctx, "app", m, []string{fmt.Sprintf("v%04d", i)}, nil))
		}
		count := 0
		for tag, err := range s.Tags(ctx, "app", "") {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("v%04d", count), tag)
			count++
		}
		require.Equal(t, n, count)
		count = 0
		for _, err := range s.Repositories(ctx, "") {
			require.NoError(t, err)
			count++
		}
		require.Equal(t, n+1, count)
		var digests []string
		for d, err := range s.Referrers(ctx, "app", subject, "") {
			require.NoError(t, err)
			digests = append(digests, string(d.Digest))
		}
		require.Len(t, digests, n)
		require.True(t, slices.IsSorted(digests))
	}
}

func TestSubjectOfAManifestMayChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	m := newManifest(0)
	for _, subject := range []digest.Digest{"sha256:a", "sha256:b", "", "sha256:a"} {
		m.Subject = subject
		require.NoError(t, s.PutManifest(ctx, "app", m, nil, nil))
		for _, d := range []digest.Digest{"", "sha256:a", "sha256:b"} {
			count := 0
			for range s.Referrers(ctx, "app", d, "") {
				count++
			}
			require.Equal(t, d == subject && d != "", count == 1, "referrers of %q after a change to %q", d, subject)
		}
	}
	require.NoError(t, s.DeleteManifest(ctx, "app", m.Digest))
	r, err := s.existing("app")
	require.NoError(t, err)
	require.Empty(t, r.referrers)
}

// requireTagged checks that tagged says the same as tags.
func requireTagged(t *testing.T, r *repository) {
	t.Helper()
	n := 0
	for d, tags := range r.tagged {
		require.NotEmpty(t, tags)
		for tag := range tags {
			current, _ := r.tags.Get(tag)
			require.Equal(t, d, current)
		}
		n += len(tags)
	}
	require.Equal(t, r.tags.Len(), n)
}

func TestIndexesHaveNothingLeftOver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	for i := range 50 {
		m := newManifest(i)
		m.Subject = newManifest(i + 1).Digest
		require.NoError(t, s.PutManifest(ctx, "app", m, []string{"latest", fmt.Sprint(i), fmt.Sprint(i % 7)}, nil))
	}
	require.NoError(t, s.DeleteTag(ctx, "app", "latest"))
	r, err := s.existing("app")
	require.NoError(t, err)
	for i := range 200 {
		// To and fro, while other tags stay.
		require.NoError(t, s.PutManifest(ctx, "app", newManifest(i%2*49), []string{"moving"}, nil))
		requireTagged(t, r)
	}
	for i := range 50 {
		require.NoError(t, s.DeleteManifest(ctx, "app", newManifest(i).Digest))
		requireTagged(t, r)
	}
	require.Zero(t, r.tags.Len())
	require.Empty(t, r.referrers)
	require.Empty(t, r.manifests)
}

func TestErrorsNameTheRepositoryAndTheThing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "team/app", []byte("blob"))
	none := digest.FromString("none")
	tagsOf := func(repo string) (last error) {
		for _, err := range s.Tags(ctx, repo, "") {
			last = err
		}
		return last
	}
	_, stat := s.StatBlob(ctx, "team/app", none)
	_, open := s.OpenBlob(ctx, "team/app", none)
	_, byTag := s.GetManifest(ctx, "team/app", "v1")
	_, byDigest := s.StatManifest(ctx, "team/app", string(none))
	_, noRepo := s.StatBlob(ctx, "no/repo", blob)
	for _, c := range []struct {
		err   error
		names []string
	}{
		{stat, []string{"team/app", "blob", string(none)}},
		{open, []string{"team/app", "blob", string(none)}},
		{byTag, []string{"team/app", "tag", "v1"}},
		{byDigest, []string{"team/app", "manifest", string(none)}},
		{s.DeleteBlob(ctx, "team/app", none), []string{"team/app", "blob", string(none)}},
		{s.DeleteManifest(ctx, "team/app", none), []string{"team/app", "manifest", string(none)}},
		{s.DeleteTag(ctx, "team/app", "v1"), []string{"team/app", "tag", "v1"}},
		{s.MountBlob(ctx, "x", none, "team/app"), []string{"team/app", "blob", string(none)}},
		{s.MountBlob(ctx, "x", none, ""), []string{"blob", string(none)}},
		{noRepo, []string{"repository no/repo"}},
		{tagsOf("no/repo"), []string{"repository no/repo"}},
		{s.MountBlob(ctx, "x", blob, "no/repo"), []string{"repository no/repo"}},
	} {
		require.ErrorIs(t, c.err, fs.ErrNotExist)
		for _, name := range c.names {
			require.ErrorContains(t, c.err, name)
		}
	}
}

func TestReadingAManifestAllocatesNothing(t *testing.T) {
	// Not parallel: it counts all that is allocated.
	ctx := t.Context()
	s := New()
	m := newManifest(0)
	require.NoError(t, s.PutManifest(ctx, "app", m, []string{"v1"}, nil))
	for _, ref := range []string{"v1", string(m.Digest)} {
		require.Zero(t, testing.AllocsPerRun(100, func() { s.GetManifest(ctx, "app", ref) }), "GetManifest(%s)", ref)
		require.Zero(t, testing.AllocsPerRun(100, func() { s.StatManifest(ctx, "app", ref) }), "StatManifest(%s)", ref)
	}
}
