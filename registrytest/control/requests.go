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

	"github.com/ocireg/registry/internal/jsonapi"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/journal/export"
)

// properties are the parameters that select requests by a list of values. flags
// are the parameters that need no value.
const (
	properties = "op repo tag digest user status method number"
	flags      = "failed faulted ongoing"
)

// choose returns the requests in the journal that the query parameters select.
func (c *Control) choose(r *call) journal.Requests {
	c.mu.Lock()
	since, s := max(c.marks[session{}], c.marks[r.session]), r.session
	c.mu.Unlock()
	since = r.Number("since", 0, since)
	all := c.journal.Requests().Where(func(r *journal.Record) bool { return r.Number > since && s.has(r) })
	for _, name := range strings.Fields(properties + " " + flags) {
		if !r.Query.Has(name) {
			continue
		}
		var values []string
		switch {
		case strings.Contains(flags, name):
			values = []string{strconv.FormatBool(r.Is(name))}
		case name == "user":
			values = r.Values(name) // An anonymous user has the empty name.
		default:
			values = r.List(name)
		}
		chosen, err := all.Select(name, values...)
		if all = chosen; err != nil && r.Err == nil {
			r.Err = jsonapi.Bad("%w", err)
		}
	}
	return all
}

// forget serves DELETE /v1/requests: it hides past requests from later queries.
func (c *Control) forget(r *call) (any, error) { return object{"since": c.begin(r.session)}, nil }

// begin hides the past requests of the session from later queries. It returns
// the number of the latest request.
func (c *Control) begin(s session) int {
	last := c.journal.Requests().Last().Number
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.marks[s] = last; s == (session{}) {
		c.marks = map[session]int{s: last} // This mark is later than those of other sessions.
	}
	return last
}

// forms are the formats of GET /v1/requests. The first one is the default.
var forms = []struct {
	name, contentType string
	write             func(journal.Requests, *call) error
}{
	{"ndjson", "application/x-ndjson", func(all journal.Requests, r *call) error { return export.NDJSON(r.Response, r.bodies(all)) }},
	{"table", "text/plain; charset=utf-8", func(all journal.Requests, r *call) error {
		_, err := io.WriteString(r.Response, all.String())
		return err
	}},
	{"har", "application/har+json", func(all journal.Requests, r *call) error { return export.HAR(r.Response, all) }},
	{"golden", "text/x-golden; charset=utf-8", func(all journal.Requests, r *call) (err error) {
		for _, record := range all.Records() {
			if err == nil {
				_, err = fmt.Fprintln(r.Response, record)
			}
		}
		return err
	}},
	{"sse", "text/event-stream; charset=utf-8", follow},
}

// bodies returns the requests without their bodies, unless the request asks for
// bodies.
func (r *call) bodies(requests journal.Requests) journal.Requests {
	if r.Is("bodies") {
		return requests
	}
	records := requests.Records()
	for i, record := range records {
		bare := *record
		bare.RequestBody, bare.ResponseBody = nil, nil
		records[i] = &bare
	}
	return journal.NewRequests(records...)
}

// form returns the index in forms of the format that the request asks for.
func (r *call) form() int {
	asked, _ := r.Value("format")
	if r.Is("follow") {
		asked = "sse"
	}
	for i, f := range forms {
		mediaType, _, _ := strings.Cut(f.contentType, ";")
		if asked == f.name || asked == "" && strings.Contains(r.Header.Get("Accept"), mediaType) {
			return i
		}
	}
	if asked != "" && r.Err == nil {
		r.Err = jsonapi.Bad("no form of requests is called %.100q; the forms are ndjson, table, har, golden and sse", asked)
	}
	return 0
}

// defaultWait is the longest time that GET /v1/requests waits for further
// requests, unless it has the parameter timeout.
const defaultWait = 30 * time.Second

// requests serves GET /v1/requests: the journal in the requested format.
func (c *Control) requests(r *call) (any, error) {
	chosen, f, wait, d := c.choose(r), forms[r.form()], r.Number("wait", 1, 0), r.Duration("timeout", defaultWait)
	if r.Err != nil {
		return nil, r.Err
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		var err error
		if chosen, err = chosen.WaitFor(ctx, wait); err != nil {
			return nil, jsonapi.Fail(http.StatusGatewayTimeout, "waited %v: %d of %d requests arrived", d, chosen.Len(), wait)
		}
	}
	r.Response.Header().Set("Content-Type", f.contentType)
	return nil, f.write(chosen, r)
}

// follow streams the requests as server-sent events until the client
// disconnects. It sends each request when it arrives, and again when it has
// ended.
func follow(requests journal.Requests, r *call) error {
	if r.Method == http.MethodHead {
		return nil
	}
	conn := http.NewResponseController(r.Response)
	r.Response.WriteHeader(http.StatusOK)
	conn.Flush()
	for news := range requests.Follow(r.Context()) {
		var b bytes.Buffer
		for _, record := range news.Records() {
			fmt.Fprintf(&b, "id: %d\ndata: ", record.Number)
			export.NDJSON(&b, r.bodies(journal.NewRequests(record))) // Writing to a buffer cannot fail.
			b.WriteByte('\n')
		}
		if _, err := b.WriteTo(r.Response); err != nil || conn.Flush() != nil {
			return nil
		}
	}
	return nil
}

// findings serves GET /v1/findings: the requests that break a rule of the
// linter.
func (c *Control) findings(r *call) (any, error) {
	chosen := make(map[int]bool)
	for _, record := range c.choose(r).Records() {
		chosen[record.Number] = true
	}
	list := []object{}
	for _, f := range c.config.Linter.Lint(c.journal.Requests()) {
		if chosen[f.Record.Number] {
			list = append(list, object{
				"request": f.Record.Number, "line": f.Record.String(), "rule": f.Rule, "text": f.Text,
				"requirement": f.Rule.Text(), "source": f.Rule.Source(),
			})
		}
	}
	return object{"findings": list}, r.Err
}
