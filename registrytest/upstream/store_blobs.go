package upstream

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// blobName returns the full name of a blob for error messages.
func (p place) blobName(d digest.Digest) string { return "blob " + p.reference(string(d)) }

// withoutBlob returns an error if the Store must not request the blob from the
// upstream: it is recorded as missing, or there is no upstream.
func (s *Store) withoutBlob(p place, d digest.Digest) error {
	if !s.refreshes(p, blobKind, string(d)) {
		if code, known := s.recording.missing(p.local, blobKind, string(d)); known {
			return unknown(code, p.blobName(d))
		}
	}
	if p.upstream == nil {
		return s.miss(registry.CodeBlobUnknown, p.blobName(d))
	}
	return nil
}

// StatBlob implements [registry.Store]. It requests only the size of a blob that
// the local store does not have.
func (s *Store) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	p := s.find(repo)
	size, err := s.local.StatBlob(ctx, p.local, d)
	if !missing(err) {
		return size, err
	}
	known := false
	s.recording.look(p.local, func(r *repository) { size, known = r.BlobSizes[string(d)] })
	if known {
		return size, nil
	}
	if err := s.withoutBlob(p, d); err != nil {
		return 0, err
	}
	return s.sizes.do(ctx, p.local+" "+string(d), func(ctx context.Context) (int64, error) {
		size, err := p.upstream.StatBlob(ctx, p.remote, d)
		if err != nil {
			return 0, s.blobFailure(p, d, err)
		}
		if _, err := s.local.StatBlob(ctx, p.local, d); err == nil {
			return size, nil // Another goroutine fetched the blob meanwhile.
		}
		return size, s.recording.edit(p, func(r *repository) {
			delete(r.MissingBlobs, string(d))
			if r.BlobSizes == nil {
				r.BlobSizes = make(map[string]int64)
			}
			r.BlobSizes[string(d)] = size
		})
	})
}

// blobFailure returns the error for a client after a request for a blob to the
// upstream failed with err. It records the blob as missing if the upstream does
// not have it.
func (s *Store) blobFailure(p place, d digest.Digest, err error) error {
	if !missing(err) {
		return failure(err, p.blobName(d))
	}
	code := codeOf(err, registry.CodeBlobUnknown)
	if err := s.recording.addMissing(p, blobKind, string(d), code); err != nil {
		return err
	}
	s.refreshed(p, blobKind, string(d))
	return unknown(code, p.blobName(d))
}

// OpenBlob implements [registry.Store]. If the Store must fetch the blob, the
// reader's method WriteTo passes it on while it arrives. The last byte follows
// only after the digest is verified and the local store has the blob. If the
// digest differs or the upstream breaks off, WriteTo fails before the last byte.
//
// A registry uses WriteTo for a response with the whole blob. The method Read
// waits for the whole blob, since a part cannot be verified.
func (s *Store) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	p := s.find(repo)
	content, err := s.local.OpenBlob(ctx, p.local, d)
	if !missing(err) {
		return content, err
	}
	if err := s.withoutBlob(p, d); err != nil {
		return nil, err
	}
	fetch := s.downloads.join(ctx, p.local+" "+string(d), func(ctx context.Context, to *download) error {
		return s.fetchBlob(ctx, p, d, to)
	})
	r := &stream{ctx: ctx, downloads: &s.downloads, from: fetch, open: func() (io.ReadSeekCloser, error) {
		return s.local.OpenBlob(ctx, p.local, d)
	}}
	if err := fetch.begun(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// pieceSize is the number of bytes that are read or passed on at once.
const pieceSize = 128 << 10

// A stream reads a blob while a download fetches it.
type stream struct {
	ctx       context.Context
	downloads *downloads
	from      *download // nil after Close
	open      func() (io.ReadSeekCloser, error)
	whole     io.ReadSeekCloser // reads from the local store, once it has the blob
	offset    int64
}

// wait waits until the whole blob is in the local store, and opens it there.
func (r *stream) wait() error {
	if r.whole != nil {
		return nil
	}
	if r.from == nil {
		return errors.New("the blob is closed")
	}
	if err := r.from.wait(r.ctx); err != nil {
		return err
	}
	whole, err := r.open()
	if err != nil {
		return err
	}
	if _, err := whole.Seek(r.offset, io.SeekStart); err != nil {
		whole.Close()
		return err
	}
	r.whole = whole
	return nil
}

// Read implements [io.Reader].
func (r *stream) Read(p []byte) (int, error) {
	if err := r.wait(); err != nil {
		return 0, err
	}
	return r.whole.Read(p)
}

// Seek implements [io.Seeker].
func (r *stream) Seek(offset int64, whence int) (int64, error) {
	if r.whole != nil {
		return r.whole.Seek(offset, whence)
	}
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		size := r.from.announced()
		if size < 0 {
			if err := r.wait(); err != nil {
				return 0, err
			}
			return r.whole.Seek(offset, whence)
		}
		offset += size
	}
	if offset < 0 {
		return 0, errors.New("seeking to a position before the blob")
	}
	r.offset = offset
	return offset, nil
}

// WriteTo implements [io.WriterTo].
func (r *stream) WriteTo(w io.Writer) (n int64, err error) {
	piece := make([]byte, pieceSize)
	for r.whole == nil {
		m, done, err := r.from.read(r.ctx, piece, r.offset)
		if err == nil && m > 0 {
			m, err = w.Write(piece[:m])
			r.offset += int64(m)
			n += int64(m)
		}
		if err == nil && done {
			err = r.wait()
		}
		if err != nil {
			return n, err
		}
	}
	// io.Copy is faster if w can read from a file itself.
	m, err := io.Copy(w, r.whole)
	return n + m, err
}

// Close implements [io.Closer]. It ends the download if no other reader uses it.
func (r *stream) Close() error {
	if r.from != nil {
		r.downloads.leave(r.from)
		r.from = nil
	}
	if r.whole != nil {
		return r.whole.Close()
	}
	return nil
}
