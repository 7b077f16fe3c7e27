package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// The files of an image layout (image spec, section OCI Image Layout
// Specification).
const (
	markerFile = "oci-layout"
	indexFile  = "index.json"
	blobsDir   = "blobs"
)

// clockStep is longer than the step of the clock that file systems take their
// times from. Two changes within it may give a file the same time.
const clockStep = 50 * time.Millisecond

// errLocked says that another store has a lock.
var errLocked = errors.New("locked by another process")

// A disk is where layouts are. Names are paths relative to it, with slashes.
type disk struct {
	fs.FS
	root *os.Root // nil if nothing is to be written

	// openFile opens a file of a directory, and is nil for another file system.
	openFile func(name string, flag int, perm fs.FileMode) (*os.File, error)

	// link is root.Link, but for tests of file systems that have no links.
	link func(oldname, newname string) error

	temps *temps

	// warn reports what is wrong with a directory, and is nil without
	// [Warnings].
	warn func(dir string, err error)

	// small and large have buffers of those sizes.
	small, large sync.Pool
}

// What is copied goes through a small buffer until it turns out to be large.
const (
	smallBuffer = 64 << 10
	largeBuffer = 1 << 20
)

// maxEmptyReads is the number of reads in a row that may come to nothing
// before the reader is taken for stuck.
const maxEmptyReads = 100

// blobPath returns where a layout keeps what has the digest, or "" if that is
// no digest of a known algorithm.
func blobPath(d digest.Digest) string {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	switch {
	case algorithm == "sha256" && len(encoded) == 64:
	case algorithm == "sha384" && len(encoded) == 96:
	case algorithm == "sha512" && len(encoded) == 128:
	default:
		return ""
	}
	if !names.Hex(encoded) {
		return ""
	}
	return blobsDir + "/" + algorithm + "/" + encoded
}

// stat returns what is known of a file.
func (d *disk) stat(name string) (info fs.FileInfo, err error) {
	err = retry(func() error {
		info, err = fs.Stat(d.FS, name)
		return err
	})
	return info, d.explain(name, err)
}

// statRegular is like stat but fails if it is no regular file.
func (d *disk) statRegular(name string) (fs.FileInfo, error) {
	info, err := d.stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return info, err
}

// explain adds to the error for a file that is a link out of the directory how
// it can be read.
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

// maxLinks is the number of files in which checkLinks looks for links.
const maxLinks = 1000

// checkLinks returns an error if a directory has a link among its first files
// that leads out of the directory that was opened.
func (d *disk) checkLinks(dir string) error {
	if d.root == nil {
		return nil
	}
	f, err := d.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.explain(dir, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(maxLinks)
	if err != nil && err != io.EOF {
		return err
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

// open opens a regular file.
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
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// maxRead is the size up to which a file is read as a whole. An index.json of
// that size names millions of manifests.
const maxRead = 1 << 30

// readFile reads a regular file.
func (d *disk) readFile(name string) ([]byte, fs.FileInfo, error) {
	f, info, err := d.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	text, err := readAll(f, name, info.Size())
	return text, info, err
}

// readAll reads an open file of the size.
func readAll(f fs.File, name string, size int64) ([]byte, error) {
	if size > maxRead {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, size, maxRead)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return text, nil
}

// sameFile reports whether two files are one that has not changed in between.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
		return false
	}
	// What does not come from the operating system is not even the same as
	// itself.
	return os.SameFile(a, b) || !os.SameFile(a, a)
}

// settled reports whether a file that is as info says at the time will not
// change any more without that being seen.
func settled(info fs.FileInfo, at time.Time) bool {
	return at.Sub(info.ModTime()) >= clockStep
}

// remove removes a file, if it is there.
func (d *disk) remove(name string) error {
	err := retry(func() error { return d.root.Remove(name) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// retry calls f until it succeeds or fails for good. It gives up after half a
// second. Only on Windows is there anything to be waited for.
func retry(f func() error) error {
	err := f()
	for try := 0; err != nil && transient(err) && try < 100; try++ {
		time.Sleep(5 * time.Millisecond)
		err = f()
	}
	return err
}

// copy copies what there is to be read. What was read before an error is
// written.
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

// pooled returns what the pool has, or a new one.
func pooled[T any](pool *sync.Pool) *T {
	if x, ok := pool.Get().(*T); ok {
		return x
	}
	return new(T)
}

// digest returns the digest of what there is to be read.
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

// A seeker makes a file that can seek of one that cannot, by reading from the
// start again.
type seeker struct {
	open func() (fs.File, error)
	file fs.File // nil if it is to be opened
	at   int64   // where the file is
	pos  int64   // where it is meant to be
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
