package layout

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
)

func openTree(t *testing.T) (*Store, string) {
	dir := tempdir.New(t)
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s, dir
}

func numbered(i int) registry.Manifest {
	content := fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"number":"%d"}}`, i)
	return registry.Manifest{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(content), Content: content}
}

func put(t *testing.T, s *Store, i int, tags ...string) {
	require.NoError(t, s.PutManifest(t.Context(), "app", numbered(i), tags, nil))
}

// disk.copy reads into at most one small and one large buffer, whatever number
// of bytes each Read returns.
func TestCopyTakesTwoBuffers(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, smallBuffer, smallBuffer + 1, largeBuffer} {
		buffers := map[*byte]bool{}
		left := 4 * largeBuffer
		n, err := new(disk).copy(io.Discard, readerFunc(func(p []byte) (int, error) {
			buffers[&p[0]] = true
			m := min(size, len(p), left)
			if left -= m; left == 0 {
				return m, io.EOF
			}
			return m, nil
		}))
		require.NoError(t, err)
		require.EqualValues(t, 4*largeBuffer, n)
		require.LessOrEqual(t, len(buffers), 2, "%d bytes at once", size)
	}
}

// If CreateBlob is called during Close, it either fails or its temporary file is
// removed. If Close did not exclude CreateBlob, about every second round would fail.
func TestCloseMissesNoUpload(t *testing.T) {
	t.Parallel()
	for range 10 {
		s, dir := openTree(t)
		var started, ended sync.WaitGroup
		for range 4 {
			started.Add(1)
			ended.Go(func() {
				for i := 0; ; i++ {
					w, err := s.CreateBlob(t.Context(), "app", -1)
					if i == 0 {
						started.Done()
					}
					if err != nil {
						return
					}
					defer w.Close()
				}
			})
		}
		started.Wait()
		require.NoError(t, s.Close())
		ended.Wait()
		require.NoDirExists(t, filepath.Join(dir, tempDir))
	}
}

// TestWritersAreWrittenTogether makes 64 writers wait while the check function
// of a push runs. After that push, the store writes index.json once for all of
// them: each writer ends with the same index.
func TestWritersAreWrittenTogether(t *testing.T) {
	t.Parallel()
	s, _ := openTree(t)
	put(t, s, 0, "v0")
	l := s.layouts["app"]
	const writers = 64
	checking, proceed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		s.PutManifest(t.Context(), "app", numbered(1), nil, func(string, digest.Digest) error {
			close(checking)
			<-proceed
			return nil
		})
	})
	<-checking
	refused := errors.New("refused")
	var seen [writers]*index
	var errs [writers]error
	for i := range writers {
		wg.Go(func() {
			errs[i] = s.PutManifest(t.Context(), "app", numbered(i), []string{fmt.Sprint("v", i)}, func(tag string, _ digest.Digest) error {
				if tag == "v7" {
					return refused
				}
				return nil
			})
			seen[i] = l.cur.Load()
		})
	}
	for waiting(s) < writers {
		// Readers do not wait for writers.
		m, err := s.GetManifest(t.Context(), "app", "v0")
		require.NoError(t, err)
		require.Equal(t, numbered(0).Digest, m.Digest)
		runtime.Gosched()
	}
	close(proceed)
	wg.Wait()
	for i := range writers {
		require.Same(t, seen[0], seen[i])
		if i == 7 {
			require.Equal(t, refused, errs[i])
			_, err := s.GetManifest(t.Context(), "app", "v7")
			require.ErrorIs(t, err, os.ErrNotExist)
			continue
		}
		require.NoError(t, errs[i])
		m, err := s.GetManifest(t.Context(), "app", fmt.Sprint("v", i))
		require.NoError(t, err)
		require.Equal(t, numbered(i).Digest, m.Digest)
	}
}

// together makes the writes to repository app in one batch, in the given order,
// and returns their errors. It holds up a push of its own until all of them
// wait.
func together(t *testing.T, s *Store, writes ...func() error) []error {
	checking, proceed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		s.PutManifest(t.Context(), "app", numbered(99), nil, func(string, digest.Digest) error {
			close(checking)
			<-proceed
			return nil
		})
	})
	<-checking
	errs := make([]error, len(writes))
	for i, write := range writes {
		wg.Go(func() { errs[i] = write() })
		for waiting(s) <= i {
			runtime.Gosched()
		}
	}
	close(proceed)
	wg.Wait()
	return errs
}

// waiting returns the number of writes that wait for repository app.
func waiting(s *Store) int {
	w := &s.layouts["app"].writes
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// TestBatchKeepsItsOrder deletes and puts one manifest in the same batch. The
// last write of the batch decides whether the manifest exists.
func TestBatchKeepsItsOrder(t *testing.T) {
	t.Parallel()
	s, _ := openTree(t)
	put(t, s, 0, "v0")
	m := numbered(0)
	ctx := t.Context()
	putIt := func() error { return s.PutManifest(ctx, "app", m, []string{"v1"}, nil) }
	deleteIt := func() error { return s.DeleteManifest(ctx, "app", m.Digest) }
	wantIt := func(tags ...string) {
		t.Helper()
		for _, tag := range append(tags, string(m.Digest)) {
			got, err := s.GetManifest(ctx, "app", tag)
			require.NoError(t, err)
			require.Equal(t, m.Content, got.Content)
		}
	}

	require.Equal(t, []error{nil, nil}, together(t, s, deleteIt, putIt))
	wantIt("v1")
	_, err := s.GetManifest(ctx, "app", "v0")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, []error{nil, nil, nil}, together(t, s, putIt, deleteIt, putIt))
	wantIt("v1")
	errs := together(t, s, putIt, deleteIt, deleteIt)
	require.Equal(t, []error{nil, nil}, errs[:2])
	require.ErrorIs(t, errs[2], os.ErrNotExist)
	_, err = s.GetManifest(ctx, "app", string(m.Digest))
	require.ErrorIs(t, err, os.ErrNotExist)

	// A blob with the same content is deleted in the batch that puts the manifest.
	w, err := s.CreateBlob(ctx, "app", -1)
	require.NoError(t, err)
	_, err = w.Write(m.Content)
	require.NoError(t, err)
	require.NoError(t, w.Commit(ctx, m.Digest))
	require.NoError(t, w.Close())
	require.Equal(t, []error{nil, nil}, together(t, s, func() error { return s.DeleteBlob(ctx, "app", m.Digest) }, putIt))
	wantIt("v1")
	_, err = s.StatBlob(ctx, "app", m.Digest)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestOwnIndexIsNotReadBack checks that a store does not read back an index.json
// that it wrote itself.
func TestOwnIndexIsNotReadBack(t *testing.T) {
	t.Parallel()
	s, _ := openTree(t)
	put(t, s, 0, "v0")
	l := s.layouts["app"]
	for i := range 20 {
		put(t, s, i, "v1")
		before := l.cur.Load()
		x, err := l.index()
		require.NoError(t, err)
		require.Same(t, before, x)
		if !x.settled.Load() {
			t.Skip("this file system does not store exact modification times")
		}
	}
}

// TestForeignIndexIsReadOnce checks that a store parses an unchanged index.json
// of another tool only once, whether the file is new or a second old.
func TestForeignIndexIsReadOnce(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 0, "v0")
	name := filepath.Join(dir, "app", "index.json")
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, text, 0o644))
	l := s.layouts["app"]
	first, err := l.index()
	require.NoError(t, err)
	again, err := l.index()
	require.NoError(t, err)
	require.Same(t, first, again, "the store compares the text, which is the same")

	old := time.Now().Add(-time.Second)
	require.NoError(t, os.Chtimes(name, old, old))
	first, err = l.index()
	require.NoError(t, err)
	require.True(t, first.settled.Load())
	again, err = l.index()
	require.NoError(t, err)
	require.Same(t, first, again)
}

// noLinks is a file system that cannot make hard links.
type noLinks struct{ files }

func (noLinks) Link(oldname, newname string) error {
	return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: syscall.EPERM}
}

// TestMountWithoutLinks checks that a mount copies the blob on a file system
// without hard links.
func TestMountWithoutLinks(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	s.disk.root = noLinks{s.disk.root}
	const content = "content"
	d := digest.FromString(content)
	w, err := s.CreateBlob(t.Context(), "from", -1)
	require.NoError(t, err)
	_, err = io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Commit(t.Context(), d))
	require.NoError(t, w.Close())
	require.NoError(t, s.MountBlob(t.Context(), "to", d, "from"))

	name := filepath.Join(dir, "to", filepath.FromSlash(blobPath(d)))
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, content, string(got))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "from", filepath.FromSlash(blobPath(d))), []byte("damaged"), 0o644))
	require.ErrorContains(t, s.MountBlob(t.Context(), "another", d, "from"), "from/"+blobPath(d)+" is damaged")
	left, err := os.ReadDir(filepath.Join(dir, tempDir))
	require.NoError(t, err)
	require.Len(t, left, 1, "only the lock file must remain")
}

// TestBlobIsVerifiedOnce checks that concurrent readers of a blob verify it only
// once.
func TestBlobIsVerifiedOnce(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 0)
	const content = "content"
	d := digest.FromString(content)
	name := filepath.Join(dir, "app", filepath.FromSlash(blobPath(d)))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
	old := time.Now().Add(-time.Second)
	require.NoError(t, os.Chtimes(name, old, old))
	l := s.layouts["app"]
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			r, err := s.OpenBlob(t.Context(), "app", d)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || string(got) != content {
				t.Errorf("the reader returned %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	require.Len(t, l.verdicts, 2, "the manifest and the blob must have one verdict each")
	require.Empty(t, l.verifying)
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.True(t, sameFile(info, l.verdicts[d].file))
}

// TestLockExcludesOtherStores checks that the lock on a layout excludes other
// calls of the same store and of another store in the same process.
func TestLockExcludesOtherStores(t *testing.T) {
	t.Parallel()
	a, dir := openTree(t)
	b, err := Open(dir)
	require.NoError(t, err)
	defer b.Close()
	var n atomic.Int64
	var wg sync.WaitGroup
	for _, s := range []*Store{a, b, a, b} {
		wg.Go(func() {
			for range 50 {
				unlock, _, err := s.disk.lock(t.Context(), "app")
				if err != nil {
					t.Error(err)
					return
				}
				before := n.Load()
				runtime.Gosched()
				n.Store(before + 1)
				unlock()
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 200, n.Load())
}

// TestPanickingCheck checks that the lock on the layout is released when the
// check of PutManifest panics.
func TestPanickingCheck(t *testing.T) {
	t.Parallel()
	s, _ := openTree(t)
	put(t, s, 0, "v0")
	require.Panics(t, func() {
		s.PutManifest(t.Context(), "app", numbered(1), []string{"v1"}, func(string, digest.Digest) error { panic("check") })
	})
	put(t, s, 1, "v1")
	require.Len(t, s.layouts["app"].cur.Load().entries, 2)
}

// TestSettledFileHasATimeOfItsOwn checks that settle sets a modification time so
// far in the past that no later write to the file can have the same time.
func TestSettledFileHasATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	temp, err := s.disk.temps.write([]byte("content"))
	require.NoError(t, err)
	before, err := os.Stat(filepath.Join(dir, temp))
	require.NoError(t, err)
	info, ok, err := s.disk.temps.settle(temp)
	require.NoError(t, err)
	require.Equal(t, ok, !info.ModTime().After(before.ModTime().Add(-clockStep)))
	after, err := os.Stat(filepath.Join(dir, temp))
	require.NoError(t, err)
	require.True(t, sameFile(info, after))
	require.False(t, sameFile(info, before) && ok)
}
