// Package archive reads archives of images as file systems that hold an OCI image
// layout: tar files of such layouts, and those that docker save writes.
//
// The package reads into memory only headers, and the files in which docker save
// describes its images.
package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// An FS is an archive as a file system.
type FS struct {
	nodes  tree
	from   *source
	closed atomic.Bool
}

var _ interface {
	fs.StatFS
	fs.ReadDirFS
	io.Closer
} = (*FS)(nil)

// Open opens an archive. If it is compressed with gzip, Open unpacks it to a
// temporary file, limited only by the space on the disk. Files of the FS that
// are open when it is closed can still be read.
func Open(name string) (*FS, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s := &source{ReaderAt: file, close: file.Close, modTime: modTimeOf(file)}
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		size, err = s.unpack(file, size)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.refs.Store(1)
	a, err := open(s, size)
	if err != nil {
		s.release()
		return nil, err
	}
	return a, nil
}

// New reads an archive of size bytes from r. The archive must not be compressed.
func New(r io.ReaderAt, size int64) (*FS, error) {
	s := &source{ReaderAt: r, close: func() error { return nil }, modTime: func() time.Time { return time.Time{} }}
	s.refs.Store(1)
	return open(s, size)
}

func open(s *source, size int64) (*FS, error) {
	a := &FS{nodes: tree{}, from: s}
	if err := a.nodes.read(s, size); err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	found, err := a.nodes.hasLayout()
	if err == nil && !found {
		err = a.addDockerImages()
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// modTimeOf returns a function that returns the modification time of the file.
// It is the time of all files in the archive, so a change of the archive
// changes all of their times.
func modTimeOf(file *os.File) func() time.Time {
	return func() time.Time {
		info, err := file.Stat()
		if err != nil {
			return time.Now()
		}
		return info.ModTime()
	}
}

// A source holds the bytes of an archive and counts their users: the FS and its
// open files. The last user closes it.
type source struct {
	io.ReaderAt
	refs    atomic.Int64
	close   func() error
	modTime func() time.Time
}

// unpack checks whether the file is compressed. If it is compressed with gzip,
// the source becomes a temporary file with the uncompressed bytes; other
// compressions are an error. It returns the number of bytes in the source.
func (s *source) unpack(file *os.File, size int64) (int64, error) {
	start := make([]byte, 6)
	n, err := file.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	switch start = start[:n]; {
	case bytes.HasPrefix(start, []byte(gzipMagic)):
	case bytes.HasPrefix(start, []byte(zstdMagic)):
		return 0, errors.New("the archive is compressed with zstd; unpack it first (zstd -d)")
	case bytes.HasPrefix(start, []byte("\xfd7zXZ\x00")):
		return 0, errors.New("the archive is compressed with xz; unpack it first (xz -d)")
	case bytes.HasPrefix(start, []byte("BZh")):
		return 0, errors.New("the archive is compressed with bzip2; unpack it first (bunzip2)")
	default:
		return size, nil
	}
	temp, err := os.CreateTemp("", "ocireg-*.tar")
	if err != nil {
		return 0, fmt.Errorf("unpacking the archive: %w", err)
	}
	s.ReaderAt, s.modTime = temp, modTimeOf(temp)
	removed := os.Remove(temp.Name()) == nil // On Windows, an open file cannot be removed.
	s.close = func() error {
		err := temp.Close()
		if !removed {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
		return err
	}
	defer file.Close()
	z, err := gzip.NewReader(bufio.NewReader(io.NewSectionReader(file, 0, size)))
	if err == nil {
		size, err = io.Copy(temp, z)
	}
	if err != nil {
		return 0, fmt.Errorf("unpacking the archive: %w", err)
	}
	return size, nil
}

const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// acquire adds a user of the source. It returns an error if the source is closed.
func (s *source) acquire() error {
	for {
		n := s.refs.Load()
		if n == 0 {
			return fs.ErrClosed
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// release removes a user of the source, and closes the source if no user is left.
func (s *source) release() error {
	if s.refs.Add(-1) == 0 {
		return s.close()
	}
	return nil
}

// Close closes the archive. The second call returns an error.
func (a *FS) Close() error {
	if a.closed.Swap(true) {
		return fs.ErrClosed
	}
	return a.from.release()
}

// find returns the node at the path, or a *fs.PathError with the operation.
func (a *FS) find(op, name string) (*node, error) {
	err := fs.ErrNotExist
	switch n := a.nodes[name]; {
	case a.closed.Load():
		err = fs.ErrClosed
	case !fs.ValidPath(name):
		err = fs.ErrInvalid
	case n != nil:
		return n, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: err}
}

// Stat implements [fs.StatFS].
func (a *FS) Stat(name string) (fs.FileInfo, error) {
	n, err := a.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(a.from), nil
}

// ReadDir implements [fs.ReadDirFS].
func (a *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := a.find("readdir", name)
	if err == nil && !n.isDir() {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	if err != nil {
		return nil, err
	}
	return n.entries(a.from), nil
}

// Open implements [fs.FS]. A regular file is an [io.ReaderAt] and an
// [io.Seeker].
func (a *FS) Open(name string) (fs.File, error) {
	n, err := a.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return &openDir{info: n.info(a.from), entries: n.entries(a.from)}, nil
	}
	if err := a.from.acquire(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{SectionReader: n.open(a.from), info: n.info(a.from), from: a.from}, nil
}

// An openFile is a regular file of an archive.
type openFile struct {
	*io.SectionReader
	info   fs.FileInfo
	from   *source
	closed atomic.Bool
}

// Stat implements [fs.File].
func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements [fs.File].
func (f *openFile) Close() error {
	if f.closed.Swap(true) {
		return fs.ErrClosed
	}
	return f.from.release()
}

// An openDir is a directory of an archive.
type openDir struct {
	info    fs.FileInfo
	entries []fs.DirEntry // the entries that ReadDir has not returned yet
}

// Stat implements [fs.File].
func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }

// Read returns an error, since a directory has no content.
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.Name(), Err: errors.New("is a directory")}
}

// Close implements [fs.File].
func (d *openDir) Close() error { return nil }

// ReadDir implements [fs.ReadDirFile].
func (d *openDir) ReadDir(n int) (some []fs.DirEntry, err error) {
	if n <= 0 || n > len(d.entries) {
		if n > 0 && len(d.entries) == 0 {
			return nil, io.EOF
		}
		n = len(d.entries)
	}
	some, d.entries = d.entries[:n], d.entries[n:]
	return some, nil
}

// TrimName returns the name of an archive without the ending that archives have.
func TrimName(name string) string {
	for _, ending := range []string{".tar.gz", ".tgz", ".tar"} {
		if rest, ok := strings.CutSuffix(name, ending); ok {
			return rest
		}
	}
	return name
}
