package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// requestRoutes are the endpoints of the journal.
var requestRoutes = []route{
	{"GET /v1/requests", selection + " wait timeout follow format bodies", (*Control).requests},
	{"DELETE /v1/requests", "session", (*Control).forget},
	{"GET /v1/findings", "session since", (*Control).findings},
}

// selection is the parameters that select requests.
const selection = "op repo tag digest user status method number since failed faulted ongoing session"

// choose selects the requests that the query asks for.
func (c *Control) choose(r *call) (journal.Requests, error) {
	c.mu.Lock()
	since := max(c.marks[session{}], c.marks[r.session])
	c.mu.Unlock()
	numbers := make(map[string][]int)
	for _, name := range []string{"since", "status", "number"} {
		for _, text := range r.list(name) {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return journal.Requests{}, fail(http.StatusBadRequest, "%s=%.100q is not a number", name, text)
			}
			numbers[name] = append(numbers[name], n)
		}
	}
	if list := numbers["since"]; list != nil {
		since = list[0]
	}
	s := r.session
	all := c.journal.Requests().Where(func(r *journal.Record) bool { return r.Number > since && s.has(r) })
	if list := numbers["status"]; list != nil {
		all = all.Status(list...)
	}
	if list := numbers["number"]; list != nil {
		all = all.Where(func(r *journal.Record) bool { return r.Number == list[0] })
	}
	if r.query.Has("op") {
		var ops []registry.Op
		for _, name := range r.list("op") {
			op, err := registry.ParseOp(name)
			if err != nil {
				return all, fail(http.StatusBadRequest, "op: %v", err)
			}
			ops = append(ops, op)
		}
		all = all.Op(ops...)
	}
	for name, choose := range map[string]func(journal.Requests, ...string) journal.Requests{
		"repo": journal.Requests.Repo, "tag": journal.Requests.Tag, "user": journal.Requests.User,
		"digest": func(all journal.Requests, patterns ...string) journal.Requests {
			var digests []digest.Digest
			for _, p := range patterns {
				digests = append(digests, digest.Digest(p))
			}
			return all.Digest(digests...)
		},
		"method": func(all journal.Requests, methods ...string) journal.Requests {
			return all.Where(func(r *journal.Record) bool { return strings.EqualFold(r.Method, methods[0]) })
		},
	} {
		if r.query.Has(name) {
			all = choose(all, r.list(name)...)
		}
	}
	for name, property := range map[string]func(*journal.Record) bool{
		"failed": (*journal.Record).Failed, "faulted": (*journal.Record).Faulted,
		"ongoing": func(r *journal.Record) bool { return r.Ongoing },
	} {
		if want := r.is(name); r.query.Has(name) {
			all = all.Where(func(r *journal.Record) bool { return property(r) == want })
		}
	}
	return all, nil
}

// forget serves DELETE /v1/requests.
func (c *Control) forget(r *call) (any, error) {
	return map[string]int{"since": c.begin(r.session)}, nil
}

// begin marks a new beginning of the session, and returns the number of the last
// request before it.
func (c *Control) begin(s session) int {
	last := c.journal.Requests().Last().Number
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.marks[s] = last; s == (session{}) {
		c.marks = map[session]int{s: last} // The others are earlier.
	}
	return last
}

// A form is a form in which GET /v1/requests returns requests.
type form struct {
	name, mediaType string
	write           func(journal.Requests, io.Writer, *call) error // nil for events
}

// forms are all forms, the default first.
var forms = []form{
	{"ndjson", "application/x-ndjson", func(all journal.Requests, w io.Writer, r *call) error {
		return all.WriteNDJSON(w, r.is("bodies"))
	}},
	{"table", "text/plain", func(all journal.Requests, w io.Writer, _ *call) error {
		_, err := io.WriteString(w, all.String())
		return err
	}},
	{"har", "application/har+json", func(all journal.Requests, w io.Writer, _ *call) error { return all.WriteHAR(w) }},
	{"golden", "text/x-golden", func(all journal.Requests, w io.Writer, _ *call) (err error) {
		for _, r := range all.All() {
			if err == nil {
				_, err = fmt.Fprintln(w, r)
			}
		}
		return err
	}},
	{"sse", "text/event-stream", nil},
}

// form returns the form that a request asks for.
func (r *call) form() (form, error) {
	asked := r.query.Get("format")
	if r.is("follow") {
		asked = "sse"
	}
	for _, f := range forms {
		if asked == f.name || asked == "" && strings.Contains(r.Header.Get("Accept"), f.mediaType) {
			return f, nil
		}
	}
	if asked != "" {
		return form{}, fail(http.StatusBadRequest, "no form of requests is called %.100q; the forms are ndjson, table, har, golden and sse", asked)
	}
	return forms[0], nil
}

// defaultWait is how long a request waits for others if it does not say.
const defaultWait = 30 * time.Second

// requests serves GET /v1/requests.
func (c *Control) requests(r *call) (any, error) {
	chosen, err := c.choose(r)
	if err != nil {
		return nil, err
	}
	f, err := r.form()
	if err != nil {
		return nil, err
	}
	d, err := r.duration("timeout", defaultWait)
	if err != nil {
		return nil, err
	}
	if r.query.Has("wait") {
		n, err := strconv.Atoi(r.query.Get("wait"))
		if err != nil || n < 1 {
			return nil, fail(http.StatusBadRequest, "wait=%.20q is not a number of requests", r.query.Get("wait"))
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		if chosen, err = chosen.WaitFor(ctx, n); err != nil {
			return nil, fail(http.StatusGatewayTimeout, "waited %v: %d of %d requests arrived", d, chosen.Len(), n)
		}
	}
	r.w.Header().Set("Content-Type", f.mediaType)
	if strings.HasPrefix(f.mediaType, "text/") {
		r.w.Header().Set("Content-Type", f.mediaType+"; charset=utf-8")
	}
	if f.write == nil && r.Method == http.MethodHead {
		return written{}, nil
	} else if f.write == nil {
		c.follow(r, chosen)
	} else if f.write(chosen, r.w, r) != nil {
		panic(http.ErrAbortHandler)
	}
	return written{}, nil
}

// pruneAt is the number of requests that a follower remembers before it looks for
// those that the journal has dropped.
const pruneAt = 10000

// follow sends the requests as server-sent events, each when it arrives and once
// more when it has ended, until the client goes away.
func (c *Control) follow(r *call, requests journal.Requests) {
	conn := http.NewResponseController(r.w)
	conn.Flush()
	sent := make(map[int]bool) // by number, whether the request had ended
	pending := requests.Where(func(r *journal.Record) bool {
		ended, ok := sent[r.Number]
		return !ok || !ended && !r.Ongoing
	})
	for limit := pruneAt; ; {
		next, err := pending.WaitFor(r.Context(), 1)
		if err != nil {
			return
		}
		var b bytes.Buffer
		for _, record := range next.All() {
			sent[record.Number] = !record.Ongoing
			fmt.Fprintf(&b, "id: %d\ndata: ", record.Number)
			journal.NewRequests(record).WriteNDJSON(&b, r.is("bodies")) // A buffer takes all.
			b.WriteByte('\n')
		}
		if _, err := b.WriteTo(r.w); err != nil || conn.Flush() != nil {
			return
		}
		if len(sent) > limit {
			first := c.journal.Requests().First().Number
			for n := range sent {
				if n < first {
					delete(sent, n)
				}
			}
			limit = 2*len(sent) + pruneAt
		}
	}
}

// findings serves GET /v1/findings.
func (c *Control) findings(r *call) (any, error) {
	chosen, err := c.choose(r)
	if err != nil {
		return nil, err
	}
	numbers := make(map[int]bool)
	for _, r := range chosen.All() {
		numbers[r.Number] = true
	}
	list := []any{}
	for _, f := range c.Linter.Lint(c.journal.Requests()) {
		if numbers[f.Record.Number] {
			list = append(list, map[string]any{
				"request": f.Record.Number, "line": f.Record.String(), "rule": f.Rule, "text": f.Text,
				"requirement": f.Rule.Text(), "source": f.Rule.Source(),
			})
		}
	}
	return map[string]any{"findings": list}, nil
}
