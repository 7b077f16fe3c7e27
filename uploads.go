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
	n, ended, err := h.receive(r.Context(), s, r.Body, r.ContentLength)
	if ended {
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
	err := h.withClaim(r, func(s *upload) (ended bool, err error) {
		if ended, err := h.appendChunk(r, s); err != nil {
			return ended, err
		}
		h.setSession(w.Header(), r, s)
		return false, nil
	})
	if err != nil {
		return err
	}
	// Respond after the claim is released, so that the client can continue at
	// once.
	return writeEmpty(w, http.StatusAccepted)
}

// putUpload implements end-6: it appends the body, which is the last chunk or
// empty, and closes the session.
func (h *handler) putUpload(w http.ResponseWriter, r *Request) error {
	err := h.withClaim(r, func(s *upload) (ended bool, err error) {
		if s.writer == nil {
			// Nothing is hashed yet. Use the algorithm of the digest, so that the blob
			// need not be read back.
			s.algorithm = r.Digest.Algorithm()
		}
		if ended, err := h.appendChunk(r, s); err != nil {
			return ended, err
		}
		return true, h.commit(r.Context(), s, r.Digest)
	})
	if err != nil {
		return err
	}
	return h.writeCreated(w, r, "blobs", r.Digest)
}

// withClaim claims the upload session of the request and calls f with it. If f
// returns ended, withClaim ends the session; otherwise, it releases the session.
func (h *handler) withClaim(r *Request, f func(s *upload) (ended bool, err error)) error {
	s, busy, err := h.uploads.claim(r)
	switch {
	case busy:
		// The status is 416, which end-5 and end-6 list, and not 409: a 416 has
		// the fields that tell the client where to continue.
		e := h.continueAt(r, s, "another request is writing to this upload session")
		if r.Op == CancelUpload {
			e.Status = http.StatusBadRequest // the only error status of end-14 for an existing session
		}
		return e
	case err != nil:
		return err
	}
	ended := true // stays true if the body or the writer panics: then it is not known which bytes were written
	defer func() {
		if ended {
			h.uploads.end(s)
		} else {
			h.uploads.release(r, s)
		}
	}()
	ended, err = f(s)
	return err
}

// appendChunk checks the body of the request and appends it to the session. If
// ended is true, the session cannot continue.
func (h *handler) appendChunk(r *Request, s *upload) (ended bool, err error) {
	body, length, err := h.nextChunk(r, s)
	if err != nil {
		return false, err
	}
	n, ended, err := h.receive(r.Context(), s, body, length)
	if ended {
		return true, err
	}
	if err != nil {
		// Keep the bytes that have arrived, even if the client has disconnected.
		// They do not count as the last chunk: the client may send the rest of the
		// chunk.
		return false, h.continueAt(r, s, "the body ended after %d bytes: %v", n, err)
	}
	if length >= 0 && n != length {
		return true, Errorf(CodeSizeInvalid, "received %d bytes, not %d; the upload session has ended", n, length)
	}
	if length > 0 {
		s.lastChunk = length
	}
	return false, nil
}

// nextChunk returns the body of the request and the length that the client
// announced, or -1. It returns an error if the body is not the next chunk of the
// session.
func (h *handler) nextChunk(r *Request, s *upload) (body io.Reader, length int64, err error) {
	body, length = r.Body, r.ContentLength
	contentRange := r.Header.Get("Content-Range")
	if r.Op == PutUpload && contentRange != "" {
		// Ignore the Content-Range of a closing PUT without a body, which has no
		// chunk. Clients send the range of the last chunk, or an empty range.
		buffered := bufio.NewReader(body)
		if _, err := buffered.Peek(1); err == io.EOF {
			contentRange = ""
		}
		body = buffered
	}
	switch {
	case contentRange != "":
		if length, err = h.checkChunk(r, s, contentRange); err != nil {
			return nil, 0, err
		}
	case r.Op == PatchUpload && h.without.has(StreamUpload):
		return nil, 0, Errorf(CodeBlobUploadInvalid, "chunk has no Content-Range, and this registry has no stream upload")
	}
	if length > 0 && 0 <= s.lastChunk && s.lastChunk < h.minChunk {
		return nil, 0, Errorf(CodeSizeInvalid, "the chunk before has %d bytes, fewer than %d, and was not the last", s.lastChunk, h.minChunk)
	}
	return body, length, nil
}

// checkChunk returns the length of the chunk with the given Content-Range, or an
// error if it is not the next chunk. For a malformed Content-Range, the status
// is 416, as the Docker Registry HTTP API V2 requires under PATCH Blob Upload.
// The distribution spec does not specify it.
func (h *handler) checkChunk(r *Request, s *upload, contentRange string) (length int64, err error) {
	first, last, ok := field.ChunkRange(contentRange)
	length = min(last-first, math.MaxInt64-1) + 1
	switch {
	case !ok || last < first:
		return 0, h.continueAt(r, s, "Content-Range is %q, not <first>-<last>", contentRange)
	case first != s.size.Load():
		return 0, h.continueAt(r, s, "chunk begins at %d, but the next byte is %d", first, s.size.Load())
	case r.ContentLength >= 0 && length != r.ContentLength:
		return 0, Errorf(CodeSizeInvalid, "Content-Range is %s, but Content-Length is %d", contentRange, r.ContentLength)
	}
	return length, nil
}

// continueAt returns an error with status 416 whose header tells the client
// where to continue the upload.
func (h *handler) continueAt(r *Request, s *upload, format string, args ...any) *Error {
	e := Errorf(CodeBlobUploadInvalid, format, args...)
	e.Status = http.StatusRequestedRangeNotSatisfiable
	e.Header = make(http.Header)
	h.setSession(e.Header, r, s)
	return e
}

// receive appends a body to a claimed session. The length is the one that the
// client announced, or -1. Even if receive fails, it returns the number of bytes
// that have arrived. If ended is true, the session cannot continue.
func (h *handler) receive(ctx context.Context, s *upload, body io.Reader, length int64) (n int64, ended bool, err error) {
	if s.writer == nil {
		if s.writer, err = h.store.CreateBlob(context.WithoutCancel(ctx), s.repo, length); err != nil {
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

// commit checks the digest of the bytes of a claimed session and publishes them
// as a blob.
func (h *handler) commit(ctx context.Context, s *upload, d digest.Digest) error {
	if got, err := s.sum(d.Algorithm()); err != nil {
		return fmt.Errorf("reading back the upload to %s: %w", s.repo, err)
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

// getUpload implements end-13, the status of an upload session. It does not wait
// for a request that is writing to the session.
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
	err := h.withClaim(r, func(*upload) (ended bool, err error) { return true, nil })
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// loseUpload ends the upload session of the request, unless another request is
// writing to it. If the store carries out the operations itself, loseUpload
// cancels the session there, and returns an error if that fails.
func (h *handler) loseUpload(r *Request) error {
	if h.operator != nil {
		return h.cancelAtOperator(r)
	}
	if s, busy, err := h.uploads.claim(r); err == nil && !busy {
		h.uploads.end(s)
	}
	return nil
}

// EndUploads ends all upload sessions. Package registrytest calls it after it
// replaces this handler with another, and when it closes the server.
func (h *handler) EndUploads() { h.uploads.endAll() }
