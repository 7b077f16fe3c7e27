package registry

import (
	"cmp"
	"container/list"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/field"
)

// uploads are the upload sessions of a registry. They expire when they are
// next looked at, so that nothing has to run in the background.
type uploads struct {
	expiry time.Duration

	mu   sync.Mutex
	byID map[string]*list.Element // of *upload
	idle list.List                // of *upload, the one used least recently first
}

// An upload is one session. What only the request that has claimed it may use
// is below busy.
type upload struct {
	id, repo string
	used     time.Time    // guarded by uploads.mu
	size     atomic.Int64 // how many bytes have arrived

	busy      atomic.Bool
	ended     bool
	algorithm digest.Algorithm
	hash      hash.Hash
	writer    BlobWriter // nil until there is something to write
	lastChunk int64      // the size of the last chunk, or -1 if there was none
}

// start begins a session.
func (u *uploads) start(repo string, algorithm digest.Algorithm) *upload {
	s := &upload{id: newUUID(), repo: repo, algorithm: algorithm, lastChunk: -1}
	u.mu.Lock()
	expired := u.expire()
	if u.byID == nil {
		u.byID = make(map[string]*list.Element)
	}
	s.used = time.Now()
	u.byID[s.id] = u.idle.PushBack(s)
	u.mu.Unlock()
	discard(expired)
	return s
}

// get returns the session that the request names and notes its use.
func (u *uploads) get(r *Request) (*upload, error) {
	u.mu.Lock()
	expired := u.expire()
	defer discard(expired)
	defer u.mu.Unlock()
	e := u.byID[r.Session]
	if e == nil || e.Value.(*upload).repo != r.Repo {
		return nil, Errorf(CodeBlobUploadUnknown, "%s has no upload session %q", r.Repo, r.Session)
	}
	s := e.Value.(*upload)
	s.used = time.Now()
	u.idle.MoveToBack(e)
	return s, nil
}

// claim returns the session that the request names, for this request alone
// until it is released.
func (u *uploads) claim(r *Request) (*upload, error) {
	s, err := u.get(r)
	if err != nil {
		return nil, err
	}
	if !s.busy.CompareAndSwap(false, true) {
		return nil, &Error{
			Code:    CodeBlobUploadInvalid,
			Status:  http.StatusConflict,
			Message: "another request is writing to this upload session",
		}
	}
	if s.ended {
		s.busy.Store(false)
		return nil, Errorf(CodeBlobUploadUnknown, "%s has no upload session %q", r.Repo, r.Session)
	}
	return s, nil
}

// release ends the claim on the session.
func (u *uploads) release(s *upload) {
	u.mu.Lock()
	if e := u.byID[s.id]; e != nil {
		s.used = time.Now()
		u.idle.MoveToBack(e)
	}
	u.mu.Unlock()
	s.busy.Store(false)
}

// end removes a session that is claimed, with what it holds.
func (u *uploads) end(s *upload) {
	u.mu.Lock()
	if e := u.byID[s.id]; e != nil {
		u.idle.Remove(e)
		delete(u.byID, s.id)
	}
	u.mu.Unlock()
	s.close()
	s.busy.Store(false)
}

// expire removes the sessions that have been idle for too long, and claims
// them, for discard. The caller holds u.mu.
func (u *uploads) expire() (expired []*upload) {
	now := time.Now()
	for e := u.idle.Front(); e != nil; {
		s, next := e.Value.(*upload), e.Next()
		if now.Sub(s.used) < u.expiry {
			break
		}
		if s.busy.CompareAndSwap(false, true) {
			u.idle.Remove(e)
			delete(u.byID, s.id)
			expired = append(expired, s)
		}
		e = next
	}
	return expired
}

func discard(sessions []*upload) {
	for _, s := range sessions {
		s.close()
		s.busy.Store(false)
	}
}

// close discards what has arrived, unless it was committed.
func (s *upload) close() {
	s.ended = true
	if s.writer != nil {
		s.writer.Close()
	}
}

// receive appends the body of a request to a claimed session. It returns how
// many bytes arrived, also if an error ended it. If the session cannot be
// continued afterwards, fatal is true.
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
		return n, true, fmt.Errorf("writing a blob of %s: %w", s.repo, cmp.Or(err, io.ErrShortWrite))
	}
	return n, false, err
}

// commit verifies what has arrived in a claimed session and publishes it. It
// ends the session.
func (h *handler) commit(ctx context.Context, s *upload, d digest.Digest) error {
	if got, err := s.digest(d.Algorithm()); err != nil {
		return fmt.Errorf("reading back what was uploaded to %s: %w", s.repo, err)
	} else if got != d {
		return Errorf(CodeDigestInvalid, "received %d bytes with digest %s, not %s", s.size.Load(), got, d)
	}
	if err := s.writer.Commit(ctx, d); err != nil {
		return fmt.Errorf("storing blob %s in %s: %w", d, s.repo, err)
	}
	return nil
}

// digest returns the digest of what has arrived. It was hashed as it came in,
// unless the client has not announced which algorithm it would ask for.
func (s *upload) digest(algorithm digest.Algorithm) (digest.Digest, error) {
	if algorithm != s.algorithm {
		s.algorithm, s.hash = algorithm, algorithm.Hash()
		if _, err := io.Copy(s.hash, io.NewSectionReader(s.writer, 0, s.size.Load())); err != nil {
			return "", err
		}
	}
	return newDigest(algorithm, s.hash.Sum(nil)), nil
}

// startUpload answers end-4a and end-4c (POST then PUT, Pushing a blob in
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
	s := h.uploads.start(r.Repo, algorithm)
	if h.minChunk > 0 {
		w.Header().Set("OCI-Chunk-Min-Length", strconv.FormatInt(h.minChunk, 10))
	}
	return answerUpload(w, s, http.StatusAccepted)
}

// answerUpload tells the client where the session is and what has arrived.
func answerUpload(w http.ResponseWriter, s *upload, status int) error {
	s.setHeader(w.Header())
	if status != http.StatusNoContent {
		setFields(w.Header(), "Content-Length", "0")
	}
	w.WriteHeader(status)
	return nil
}

func (s *upload) setHeader(h http.Header) {
	setFields(h,
		"Location", "/v2/"+s.repo+"/blobs/uploads/"+s.id,
		// The form has no way to say that nothing has arrived: like others,
		// this registry says 0-0 then.
		"Range", "0-"+strconv.FormatInt(max(s.size.Load()-1, 0), 10),
		"Docker-Upload-Uuid", s.id)
}

// postBlob answers end-4b (Single POST).
func (h *handler) postBlob(w http.ResponseWriter, r *Request) error {
	s := &upload{repo: r.Repo, algorithm: r.Digest.Algorithm()}
	defer s.close()
	n, fatal, err := h.receive(r.Context(), s, r.Body, r.ContentLength)
	if fatal {
		return err
	}
	if err := received(n, r.ContentLength, err); err != nil {
		return err
	}
	if err := h.commit(r.Context(), s, r.Digest); err != nil {
		return err
	}
	return writeCreated(w, r, "blobs", r.Digest)
}

// received returns an error if a body was not what was announced.
func received(n, announced int64, err error) error {
	switch {
	case announced >= 0 && n != announced:
		return Errorf(CodeSizeInvalid, "received %d bytes, not %d", n, announced)
	case err != nil:
		return Errorf(CodeBlobUploadInvalid, "the body ended after %d bytes: %v", n, err)
	}
	return nil
}

// patchUpload answers end-5: a chunk, or a stream if it has no Content-Range
// (Pushing a blob in chunks; Docker Registry HTTP API V2, Stream upload).
func (h *handler) patchUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.uploads.claim(r)
	if err != nil {
		return err
	}
	if ended, err := h.appendBody(r, s); err != nil {
		if ended {
			h.uploads.end(s)
		} else {
			h.uploads.release(s)
		}
		return err
	}
	// The client may go on as soon as it has the answer.
	s.setHeader(w.Header())
	h.uploads.release(s)
	setFields(w.Header(), "Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// putUpload answers end-6: it takes the last chunk, if there is one, and
// closes the session.
func (h *handler) putUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.uploads.claim(r)
	if err != nil {
		return err
	}
	if s.writer == nil {
		s.algorithm = r.Digest.Algorithm()
	}
	if ended, err := h.appendBody(r, s); err != nil {
		if ended {
			h.uploads.end(s)
		} else {
			h.uploads.release(s)
		}
		return err
	}
	err = h.commit(r.Context(), s, r.Digest)
	h.uploads.end(s)
	if err != nil {
		return err
	}
	return writeCreated(w, r, "blobs", r.Digest)
}

// appendBody appends the body of a PATCH or PUT to a claimed session. If it
// returns an error, ended says whether the session is lost with it.
func (h *handler) appendBody(r *Request, s *upload) (ended bool, err error) {
	announced := r.ContentLength
	cr := r.Header.Get("Content-Range")
	if cr == "" && r.Op == PatchUpload && h.without.has(StreamUpload) {
		return false, Errorf(CodeBlobUploadInvalid, "chunk has no Content-Range, and this registry has no stream upload")
	}
	if cr != "" {
		first, last, ok := field.ChunkRange(cr)
		switch length := last - first + 1; {
		case !ok || last < first:
			return false, Errorf(CodeBlobUploadInvalid, "Content-Range is %q, not <first>-<last>", cr)
		case announced >= 0 && length != announced:
			return false, Errorf(CodeSizeInvalid, "Content-Range is %s, but Content-Length is %d", cr, announced)
		case first != s.size.Load():
			return false, s.outOfOrder("chunk begins at %d, but the next byte is %d", first, s.size.Load())
		default:
			announced = length
		}
	}
	if announced > 0 && 0 <= s.lastChunk && s.lastChunk < h.minChunk {
		return false, Errorf(CodeSizeInvalid, "the chunk before has %d bytes, fewer than %d, and was not the last", s.lastChunk, h.minChunk)
	}
	panicked := true
	defer func() {
		if panicked {
			// Nobody knows how much of what was read was written.
			h.uploads.end(s)
		}
	}()
	n, fatal, err := h.receive(r.Context(), s, r.Body, announced)
	panicked = false
	if fatal {
		return true, err
	}
	if err != nil {
		// What has arrived is kept, also of a client that went away.
		return false, s.outOfOrder("the body ended after %d bytes: %v", n, err)
	}
	if announced > 0 {
		// One that was cut off is no chunk: the client may send what is left.
		s.lastChunk = announced
	}
	return true, received(n, announced, nil)
}

// outOfOrder returns an error that tells the client where to go on.
func (s *upload) outOfOrder(format string, args ...any) *Error {
	e := Errorf(CodeBlobUploadInvalid, format, args...)
	e.Status = http.StatusRequestedRangeNotSatisfiable
	e.Header = make(http.Header)
	s.setHeader(e.Header)
	return e
}

// getUpload answers end-13, the status of a session. It does not wait for a
// request that is writing.
func (h *handler) getUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.uploads.get(r)
	if err != nil {
		return err
	}
	return answerUpload(w, s, http.StatusNoContent)
}

// loseUpload forgets the session that the request names, if there is one.
func (h *handler) loseUpload(r *Request) {
	if s, err := h.uploads.claim(r); err == nil {
		h.uploads.end(s)
	}
}

// cancelUpload answers end-14 (Cancel a blob upload).
func (h *handler) cancelUpload(w http.ResponseWriter, r *Request) error {
	s, err := h.uploads.claim(r)
	if err != nil {
		return err
	}
	h.uploads.end(s)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
