package memstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// StatBlob implements [registry.Store].
func (s *Store) StatBlob(_ context.Context, repo string, d digest.Digest) (int64, error) {
	c, err := s.blob(repo, d)
	if err != nil {
		return 0, err
	}
	return c.size, nil
}

// OpenBlob implements [registry.Store]. What it returns is an [io.WriterTo]
// that writes the bytes from where they are, in pieces of a megabyte and more
// if the blob is that large, and an [io.ReaderAt]. Its method Outer, that of
// [io.SectionReader], returns the source if the blob has one (see [Store.PutBlob]).
func (s *Store) OpenBlob(_ context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	c, err := s.blob(repo, d)
	if err != nil {
		return nil, err
	}
	var bytes io.ReaderAt = c
	if c.source != nil {
		bytes = c.source
	}
	return &reader{*io.NewSectionReader(bytes, 0, c.size), c}, nil
}

func (s *Store) blob(repo string, d digest.Digest) (*content, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.existing(repo)
	if err != nil {
		return nil, err
	}
	c, ok := r.blobs[d]
	if !ok {
		return nil, missing(repo, "blob", string(d))
	}
	return c, nil
}

// CreateBlob implements [registry.Store]. What it returns is an
// [io.ReaderFrom] that reads into the memory in which the bytes stay.
func (s *Store) CreateBlob(_ context.Context, repo string, size int64) (registry.BlobWriter, error) {
	return &writer{store: s, repo: repo, announced: size, content: &content{}}, nil
}

// MountBlob implements [registry.Store].
func (s *Store) MountBlob(_ context.Context, repo string, d digest.Digest, from string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	c := s.blobs[d].content
	if from != "" {
		r, err := s.existing(from)
		if err != nil {
			return err
		}
		if c = r.blobs[d]; c == nil {
			return missing(from, "blob", string(d))
		}
	}
	if c == nil {
		return fmt.Errorf("blob %s in any repository: %w", d, fs.ErrNotExist)
	}
	s.addBlob(repo, d, c)
	return nil
}

// addBlob makes c, or what the store has of the same digest already, a blob of
// the repository and returns it. The caller holds s.writing.
func (s *Store) addBlob(repo string, d digest.Digest, c *content) *content {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared, ok := s.blobs[d]
	if !ok {
		shared.content = c
	}
	if r := s.ensure(repo); r.blobs[d] == nil {
		r.blobs[d] = shared.content
		shared.repos++
		if s.blobs == nil {
			s.blobs = make(map[digest.Digest]sharedBlob)
		}
		s.blobs[d] = shared
	}
	return shared.content
}

// PutBlob adds a blob to the repository whose bytes the store reads from source
// each time the blob is read. PutBlob itself reads nothing and copies nothing,
// so a blob of many gigabytes that source computes takes no memory. The store
// and its clones keep source and call it concurrently. Source must yield
// exactly size bytes, which have the digest d, and must not change.
//
// If the store has a blob with that digest already, the repository gets that
// one and the store does not keep source.
func (s *Store) PutBlob(repo string, d digest.Digest, size int64, source io.ReaderAt) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.addBlob(repo, d, &content{source: source, size: size})
}

// DeleteBlob implements [registry.Store].
func (s *Store) DeleteBlob(_ context.Context, repo string, d digest.Digest) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	r, err := s.existing(repo)
	if err != nil {
		return err
	}
	if r.blobs[d] == nil {
		return missing(repo, "blob", string(d))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(r.blobs, d)
	if shared := s.blobs[d]; shared.repos > 1 {
		shared.repos--
		s.blobs[d] = shared
	} else {
		delete(s.blobs, d)
	}
	return nil
}

// sourceBuffer is the size of the pieces in which the content of [Store.PutBlob]
// is written.
const sourceBuffer = 256 << 10

// A reader reads a blob.
type reader struct {
	io.SectionReader
	content *content
}

// WriteTo implements [io.WriterTo].
func (r *reader) WriteTo(w io.Writer) (n int64, err error) {
	if r.content.source != nil {
		// Larger pieces than io.Copy's send a computed gigabyte in half the time.
		return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{&r.SectionReader}, make([]byte, sourceBuffer))
	}
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	for err == nil && start+n < r.content.size {
		p := r.content.from(start + n)
		var m int
		m, err = w.Write(p)
		if n += int64(m); err == nil && m < len(p) {
			err = io.ErrShortWrite
		}
	}
	r.Seek(start+n, io.SeekStart)
	return n, err
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	return nil
}

// A writer receives a blob.
type writer struct {
	store     *Store
	repo      string
	announced int64

	// content is shared with the store once it is committed, and nil once the
	// writer is closed.
	content   *content
	committed bool

	// beyond receives the first of what comes after the announced size. Most
	// often there is nothing, which is no reason to take memory for a slab.
	beyond [64]byte
}

// errInvalidRead is what ReadFrom returns if a reader says that it has read
// less than nothing or more than it was asked for.
var errInvalidRead = errors.New("reader returned an invalid count")

// maxEmptyReads is the number of reads in a row that may come to nothing
// before the reader is taken for stuck.
const maxEmptyReads = 100

// room returns where to put the next bytes.
func (w *writer) room() []byte {
	if room := w.content.room(); len(room) > 0 {
		return room
	}
	w.content.grow(w.announced)
	return w.content.room()
}

func (w *writer) writable() error {
	if w.content == nil || w.committed {
		return fmt.Errorf("blob upload to repository %s: %w", w.repo, fs.ErrClosed)
	}
	return nil
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (n int, err error) {
	if err := w.writable(); err != nil {
		return 0, err
	}
	for n < len(p) {
		m := copy(w.room(), p[n:])
		w.content.extend(m)
		n += m
	}
	return n, nil
}

// ReadFrom implements [io.ReaderFrom]. What was read before an error stays
// written.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	if err := w.writable(); err != nil {
		return 0, err
	}
	for empty := 0; empty < maxEmptyReads; {
		complete := w.content.size == w.announced
		p := w.beyond[:]
		if !complete {
			p = w.room()
		}
		m, err := r.Read(p)
		if m < 0 || m > len(p) {
			return n, errInvalidRead
		}
		if complete {
			w.Write(p[:m])
		} else {
			w.content.extend(m)
		}
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if empty++; m > 0 {
			empty = 0
		}
	}
	return n, io.ErrNoProgress
}

// ReadAt implements [io.ReaderAt].
func (w *writer) ReadAt(p []byte, off int64) (int, error) {
	if w.content == nil {
		return 0, fmt.Errorf("blob upload to repository %s: %w", w.repo, fs.ErrClosed)
	}
	return w.content.ReadAt(p, off)
}

// Commit implements [registry.BlobWriter].
func (w *writer) Commit(_ context.Context, d digest.Digest) error {
	if err := w.writable(); err != nil {
		return err
	}
	w.content.trim()
	w.store.writing.Lock()
	defer w.store.writing.Unlock()
	w.content = w.store.addBlob(w.repo, d, w.content)
	w.committed = true
	return nil
}

// Close implements [io.Closer].
func (w *writer) Close() error {
	w.content = nil
	return nil
}
