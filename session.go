package registry

import (
	"container/list"
	"crypto/rand"
	"encoding/hex"
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

// uploads holds the upload sessions of a registry. A session expires when a
// later request looks at the sessions, so nothing runs in the background.
type uploads struct {
	expiry time.Duration
	max    int // the greatest number of sessions

	mu    sync.Mutex               // guards the fields below
	byID  map[string]*list.Element // of *upload
	byUse list.List                // of *upload, the least recently used first
}

// An upload is a blob that is being uploaded: in a session, or in a single POST,
// in which case it has no id. The fields below busy may be used only by the
// request that has claimed the session.
type upload struct {
	id, repo string
	used     time.Time    // guarded by uploads.mu
	size     atomic.Int64 // the number of bytes that have arrived

	busy      atomic.Bool
	ended     bool // set when the session ends, so that a later claim of it fails
	algorithm digest.Algorithm
	hash      hash.Hash
	writer    BlobWriter // nil until the first body arrives
	lastChunk int64      // the size of the last chunk, or -1 if there was none
}

// start starts an upload session, or returns an error if as many sessions as
// permitted are open.
func (u *uploads) start(r *Request, algorithm digest.Algorithm) (*upload, error) {
	s := &upload{id: newUUID(), repo: r.Repo, algorithm: algorithm, lastChunk: -1}
	now := r.Now()
	u.mu.Lock()
	expired := u.expire(now)
	if len(u.byID) >= u.max {
		wait := u.untilExpiry(now)
		u.mu.Unlock()
		discard(expired)
		return nil, tooManyUploads(u.max, wait)
	}
	if u.byID == nil {
		u.byID = make(map[string]*list.Element)
	}
	s.used = now
	u.byID[s.id] = u.byUse.PushBack(s)
	u.mu.Unlock()
	discard(expired)
	return s, nil
}

// untilExpiry returns the time until the first session can expire. It skips
// sessions that a request is writing to, because they cannot expire during the
// request. The caller holds u.mu.
func (u *uploads) untilExpiry(now time.Time) time.Duration {
	for e := u.byUse.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*upload); !s.busy.Load() {
			return max(s.used.Add(u.expiry).Sub(now), 0)
		}
	}
	return u.expiry
}

// tooManyUploads returns the error for a request that would exceed the limit of
// sessions. Its Retry-After is the wait, in full seconds.
func tooManyUploads(limit int, wait time.Duration) error {
	e := Errorf(CodeTooManyRequests, "all of the %d upload sessions that the registry permits are open; finish or cancel one", limit)
	e.Header = http.Header{"Retry-After": {field.Seconds(wait)}}
	return e
}

// get returns the upload session of the request and marks it as used now.
func (u *uploads) get(r *Request) (*upload, error) {
	now := r.Now()
	u.mu.Lock()
	expired := u.expire(now)
	defer discard(expired)
	defer u.mu.Unlock()
	e := u.byID[r.Session]
	if e == nil || e.Value.(*upload).repo != r.Repo {
		return nil, uploadUnknown(r)
	}
	s := e.Value.(*upload)
	s.used = now
	u.byUse.MoveToBack(e)
	return s, nil
}

// uploadUnknown returns the error for a request whose upload session does not
// exist.
func uploadUnknown(r *Request) error {
	e := Errorf(CodeBlobUploadUnknown, "%s has no upload session %q", r.Repo, r.Session)
	e.Detail = map[string]string{"name": r.Repo, "session": r.Session}
	return e
}

// claim returns the upload session of the request. Until the request releases
// the session, no other request can claim it. If another request has claimed it,
// busy is true.
func (u *uploads) claim(r *Request) (s *upload, busy bool, err error) {
	s, err = u.get(r)
	if err != nil {
		return nil, false, err
	}
	if !s.busy.CompareAndSwap(false, true) {
		return s, true, nil
	}
	if s.ended {
		s.busy.Store(false)
		return nil, false, uploadUnknown(r)
	}
	return s, false, nil
}

// release gives up the claim of the request on the session. If endAll was called
// during the request, release ends the session.
func (u *uploads) release(r *Request, s *upload) {
	now := r.Now()
	u.mu.Lock()
	e := u.byID[s.id]
	if e != nil {
		s.used = now
		u.byUse.MoveToBack(e)
		s.busy.Store(false)
	}
	u.mu.Unlock()
	if e == nil {
		s.close()
	}
}

// end removes a claimed session and discards its bytes, unless they were
// committed.
func (u *uploads) end(s *upload) {
	u.mu.Lock()
	if e := u.byID[s.id]; e != nil {
		u.byUse.Remove(e)
		delete(u.byID, s.id)
	}
	u.mu.Unlock()
	s.close()
}

// expire removes the sessions that have been idle for too long, and returns them
// claimed. The caller holds u.mu, and passes them to discard after releasing
// u.mu.
func (u *uploads) expire(now time.Time) (expired []*upload) {
	for e := u.byUse.Front(); e != nil; {
		s, next := e.Value.(*upload), e.Next()
		if now.Sub(s.used) < u.expiry {
			break
		}
		if s.busy.CompareAndSwap(false, true) {
			u.byUse.Remove(e)
			delete(u.byID, s.id)
			expired = append(expired, s)
		}
		e = next
	}
	return expired
}

// endAll ends all sessions. If a request is writing to a session, the session
// ends with that request, which may still commit the blob.
func (u *uploads) endAll() {
	var idle []*upload
	u.mu.Lock()
	for e := u.byUse.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*upload); s.busy.CompareAndSwap(false, true) {
			idle = append(idle, s)
		}
	}
	u.byUse.Init()
	clear(u.byID)
	u.mu.Unlock()
	discard(idle)
}

// discard closes sessions that the caller has claimed.
func discard(sessions []*upload) {
	for _, s := range sessions {
		defer s.close() // deferred, so that all are closed even if the writer of one panics
	}
}

// close ends a claimed session and discards its bytes, unless they were
// committed.
func (s *upload) close() {
	s.ended = true
	defer s.busy.Store(false)
	if s.writer != nil {
		s.writer.Close()
	}
}

// sum returns the digest of the bytes that have arrived. The bytes were hashed
// on arrival. If the algorithm is not the one that was used then, sum reads them
// back.
func (s *upload) sum(algorithm digest.Algorithm) (digest.Digest, error) {
	if algorithm != s.algorithm {
		s.algorithm, s.hash = algorithm, algorithm.Hash()
		if _, err := io.Copy(s.hash, io.NewSectionReader(s.writer, 0, s.size.Load())); err != nil {
			return "", err
		}
	}
	return newDigest(algorithm, s.hash.Sum(nil)), nil
}

// setSession sets the fields that tell the client the URL of the session and the
// number of bytes that have arrived.
func (h *handler) setSession(header http.Header, r *Request, s *upload) {
	setFields(header,
		"Location", h.location(r, "/v2/"+s.repo+"/blobs/uploads/"+s.id),
		// The form of Range cannot express that no byte has arrived. Like other
		// registries, send 0-0 in this case.
		"Range", "0-"+strconv.FormatInt(max(s.size.Load()-1, 0), 10),
		"Docker-Upload-Uuid", s.id)
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
