package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// The file names of an image layout (image-spec, OCI Image Layout
// Specification).
const (
	markerFile = "oci-layout"
	indexFile  = "index.json"
	blobsDir   = "blobs"
)

// clockStep exceeds the resolution of file modification times. Two changes
// within clockStep may leave a file with the same time.
const clockStep = 50 * time.Millisecond

// A disk is the directory or file system that a store serves. File names are
// slash-separated paths relative to it.
type disk struct {
	fs.FS
	root files // nil if the store is read-only

	// dir is the path of the directory, and info identifies the directory. While
	// byPath is set, a known file is looked up by its path before it is looked up
	// through root: see unchanged. byPath is set until the store is closed, but
	// never on Windows or in a read-only store.
	dir    string
	info   fs.FileInfo
	byPath atomic.Bool

	// archive closes the archive that contains the files. It is nil for a
	// directory or a file system.
	archive io.Closer

	// openFile opens a file below the directory. It is nil if the store serves an
	// archive or an [fs.FS] of the caller.
	openFile func(name string, flag int, perm fs.FileMode) (*os.File, error)

	temps *temps

	// tell passes a problem to the function of [Warnings]; warn does so once for
	// each directory. Both are nil without that option.
	tell func(error)
	warn func(dir string, err error)

	// sync is set by [Sync], and verify by [Verify].
	sync, verify bool

	// lockError, which only tests set, is the error of each attempt to lock a file.
	lockError error

	// small and large hold buffers that the method copy reuses.
	small, large sync.Pool
}

// The method copy starts with a small buffer, and continues with a large one
// after a Read has filled the small one.
const (
	smallBuffer = 64 << 10
	largeBuffer = 1 << 20
)

// maxEmptyReads is the number of successive reads without a byte or an error
// after which the method copy gives up.
const maxEmptyReads = 100

// blobPath returns the path of the file for a digest, relative to the layout. It
// returns "" if the digest is invalid or the store does not serve its algorithm.
func blobPath(d digest.Digest) string {
	if !isServed(d) {
		return ""
	}
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	return blobsDir + "/" + algorithm + "/" + encoded
}

// isServed reports whether the digest is valid and has an algorithm that the
// store serves.
func isServed(d digest.Digest) bool {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	switch {
	case algorithm == "sha256" && len(encoded) == 64:
	case algorithm == "sha384" && len(encoded) == 96:
	case algorithm == "sha512" && len(encoded) == 128:
	default:
		return false
	}
	return names.Hex(encoded)
}

// stat returns the info of a file. If the file is a symbolic link, it returns
// the info of the link's target.
func (d *disk) stat(name string) (info fs.FileInfo, err error) {
	err = retry(func() error {
		info, err = fs.Stat(d.FS, name)
		return err
	})
	return info, d.explain(name, err)
}

// statRegular is like stat, but returns an error unless the file is a regular
// file.
func (d *disk) statRegular(name string) (fs.FileInfo, error) {
	info, err := d.stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return info, err
}

// explain adds advice to an error for a symbolic link that leads out of the
// directory. It returns all other errors unchanged.
func (d *disk) explain(name string, err error) error {
	if err == nil || d.root == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, statErr := d.root.Lstat(name)
	if statErr != nil || info.Mode()&fs.ModeSymlink == 0 {
		return err
	}
	return fmt.Errorf("%s is a symbolic link that cannot be followed (%w); open the layout read-only (layout.ReadOnly, ocireg -read-only) if it leads to a file elsewhere", name, err)
}

// maxLinks is the number of directory entries that checkLinks examines. A tool
// that links blobs links most of them, so a sample finds one.
const maxLinks = 100

// checkLinks returns an error if a directory contains a link that leads out of
// the directory that was opened. It examines only the first entries.
func (d *disk) checkLinks(dir string) error {
	if d.root == nil {
		return nil
	}
	open := d.FS.Open
	if d.isDirectory(path.Dir(dir)) && d.isDirectory(dir) {
		open = d.openDir // The directory is not a link that leads out.
	}
	f, err := open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.explain(dir, err)
	}
	defer f.Close()
	entries, err := firstEntries(f, maxLinks)
	if err != nil {
		return fmt.Errorf("listing %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		name := dir + "/" + e.Name()
		if _, err := d.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.explain(name, err)
		}
	}
	return nil
}

// open opens a regular file for reading and returns its info too.
func (d *disk) open(name string) (f fs.File, info fs.FileInfo, err error) {
	err = retry(func() error {
		if d.openFile != nil {
			f, err = d.openFile(name, os.O_RDONLY|unblocked, 0)
			return err
		}
		if _, err = d.statRegular(name); err == nil {
			f, err = d.FS.Open(name)
		}
		return err
	})
	if err != nil {
		return nil, nil, d.explain(name, err)
	}
	info, err = f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// maxRead is the size in bytes of the largest file that is read into memory. An
// index.json of that size names millions of manifests.
const maxRead = 1 << 30

// readFile returns the content and the info of a regular file.
func (d *disk) readFile(name string) (string, fs.FileInfo, error) {
	f, info, err := d.open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if info.Size() > maxRead {
		return "", nil, fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxRead)
	}
	var text strings.Builder
	text.Grow(int(info.Size()))
	if _, err := io.CopyN(&text, f, info.Size()); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return "", nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return text.String(), info, nil
}

// sameFile reports whether a and b describe the same file with the same size and
// modification time.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
		return false
	}
	// SameFile is false for all infos that are not from the operating system, even
	// if it compares an info with itself.
	return os.SameFile(a, b) || !os.SameFile(a, a)
}

// settled reports whether any change to the file after the given time changes
// the modification time of the file.
func settled(info fs.FileInfo, at time.Time) bool {
	return at.Sub(info.ModTime()) >= clockStep
}

// mkdirAll creates a directory and its missing parents. With the option [Sync],
// it also writes their names through to the disk. It tries again because in Go
// 1.25.0 MkdirAll of an [os.Root] fails if another goroutine or process creates
// one of the parents at the same time (golang/go#75114).
func (d *disk) mkdirAll(dir string) (err error) {
	made := ""
	if d.sync {
		made = d.firstMissing(dir)
	}
	for range strings.Count(dir, "/") + 1 {
		if err = d.root.MkdirAll(dir, 0o755); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	for ; err == nil && made != "" && dir != path.Dir(made); dir = path.Dir(dir) {
		err = d.temps.syncDir(path.Dir(dir))
	}
	return err
}

// remove removes a file. A missing file is not an error.
func (d *disk) remove(name string) error {
	err := retry(func() error { return d.root.Remove(name) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// retry calls f until it returns no transient error, for at most half a second.
// Only Windows has transient errors.
func retry(f func() error) error {
	err := f()
	for try := 0; err != nil && transient(err) && try < 100; try++ {
		time.Sleep(5 * time.Millisecond)
		err = f()
	}
	return err
}

// copy copies from r to w until EOF. If r fails, copy has written all bytes that
// it read before the error.
func (d *disk) copy(w io.Writer, r io.Reader) (n int64, err error) {
	small := pooled[[smallBuffer]byte](&d.small)
	defer d.small.Put(small)
	buffer := small[:]
	for empty := 0; empty < maxEmptyReads; empty++ {
		m, err := r.Read(buffer)
		if m > 0 {
			empty = 0
			written, err := w.Write(buffer[:m])
			if n += int64(written); err != nil {
				return n, err
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if m == len(buffer) && m < largeBuffer {
			large := pooled[[largeBuffer]byte](&d.large)
			defer d.large.Put(large)
			buffer = large[:]
		}
	}
	return n, io.ErrNoProgress
}

// pooled returns a value from the pool, or a new one if the pool is empty.
func pooled[T any](pool *sync.Pool) *T {
	if x, ok := pool.Get().(*T); ok {
		return x
	}
	return new(T)
}

// digest returns the digest of all bytes of r.
func (d *disk) digest(ctx context.Context, algorithm digest.Algorithm, r io.Reader) (digest.Digest, error) {
	hash := algorithm.Hash()
	if _, err := d.copy(hash, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})); err != nil {
		return "", err
	}
	return digest.NewDigest(algorithm, hash), nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A seeker adds Seek to a file that lacks it. To go back, it opens the file
// again.
type seeker struct {
	open func() (fs.File, error)
	file fs.File // nil if it must be opened before the next Read
	at   int64   // the offset in file
	pos  int64   // the offset of the next Read
	size int64
}

// Seek implements [io.Seeker].
func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.pos
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seeking to %d: %w", offset, fs.ErrInvalid)
	}
	s.pos = offset
	return offset, nil
}

// Read implements [io.Reader].
func (s *seeker) Read(p []byte) (int, error) {
	if s.pos >= s.size {
		return 0, io.EOF
	}
	if s.file == nil || s.at > s.pos {
		if err := s.Close(); err != nil {
			return 0, err
		}
		file, err := s.open()
		if err != nil {
			return 0, err
		}
		s.file, s.at = file, 0
	}
	n, err := io.CopyN(io.Discard, s.file, s.pos-s.at)
	if s.at += n; err != nil {
		return 0, err
	}
	m, err := s.file.Read(p)
	s.at += int64(m)
	s.pos = s.at
	return m, err
}

// Close implements [io.Closer].
func (s *seeker) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
