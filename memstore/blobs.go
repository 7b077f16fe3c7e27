package memstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// StatBlob implements [registry.Store].
func (s *Store) StatBlob(_ context.Context, repo string, d digest.Digest) (int64, error) {
	c, err := s.blob(repo, d)
	if err != nil {
		return 0, err
	}
	return c.size, nil
}

// OpenBlob implements [registry.Store]. The reader is also an [io.ReaderAt] and
// an [io.WriterTo]. WriteTo passes the stored bytes to the writer without a
// copy, in pieces of up to 4 MiB. For a blob from [Store.PutBlob], the first
// result of the reader's Outer method is the source (see [io.SectionReader]).
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
		return nil, names.Missing(repo, "blob", string(d))
	}
	return c, nil
}

// CreateBlob implements [registry.Store]. The writer is an [io.ReaderFrom] that
// reads directly into the memory that the store keeps.
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
			return names.Missing(from, "blob", string(d))
		}
	}
	if c == nil {
		return fmt.Errorf("blob %s in any repository: %w", d, fs.ErrNotExist)
	}
	s.addBlob(repo, d, c)
	return nil
}

// addBlob adds a blob to the repository and returns the content that the
// repository now has: the content that the store already had for the digest, or
// else c. The caller holds s.writing.
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

// PutBlob adds a blob of size bytes to the repository without reading or copying
// it: the store reads from source each time that the blob is read. A blob of
// many gigabytes that source computes therefore takes no memory. The store and
// its clones keep source and call it concurrently. Source must not change, and
// must yield exactly the bytes with the digest d.
//
// If the store already has a blob with the digest d, the repository gets that
// blob, and the store does not keep source.
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
		return names.Missing(repo, "blob", string(d))
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

// sourceBuffer is the size of the pieces in which WriteTo copies a blob from a
// source.
const sourceBuffer = 256 << 10

// A reader reads the content of a blob.
type reader struct {
	io.SectionReader
	content *content
}

// WriteTo implements [io.WriterTo].
func (r *reader) WriteTo(w io.Writer) (n int64, err error) {
	if r.content.source != nil {
		// With pieces of sourceBuffer, sending a computed gigabyte takes half the
		// time that it takes with the smaller buffer of io.Copy.
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

// A writer is a [registry.BlobWriter] that collects the bytes of a blob.
type writer struct {
	store     *Store
	repo      string
	announced int64

	// content is nil after Close. After Commit, the store shares it.
	content   *content
	committed bool

	// beyond is the buffer for a read after the announced size has been reached.
	// Usually that read returns no byte, so the small buffer saves the allocation
	// of another slab.
	beyond [64]byte
}

// errInvalidRead is the error of ReadFrom if a reader returns a negative count,
// or a count above the length of its buffer.
var errInvalidRead = errors.New("reader returned an invalid count")

// maxEmptyReads is the number of successive reads without a byte or an error
// after which ReadFrom gives up.
const maxEmptyReads = 100

// room returns the memory for the next bytes of the blob. If the last slab is
// full, it allocates another.
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

// ReadFrom implements [io.ReaderFrom]. If r fails, the blob keeps the bytes that
// were read before the error.
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
