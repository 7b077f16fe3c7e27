// Package journal records the requests to a registry. A test selects requests with
// the methods of [Requests], or compares them with a golden file. Package export
// writes them as an HTTP Archive.
//
// A registrytest.Server has a journal: its method Requests returns the
// requests.
package journal

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/field"
)

// A Journal keeps a [Record] of every request to a registry. The zero Journal is
// empty and ready to use. Several registries may use the same Journal at the same
// time. A Journal must not be copied.
//
// A Journal is a [registry.Recorder]:
//
//	var j journal.Journal
//	handler := registry.New(store, registry.WithRecorder(&j))
//
// A client of this handler can receive a response before the journal has recorded
// it. [Journal.Handler] prevents that.
//
// A Journal grows with each request, by about 1 KB; see [Journal.KeepLast].
type Journal struct {
	limit     int   // the number of requests to keep, or 0 for all; guarded by mu
	bodies    int64 // the number of bytes of each body to keep
	manifests bool  // whether to read the manifests that clients push

	mu      sync.Mutex                   // guards limit and the fields below
	events  int                          // the number of arrivals and ends so far
	entries []*entry                     // the requests in the order of arrival
	size    int64                        // the sum of the sizes of entries, if limit is not 0
	dropped int                          // the number of requests dropped before the first entry
	open    map[*registry.Request]*entry // the requests without a response
	changed chan struct{}                // closed by the next arrival or end of a request; may be nil
}

// An entry holds the facts about a request. To keep the registry fast, the journal
// builds the Record that users see only when a test asks for it.
type entry struct {
	Record
	url               url.URL
	tls               bool
	request, response []string // the headers, as flatten returns them
	bodies            *bodies

	size    int64 // the number of bytes that the entry adds to the size of the journal
	dropped bool

	view *Record // the Record that users see, or nil; guarded by the journal's lock
}

// Requests returns the requests so far, in the order of their arrival.
func (j *Journal) Requests() Requests {
	return Requests{journal: j}.of(j.records())
}

// Arrive adds a request that has no response yet. It implements
// [registry.Recorder].
func (j *Journal) Arrive(r *registry.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := newEntry(r, time.Now())
	e.Ongoing = true
	j.events++
	e.began = j.events
	j.entries = append(j.entries, e)
	j.count(e)
	j.drop()
	if j.open == nil {
		j.open = make(map[*registry.Request]*entry)
	}
	j.open[r] = e
	j.wake()
}

// Record completes the record of a request with its response. If Arrive was not
// called with the request, Record adds it. It implements [registry.Recorder].
func (j *Journal) Record(x *registry.Exchange) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.open[x.Request]
	if e == nil {
		e = newEntry(x.Request, x.Start)
		j.events++
		e.began = j.events
		j.entries = append(j.entries, e)
		for i := len(j.entries) - 1; i > 0 && j.entries[i-1].Start.After(e.Start); i-- {
			j.entries[i-1], j.entries[i] = e, j.entries[i-1]
		}
	}
	delete(j.open, x.Request)
	e.finish(x)
	j.count(e)
	j.drop()
	j.events++
	e.ended = j.events
	j.wake()
}

// KeepLast makes the journal keep the last n requests and drop earlier ones, which
// [Record.Number] still counts. By default, or if n is 0, the journal keeps all
// requests. For the journal of a server, use registrytest.WithLastRequests.
//
// If clients send long headers, the journal keeps fewer requests: their URLs, headers
// and errors take at most n * 16 KiB, or 16 MiB if that is more.
func (j *Journal) KeepLast(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.limit = max(n, 0)
	for _, e := range j.entries {
		j.count(e)
	}
	j.drop()
}

// count adds the size of a new entry to the size of the journal, or its change to that
// of an earlier one. The caller holds the lock.
func (j *Journal) count(e *entry) {
	if j.limit == 0 || e.dropped {
		return
	}
	j.size -= e.size
	e.size = e.measure()
	j.size += e.size
}

// measure returns the approximate number of bytes of the URL, the headers and the errors
// of the request. These can make an entry much larger than others.
func (e *entry) measure() (n int64) {
	add := func(texts ...string) {
		for _, s := range texts {
			n += int64(len(s))
		}
	}
	add(e.url.Path, e.url.RawPath, e.url.RawQuery)
	add(e.request...)
	add(e.response...)
	for _, err := range e.Errors {
		add(err.Message)
		if detail, ok := err.Detail.(map[string]string); ok {
			for _, v := range detail {
				add(v)
			}
		}
	}
	return n
}

// drop drops the oldest entries beyond the limit. The caller holds the lock.
func (j *Journal) drop() {
	most := max(int64(min(j.limit, 1<<30))<<14, 16<<20)
	for j.limit > 0 && (len(j.entries) > j.limit || j.size > most && len(j.entries) > 1) {
		j.size -= j.entries[0].size
		j.entries[0].dropped = true
		j.entries[0] = nil // The array may live for long, and must not keep the entry.
		j.entries = j.entries[1:]
		j.dropped++
	}
}

// news returns a channel that is closed at the next arrival or end of a request.
func (j *Journal) news() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// wake closes the channel that news returned. The caller holds the lock.
func (j *Journal) wake() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// records returns the records of the requests that the journal keeps.
func (j *Journal) records() []*Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	records := make([]*Record, len(j.entries))
	for i, e := range j.entries {
		if number := j.dropped + i + 1; e.view == nil || e.view.Ongoing || e.view.Number != number {
			e.view = e.read(number)
		}
		records[i] = e.view
	}
	return records
}

// newEntry returns an entry with the facts that are known when a request arrives.
func newEntry(r *registry.Request, start time.Time) *entry {
	ctx := r.Context()
	e := &entry{
		Record: Record{
			Op:            r.Op,
			Repo:          r.Repo,
			Tag:           r.Tag,
			Digest:        r.Digest,
			From:          r.From,
			Session:       r.Session,
			Method:        r.Method,
			Proto:         r.Proto,
			ContentLength: r.ContentLength,
			Start:         start,
		},
		url:     *r.URL,
		tls:     r.TLS != nil,
		request: flatten(r.Header),
	}
	e.url.Host = r.Host
	e.Conn = conn.Number(ctx)
	e.bodies, _ = ctx.Value(bodiesKey{}).(*bodies)
	return e
}

// finish adds the facts that are known when the response ends.
func (e *entry) finish(x *registry.Exchange) {
	e.Ongoing = false
	e.User, e.Scope = x.Request.User, x.Request.Scope
	e.Status = x.Status
	e.Errors = x.Errors
	e.Err = x.Err
	e.Fault = x.Fault
	e.Notes = x.Notes
	e.BytesIn, e.BytesOut = x.BytesIn, x.BytesOut
	e.Start, e.Duration = x.Start, x.Duration
	e.response = flatten(x.Header)

	ctx := x.Request.Context()
	e.Gone = ctx.Err() != nil
	if e.bodies != nil {
		e.Gone = e.Gone || e.bodies.cut.Load()
		e.bodies.addTo(&e.Record)
	}
	// If the server has closed the connection, or a deadline has passed, the client
	// is not gone.
	if cause := context.Cause(ctx); cause == conn.ErrClosed || cause == context.DeadlineExceeded {
		e.Gone = false
	}
}

// read returns the entry as a record without credentials. Later changes to the entry do
// not affect the record.
func (e *entry) read(number int) *Record {
	r := e.Record
	r.Number = number
	header := unflatten(e.request)
	if name, _, ok := (&http.Request{Header: header}).BasicAuth(); ok && r.User == "" {
		r.User = name
	}
	r.Range = header.Get("Range")
	if r.Range == "" {
		r.Range = header.Get("Content-Range")
	}
	r.RequestHeader = field.Redact(header)
	r.ResponseHeader = field.Redact(unflatten(e.response))
	u := e.url
	u.Scheme = "http"
	if e.tls {
		u.Scheme = "https"
	}
	r.URL = field.RedactURL(u)
	if r.Session == "" {
		r.Session = startedSession(&r)
	}
	return &r
}

// flatten copies a header into a list in which each value follows its name.
// This costs less than [http.Header.Clone].
func flatten(h http.Header) []string {
	flat := make([]string, 0, 2*len(h)+2) // Few fields of a header have several values.
	for name, values := range h {
		for _, v := range values {
			flat = append(flat, name, v)
		}
	}
	return flat
}

func unflatten(flat []string) http.Header {
	h := make(http.Header, len(flat)/2)
	for i := 0; i < len(flat); i += 2 {
		h[flat[i]] = append(h[flat[i]], flat[i+1])
	}
	return h
}
