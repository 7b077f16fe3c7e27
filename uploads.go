package registry

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/field"
)

// startUpload implements end-4a and end-4c (POST then PUT, Pushing a blob in
// chunks).
func (h *handler) startUpload(w http.ResponseWriter, r *Request) error {
	if h.without.has(StartUpload) {
		return h.notAllowed(r)
	}
	algorithm := digest.Canonical
	if r.URL.RawQuery != "" {
		if name := r.URL.Query().Get("digest-algorithm"); name != "" {
			if algorithm = digest.Algorithm(name); !h.computes(algorithm) {
				return notComputed(algorithm)
			}
		}
	}
	s, err := h.uploads.start(r, algorithm)
	if err != nil {
		return err
	}
	if h.minChunk > 0 {
		setFields(w.Header(), "Oci-Chunk-Min-Length", strconv.FormatInt(h.minChunk, 10))
	}
	h.setSession(w.Header(), r, s)
	return writeEmpty(w, http.StatusAccepted)
}

// postBlob implements end-4b (Single POST).
func (h *handler) postBlob(w http.ResponseWriter, r *Request) error {
	s := &upload{repo: r.Repo, algorithm: r.Digest.Algorithm()}
	defer s.close()
	n, fatal, err := h.receive(r.Context(), s, r.Body, r.ContentLength)
	if fatal {
		return err
	}
	switch {
	case r.ContentLength >= 0 && n != r.ContentLength:
		return Errorf(CodeSizeInvalid, "received %d bytes, not %d", n, r.ContentLength)
	case err != nil:
		return Errorf(CodeBlobUploadInvalid, "the body ended after %d bytes: %v", n, err)
	}
	if err := h.commit(r.Context(), s, r.Digest); err != nil {
		return err
	}
	return h.writeCreated(w, r, "blobs", r.Digest)
}

// patchUpload implements end-5: a chunk, or a stream if it has no Content-Range
// (Pushing a blob in chunks; Docker Registry HTTP API V2, Stream upload).
func (h *handler) patchUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.claim(r)
	if err != nil {
		return err
	}
	if err := h.appendBody(r, s); err != nil {
		return err
	}
	// The client may continue as soon as it has the response.
	h.setSession(w.Header(), r, s)
	h.uploads.release(r, s)
	return writeEmpty(w, http.StatusAccepted)
}

// putUpload implements end-6: it takes the last chunk, if there is one, and
// closes the session.
func (h *handler) putUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.claim(r)
	if err != nil {
		return err
	}
	if s.writer == nil {
		s.algorithm = r.Digest.Algorithm()
	}
	if err := h.appendBody(r, s); err != nil {
		return err
	}
	err = h.commit(r.Context(), s, r.Digest)
	h.uploads.end(s)
	if err != nil {
		return err
	}
	return h.writeCreated(w, r, "blobs", r.Digest)
}

// claim returns the session of the request, for this request alone.
func (h *handler) claim(r *Request) (*upload, error) {
	s, busy, err := h.uploads.claim(r)
	if busy {
		// 416, and not 409, has the fields with which a client can continue
		// (end-5 and end-6 list no other status).
		e := h.outOfOrder(r, s, "another request is writing to this upload session")
		if r.Op == CancelUpload {
			e.Status = http.StatusBadRequest // end-14
		}
		err = e
	}
	return s, err
}

// appendBody appends the body of a PATCH or PUT to a claimed session. If it
// returns an error, it has released the session, or ended it.
func (h *handler) appendBody(r *Request, s *upload) error {
	ended, err := h.appendChunk(r, s)
	switch {
	case err == nil:
	case ended:
		h.uploads.end(s)
	default:
		h.uploads.release(r, s)
	}
	return err
}

// appendChunk is appendBody without the release of the session. With an error,
// ended reports whether the session cannot continue.
func (h *handler) appendChunk(r *Request, s *upload) (ended bool, err error) {
	body, announced := io.Reader(r.Body), r.ContentLength
	chunk := r.Header.Get("Content-Range")
	if r.Op == PutUpload && chunk != "" {
		// A closing PUT without a body has no chunk, so its Content-Range says
		// nothing: clients send the range of the last chunk, or that of no byte.
		buffered := bufio.NewReader(body)
		if _, err := buffered.Peek(1); err == io.EOF {
			chunk = ""
		}
		body = buffered
	}
	switch {
	case chunk != "":
		if announced, err = h.checkChunk(r, s, chunk); err != nil {
			return false, err
		}
	case r.Op == PatchUpload && h.without.has(StreamUpload):
		return false, Errorf(CodeBlobUploadInvalid, "chunk has no Content-Range, and this registry has no stream upload")
	}
	if announced > 0 && 0 <= s.lastChunk && s.lastChunk < h.minChunk {
		return false, Errorf(CodeSizeInvalid, "the chunk before has %d bytes, fewer than %d, and was not the last", s.lastChunk, h.minChunk)
	}
	panicked := true
	defer func() {
		if panicked {
			// It is not known how many of the bytes were written.
			h.uploads.end(s)
		}
	}()
	n, fatal, err := h.receive(r.Context(), s, body, announced)
	panicked = false
	if fatal {
		return true, err
	}
	if err != nil {
		// The bytes that have arrived are kept, also if the client went away.
		return false, h.outOfOrder(r, s, "the body ended after %d bytes: %v", n, err)
	}
	if announced > 0 {
		// A chunk that was cut off does not count: the client may send the rest.
		s.lastChunk = announced
	}
	if announced >= 0 && n != announced {
		return true, Errorf(CodeSizeInvalid, "received %d bytes, not %d", n, announced)
	}
	return false, nil
}

// checkChunk returns the length of the chunk with the Content-Range, or an error
// if it is not the next one. A malformed Content-Range is 416, as the Docker
// Registry HTTP API V2 says under PATCH Blob Upload: the spec does not say.
func (h *handler) checkChunk(r *Request, s *upload, chunk string) (length int64, err error) {
	first, last, ok := field.ChunkRange(chunk)
	length = min(last-first, math.MaxInt64-1) + 1
	switch {
	case !ok || last < first:
		return 0, h.outOfOrder(r, s, "Content-Range is %q, not <first>-<last>", chunk)
	case first != s.size.Load():
		return 0, h.outOfOrder(r, s, "chunk begins at %d, but the next byte is %d", first, s.size.Load())
	case r.ContentLength >= 0 && length != r.ContentLength:
		return 0, Errorf(CodeSizeInvalid, "Content-Range is %s, but Content-Length is %d", chunk, r.ContentLength)
	}
	return length, nil
}

// outOfOrder returns an error that tells the client where to continue.
func (h *handler) outOfOrder(r *Request, s *upload, format string, args ...any) *Error {
	e := Errorf(CodeBlobUploadInvalid, format, args...)
	e.Status = http.StatusRequestedRangeNotSatisfiable
	e.Header = make(http.Header)
	h.setSession(e.Header, r, s)
	return e
}

// receive appends a body to a claimed session. It returns the number of bytes
// that arrived, also with an error. If fatal is true, the session cannot be
// continued.
func (h *handler) receive(ctx context.Context, s *upload, body io.Reader, announced int64) (n int64, fatal bool, err error) {
	if s.writer == nil {
		if s.writer, err = h.store.CreateBlob(context.WithoutCancel(ctx), s.repo, announced); err != nil {
			return 0, true, fmt.Errorf("creating a blob in %s: %w", s.repo, err)
		}
		s.hash = s.algorithm.Hash()
	}
	before := s.size.Load()
	n, err = io.Copy(s.writer, &arrival{s, body})
	if n != s.size.Load()-before {
		if err == nil {
			err = io.ErrShortWrite
		}
		return n, true, fmt.Errorf("writing a blob of %s: %w", s.repo, err)
	}
	return n, false, err
}

// commit verifies the bytes of a claimed session and publishes them.
func (h *handler) commit(ctx context.Context, s *upload, d digest.Digest) error {
	if got, err := s.sum(d.Algorithm()); err != nil {
		return fmt.Errorf("reading back what was uploaded to %s: %w", s.repo, err)
	} else if got != d {
		e := Errorf(CodeDigestInvalid, "received %d bytes with digest %s, not %s", s.size.Load(), got, d)
		e.Detail = map[string]string{"digest": string(d), "received": string(got)}
		return e
	}
	if err := s.writer.Commit(ctx, d); err != nil {
		return fmt.Errorf("storing blob %s in %s: %w", d, s.repo, err)
	}
	return nil
}

// getUpload implements end-13, the status of a session. It does not wait for a
// request that is writing.
func (h *handler) getUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.uploads.get(r)
	if err != nil {
		return err
	}
	h.setSession(w.Header(), r, s)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cancelUpload implements end-14 (Cancel a blob upload).
func (h *handler) cancelUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.claim(r)
	if err != nil {
		return err
	}
	h.uploads.end(s)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// loseUpload forgets the session of the request, if there is one and no other
// request is writing to it. It returns an error if an operator does not forget
// it.
func (h *handler) loseUpload(r *Request) error {
	if h.operator != nil {
		return h.loseUploadThere(r)
	}
	if s, busy, err := h.uploads.claim(r); err == nil && !busy {
		h.uploads.end(s)
	}
	return nil
}
