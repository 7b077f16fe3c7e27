package auth

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/glob"
)

// Immutable makes a registry in which the tags that match one of the patterns,
// such as "team/**:v*", cannot be moved to another manifest once they are
// there. To push the same manifest again is no error. The answer is 409 with
// DENIED.
func Immutable(patterns ...string) registry.Option {
	return ImmutableWith(nil, false, patterns...)
}

// ImmutableWith is like [Immutable] with an answer of its own, if refusal is
// not nil. If strict is true, not even the same manifest can be pushed again.
func ImmutableWith(refusal *registry.Error, strict bool, patterns ...string) registry.Option {
	return registry.WithTagCheck(func(r *registry.Request, tag string, current, next digest.Digest) error {
		if current == "" || current == next && !strict {
			return nil
		}
		for _, p := range patterns {
			if !glob.Match(p, r.Repo+":"+tag) {
				continue
			}
			if refusal != nil {
				return refusal
			}
			return &registry.Error{
				Code: registry.CodeDenied, Status: http.StatusConflict,
				Message: fmt.Sprintf("the tag %s of %s is immutable and is at %s", tag, r.Repo, current),
			}
		}
		return nil
	})
}

// client returns who a request counts for: the user or, if that is not known,
// the address.
func client(r *registry.Request) string {
	if r.User != "" {
		return "user " + r.User
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return "address " + host
	}
	return "address " + r.RemoteAddr
}

// A RateLimit is how often each client may ask for something. Use its
// Middleware after that of an [Auth] for it to count by user; who is not known
// is counted by address.
type RateLimit struct {
	// Limit is how many requests a client has in each window.
	Limit int

	// Window is how long a window is, 6 hours if it is 0. It begins with the
	// client's first request.
	Window time.Duration

	// Counts says which requests count. If it is nil, these are the GETs of
	// manifests, as at Docker Hub. All others pass without a limit, and
	// without the headers that tell of one.
	Counts func(*registry.Request) bool

	mu      sync.Mutex
	windows map[string]*window
}

// A window is what a client has used of its limit.
type window struct {
	ends time.Time
	used int
}

const defaultWindow = 6 * time.Hour

// Middleware answers 429 with TOOMANYREQUESTS and Retry-After beyond the limit,
// and tells of it with RateLimit-Limit and RateLimit-Remaining.
func (l *RateLimit) Middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if l.Counts == nil && r.Op != registry.GetManifest || l.Counts != nil && !l.Counts(r) {
			return next(w, r)
		}
		length := l.Window
		if length == 0 {
			length = defaultWindow
		}
		remaining, left := l.use(client(r), length)
		style := ";w=" + strconv.Itoa(int(length/time.Second))
		header := w.Header()
		header.Set("RateLimit-Limit", strconv.Itoa(l.Limit)+style)
		header.Set("RateLimit-Remaining", strconv.Itoa(max(remaining, 0))+style)
		if remaining < 0 {
			e := registry.Errorf(registry.CodeTooManyRequests, "%s has used the %d requests it has in %s", client(r), l.Limit, length)
			// Rounded up: a client that waits this long gets through.
			e.Header = http.Header{"Retry-After": {strconv.Itoa(int((left + time.Second - 1) / time.Second))}}
			return e
		}
		return next(w, r)
	}
}

// use counts a request. It returns how many are left, less than 0 if this one
// is too many, and for how long the window goes on.
func (l *RateLimit) use(who string, length time.Duration) (remaining int, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.windows == nil {
		l.windows = make(map[string]*window)
	}
	cur := l.windows[who]
	if cur == nil || !now.Before(cur.ends) {
		cur = &window{ends: now.Add(length)}
		l.windows[who] = cur
	}
	if cur.used >= l.Limit {
		return -1, cur.ends.Sub(now)
	}
	cur.used++
	return l.Limit - cur.used, cur.ends.Sub(now)
}

// A Quota is how many bytes each client may push. What is deleted is not given
// back.
type Quota struct {
	// Bytes is how much each client has.
	Bytes int64

	mu   sync.Mutex
	used map[string]int64
}

// errQuota ends a body that the quota has no room for.
var errQuota = errors.New("the quota is used up")

// Middleware answers 403 with DENIED beyond the quota.
func (q *Quota) Middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		switch r.Op {
		case registry.PutManifest, registry.PostBlob, registry.PatchUpload, registry.PutUpload:
		default:
			return next(w, r)
		}
		denied := registry.Errorf(registry.CodeDenied, "%s has used the %d bytes it may push", client(r), q.Bytes)
		if r.ContentLength > 0 && !q.take(client(r), r.ContentLength) {
			return denied
		}
		body := &meteredBody{ReadCloser: r.Body, quota: q, client: client(r), paid: max(r.ContentLength, 0)}
		hr := *r.Request
		hr.Body = body
		r.Request = &hr
		err := next(w, r)
		if body.exceeded {
			return denied
		}
		return err
	}
}

// take reports whether there was room for n bytes, which there is no more.
func (q *Quota) take(who string, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == nil {
		q.used = make(map[string]int64)
	}
	if q.used[who]+n > q.Bytes {
		return false
	}
	q.used[who] += n
	return true
}

// A meteredBody takes what is read from the quota, beyond what was paid for.
type meteredBody struct {
	io.ReadCloser
	quota    *Quota
	client   string
	paid     int64
	exceeded bool
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	fromPaid := min(b.paid, int64(n))
	b.paid -= fromPaid
	if rest := int64(n) - fromPaid; rest > 0 && !b.quota.take(b.client, rest) {
		b.exceeded = true
		return 0, errQuota
	}
	return n, err
}
