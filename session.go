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
)

// uploads holds the upload sessions of a registry. Sessions expire when a later
// request looks at them, so that nothing has to run in the background.
type uploads struct {
	expiry time.Duration
	max    int // the greatest number of sessions, or 0 for any

	mu    sync.Mutex
	byID  map[string]*list.Element // of *upload
	byUse list.List                // of *upload, the least recently used first
}

// An upload is a blob that is being uploaded: in a session, or in a single POST,
// which has no id. Only the request that has claimed a session may use the fields
// below busy.
type upload struct {
	id, repo string
	used     time.Time    // guarded by uploads.mu
	size     atomic.Int64 // the number of bytes that have arrived

	busy      atomic.Bool
	ended     bool // the session cannot continue
	algorithm digest.Algorithm
	hash      hash.Hash
	writer    BlobWriter // nil until there is something to write
	lastChunk int64      // the size of the last chunk, or -1 if there was none
}

// start begins a session, unless the number of sessions has reached its limit.
func (u *uploads) start(r *Request, algorithm digest.Algorithm) (*upload, error) {
	s := &upload{id: newUUID(), repo: r.Repo, algorithm: algorithm, lastChunk: -1}
	now := r.Now()
	u.mu.Lock()
	expired := u.expire(now)
	if u.max > 0 && len(u.byID) >= u.max {
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

// untilExpiry returns the time until the first session can expire. A session that
// a request is writing to cannot expire before the request ends. The caller holds
// u.mu.
func (u *uploads) untilExpiry(now time.Time) time.Duration {
	for e := u.byUse.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*upload); !s.busy.Load() {
			return max(s.used.Add(u.expiry).Sub(now), 0)
		}
	}
	return u.expiry
}

// tooManyUploads returns the error for a session beyond the limit. The wait is the
// time until one can expire.
func tooManyUploads(limit int, wait time.Duration) error {
	e := Errorf(CodeTooManyRequests, "there may be %d upload sessions, and all are open; finish or cancel one", limit)
	e.Header = http.Header{"Retry-After": {strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)}}
	return e
}

// get returns the session of the request and notes its use.
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

// uploadUnknown returns the error for a session that does not exist.
func uploadUnknown(r *Request) error {
	e := Errorf(CodeBlobUploadUnknown, "%s has no upload session %q", r.Repo, r.Session)
	e.Detail = map[string]string{"name": r.Repo, "session": r.Session}
	return e
}

// claim returns the session of the request, for this request alone until it is
// released. If another request has claimed the session, busy is true.
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

// release ends the claim of the request on the session, or the session if endAll
// was called meanwhile.
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

// end removes a claimed session and its content.
func (u *uploads) end(s *upload) {
	u.mu.Lock()
	if e := u.byID[s.id]; e != nil {
		u.byUse.Remove(e)
		delete(u.byID, s.id)
	}
	u.mu.Unlock()
	s.close()
}

// expire removes the sessions that have been idle for too long, and claims
// them, for discard. The caller holds u.mu.
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

// endAll ends all sessions. A session that a request is writing to ends with that
// request, which may still commit the blob.
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

// discard closes claimed sessions.
func discard(sessions []*upload) {
	for _, s := range sessions {
		defer s.close() // Even if the writer of another one panics.
	}
}

// close ends a claimed session, and discards the bytes that have arrived unless
// they were committed.
func (s *upload) close() {
	s.ended = true
	defer s.busy.Store(false)
	if s.writer != nil {
		s.writer.Close()
	}
}

// sum returns the digest of the bytes that have arrived. They were hashed as
// they came in, unless the client did not announce this algorithm.
func (s *upload) sum(algorithm digest.Algorithm) (digest.Digest, error) {
	if algorithm != s.algorithm {
		s.algorithm, s.hash = algorithm, algorithm.Hash()
		if _, err := io.Copy(s.hash, io.NewSectionReader(s.writer, 0, s.size.Load())); err != nil {
			return "", err
		}
	}
	return newDigest(algorithm, s.hash.Sum(nil)), nil
}

// setSession sets the fields that tell the client where the session is and how
// much of the blob has arrived.
func (h *handler) setSession(header http.Header, r *Request, s *upload) {
	setFields(header,
		"Location", h.location(r, "/v2/"+s.repo+"/blobs/uploads/"+s.id),
		// The form cannot express that nothing has arrived. Other registries
		// send 0-0 then, too.
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
