package auth

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// client returns the name under which a limit counts a request: that of the
// user, or the address of an anonymous client.
func client(r *registry.Request) string {
	if r.User != "" {
		return "user " + r.User
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return "address " + host
	}
	return "address " + r.RemoteAddr
}

// A RateLimit limits the number of requests of each client in a time window. If
// it follows an [Auth] in the options, it counts by user; it counts anonymous
// clients by their address. Further requests get the response 429 with the code
// TOOMANYREQUESTS and Retry-After. Every response to a request that counts has the
// header fields RateLimit-Limit and RateLimit-Remaining, in the form of Docker Hub.
//
// A limit of 0 permits no request, so the zero RateLimit refuses every GET request for
// a manifest. For no limit, leave the RateLimit out.
type RateLimit struct {
	// Limit is the number of requests that each client may send in a window. If it
	// is 0, each request that counts is refused.
	Limit int

	// Window is the length of a window, which begins with a client's first
	// request. If it is 0, the length is 6 hours. The header has it in seconds,
	// rounded up.
	Window time.Duration

	// Counts reports whether a request counts. Other requests always pass, and
	// their responses lack the header fields of the limit. If Counts is nil, GET
	// requests for manifests count, as at Docker Hub.
	Counts func(*registry.Request) bool

	mu      sync.Mutex
	windows map[string]*window // by client
	sweepAt int                // at this number of windows, expired ones are removed
}

// A window counts the requests of a client in a period of time.
type window struct {
	ends time.Time
	used int
}

const defaultWindow = 6 * time.Hour

// minSweep is the smallest number of windows at which a RateLimit removes
// expired ones. After that, it waits until the number has doubled, so the
// average cost of a request is constant.
const minSweep = 1000

// Options returns the handler options of a registry with the limit. It makes a
// RateLimit an option of package registrytest.
func (l *RateLimit) Options() []registry.Option {
	return []registry.Option{registry.WithMiddleware(l.middleware)}
}

func (l *RateLimit) middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if l.Counts == nil && r.Op != registry.GetManifest || l.Counts != nil && !l.Counts(r) {
			return next(w, r)
		}
		length := l.Window
		if length == 0 {
			length = defaultWindow
		}
		remaining, left := l.use(client(r), length, r.Now())
		suffix := ";w=" + field.Seconds(length)
		header := w.Header()
		header.Set("RateLimit-Limit", strconv.Itoa(l.Limit)+suffix)
		header.Set("RateLimit-Remaining", strconv.Itoa(max(remaining, 0))+suffix)
		if remaining < 0 {
			e := registry.Errorf(registry.CodeTooManyRequests, "%s has used its %d requests in %s", client(r), l.Limit, length)
			e.Header = http.Header{"Retry-After": {field.Seconds(left)}}
			return e
		}
		return next(w, r)
	}
}

// use counts a request of the client at the given time. It returns the number of
// requests that remain in the window, or -1 if the request exceeds the limit,
// and the time until the window ends.
func (l *RateLimit) use(client string, length time.Duration, now time.Time) (remaining int, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.windows == nil {
		l.windows = make(map[string]*window)
	}
	cur := l.windows[client]
	if cur == nil || !now.Before(cur.ends) {
		if len(l.windows) >= l.sweepAt {
			maps.DeleteFunc(l.windows, func(_ string, w *window) bool { return !now.Before(w.ends) })
			l.sweepAt = max(2*len(l.windows), minSweep)
		}
		cur = &window{ends: now.Add(length)}
		l.windows[client] = cur
	}
	if cur.used >= l.Limit {
		return -1, cur.ends.Sub(now)
	}
	cur.used++
	return l.Limit - cur.used, cur.ends.Sub(now)
}

// A Quota limits the number of bytes that each client may push, and identifies
// clients like a [RateLimit]. Further pushes get the response 403 with the code
// DENIED. Deleting content does not reduce the number. A Quota uses memory for
// each client that has pushed. The zero Quota permits no bytes, like one
// that is used up. For no limit, leave the Quota out.
type Quota struct {
	// Bytes is the number of bytes that a client may push. If it is 0, a client may
	// push only content without bytes.
	Bytes int64

	mu   sync.Mutex
	used map[string]int64 // by client
}

// errQuota is the read error of a body that exceeds the quota.
var errQuota = errors.New("the quota is used up")

// Options returns the handler options of a registry with the quota. It makes a
// Quota an option of package registrytest.
func (q *Quota) Options() []registry.Option {
	return []registry.Option{registry.WithMiddleware(q.middleware)}
}

func (q *Quota) middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if !r.Op.HasBody() {
			return next(w, r)
		}
		denied := registry.Errorf(registry.CodeDenied, "%s has used its quota of %d bytes", client(r), q.Bytes)
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

// take takes n bytes from the client's quota and returns true. If fewer are
// left, it takes none and returns false.
func (q *Quota) take(client string, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == nil {
		q.used = make(map[string]int64)
	}
	if q.used[client]+n > q.Bytes {
		return false
	}
	q.used[client] += n
	return true
}

// A meteredBody is a request's body that counts against the quota. The Content-Length
// was subtracted in advance: paid is the number of those bytes that are still unread.
// Read subtracts the bytes beyond them.
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
