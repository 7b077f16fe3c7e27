package journal

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/redact"
)

// A Journal keeps a [Record] of every request to a registry. The zero Journal
// is empty and ready to be used, by one registry or by several; it must not be
// copied. A [Server] has one: [Server.Requests] is how to read it. Of a
// handler that a test serves in its own way, it records what it is given:
//
//	var journal journal.Journal
//	handler := registry.New(store, registry.WithRecorder(&journal))
//
// A client of such a handler can have its answer before that is recorded. With
// a Server it cannot, unless it hangs up before the end: [Requests.WaitFor] waits
// for what is served still.
type Journal struct {
	bodies    int64 // how many bytes of each body are kept
	manifests bool  // read the manifests that clients push

	mu      sync.Mutex
	events  int                          // arrivals and ends so far
	entries []*entry                     // in the order of arrival
	open    map[*registry.Request]*entry // what is not answered yet
	changed chan struct{}                // closed when there is news, if not nil
}

// An entry is what a journal holds of a request. A [Record] is made of it when
// somebody wants to see it: to note what there is has to be quick.
type entry struct {
	Record
	url             url.URL
	tls             bool
	request, answer []string // headers, see flatten
	glimpse         *glimpse

	view *Record // of this entry, or nil; guarded by the lock of the journal
}

// Requests returns the requests until now, in the order of their arrival.
func (j *Journal) Requests() Requests {
	return Requests{journal: j, records: j.records()}
}

// Record adds an exchange. It is for [registry.WithRecorder].
func (j *Journal) Record(x *registry.Exchange) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.open[x.Request]
	if e == nil {
		e = newEntry(x.Request, x.Start)
		j.events++
		e.began = j.events
		i := len(j.entries)
		for i > 0 && j.entries[i-1].Start.After(e.Start) {
			i--
		}
		j.entries = slices.Insert(j.entries, i, e)
	}
	delete(j.open, x.Request)
	e.finish(x)
	j.events++
	e.ended = j.events
	j.wake()
}

// Arrive notes a request before it is answered. It is for
// [registry.WithRecorder].
func (j *Journal) Arrive(r *registry.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := newEntry(r, time.Now())
	e.Ongoing = true
	j.events++
	e.began = j.events
	j.entries = append(j.entries, e)
	if j.open == nil {
		j.open = make(map[*registry.Request]*entry)
	}
	j.open[r] = e
	j.wake()
}

// news returns a channel that is closed as soon as there is something new.
func (j *Journal) news() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// wake tells those who wait. The lock is held.
func (j *Journal) wake() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// records returns what there is now.
func (j *Journal) records() []*Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	records := make([]*Record, len(j.entries))
	for i, e := range j.entries {
		if e.view == nil || e.view.Ongoing || e.view.Number != i+1 {
			e.view = e.read(i + 1)
		}
		records[i] = e.view
	}
	return records
}

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
	e.glimpse, _ = ctx.Value(glimpseKey{}).(*glimpse)
	return e
}

// finish adds what is known once the request was answered.
func (e *entry) finish(x *registry.Exchange) {
	e.Ongoing = false
	e.User, e.Scope = x.Request.User, x.Request.Scope
	e.Status = x.Status
	e.Errors = x.Errors
	e.Err = x.Err
	e.Fault = x.Fault
	e.BytesIn, e.BytesOut = x.BytesIn, x.BytesOut
	e.Start, e.Duration = x.Start, x.Duration
	e.answer = flatten(x.Header)

	ctx := x.Request.Context()
	e.Gone = ctx.Err() != nil
	if e.glimpse != nil {
		e.Gone = e.Gone || e.glimpse.cut.Load()
		e.glimpse.end(&e.Record)
	}
	// What the server has done is not the client's doing.
	if cause := context.Cause(ctx); cause == conn.ErrClosed || cause == context.DeadlineExceeded {
		e.Gone = false
	}
}

// read makes a record that does not change when the entry does, and has
// nothing in it that is secret.
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
	r.RequestHeader = redact.Header(header)
	r.ResponseHeader = redact.Header(unflatten(e.answer))
	u := e.url
	u.Scheme = "http"
	if e.tls {
		u.Scheme = "https"
	}
	r.URL = redact.URL(u)
	if r.Session == "" {
		r.Session = startedSession(&r)
	}
	return &r
}

// flatten copies a header, at less cost than [http.Header.Clone], into keys
// and values that follow each other.
func flatten(h http.Header) []string {
	flat := make([]string, 0, 2*len(h)+2) // Few have several values.
	for k, values := range h {
		for _, v := range values {
			flat = append(flat, k, v)
		}
	}
	return flat
}

func unflatten(flat []string) http.Header {
	h := make(http.Header, len(flat)/2)
	for kv := range slices.Chunk(flat, 2) {
		h[kv[0]] = append(h[kv[0]], kv[1])
	}
	return h
}
