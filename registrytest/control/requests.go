package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// requestRoutes are the endpoints of the journal.
var requestRoutes = []route{
	{"GET /v1/requests", (*Control).requests},
	{"DELETE /v1/requests", (*Control).forget},
	{"GET /v1/findings", (*Control).findings},
}

// selection is the parameters of GET /v1/requests that select requests.
var selection = []string{"op", "repo", "tag", "digest", "user", "status", "method", "number", "since", "failed", "faulted", "ongoing", "session"}

// choose selects the requests that the query asks for.
func (c *Control) choose(q url.Values) (journal.Requests, error) {
	all := c.journal.Requests()
	s, err := parseSession(q.Get("session"))
	if err != nil {
		return all, err
	}
	since := c.mark(s)
	numbers := func(name string) (list []int, err error) {
		for _, text := range listOf(q, name) {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return nil, fail(http.StatusBadRequest, "%s=%.100q is not a number", name, text)
			}
			list = append(list, n)
		}
		return list, nil
	}
	if list, err := numbers("since"); err != nil {
		return all, err
	} else if list != nil {
		since = list[0]
	}
	all = all.Where(func(r *journal.Record) bool { return r.Number > since && s.has(r) })
	var ops []registry.Op
	for _, name := range listOf(q, "op") {
		op, err := registry.ParseOp(name)
		if err != nil {
			return all, fail(http.StatusBadRequest, "op: %v", err)
		}
		ops = append(ops, op)
	}
	if ops != nil {
		all = all.Op(ops...)
	}
	for name, choose := range map[string]func(journal.Requests, ...string) journal.Requests{
		"repo": journal.Requests.Repo, "tag": journal.Requests.Tag, "user": journal.Requests.User,
	} {
		if q.Has(name) {
			all = choose(all, listOf(q, name)...)
		}
	}
	if q.Has("digest") {
		var digests []digest.Digest
		for _, d := range listOf(q, "digest") {
			digests = append(digests, digest.Digest(d))
		}
		all = all.Digest(digests...)
	}
	if list, err := numbers("status"); err != nil {
		return all, err
	} else if list != nil {
		all = all.Status(list...)
	}
	if list, err := numbers("number"); err != nil {
		return all, err
	} else if list != nil {
		all = all.Where(func(r *journal.Record) bool { return r.Number == list[0] })
	}
	if method := q.Get("method"); method != "" {
		all = all.Where(func(r *journal.Record) bool { return strings.EqualFold(r.Method, method) })
	}
	for name, property := range map[string]func(*journal.Record) bool{
		"failed": (*journal.Record).Failed, "faulted": (*journal.Record).Faulted,
		"ongoing": func(r *journal.Record) bool { return r.Ongoing },
	} {
		if want := is(q, name); q.Has(name) {
			all = all.Where(func(r *journal.Record) bool { return property(r) == want })
		}
	}
	return all, nil
}

// listOf returns the values of a parameter, which commas separate.
func listOf(q url.Values, name string) (list []string) {
	for _, v := range q[name] {
		list = append(list, strings.Split(v, ",")...)
	}
	return list
}

// mark returns the number of the last request before the session's new beginning.
func (c *Control) mark(s session) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.marks[session{}], c.marks[s])
}

// forget serves DELETE /v1/requests.
func (c *Control) forget(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r, "session"); err != nil {
		return err
	}
	s, err := sessionOf(r, "")
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]int{"since": c.begin(s)})
}

// begin marks a new beginning of the session, and returns the number of the last
// request before it.
func (c *Control) begin(s session) int {
	last := c.journal.Requests().Last().Number
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks[s] = last
	return last
}

// forms are the forms in which GET /v1/requests returns requests, with the media
// types that ask for them.
var forms = []struct{ name, mediaType string }{
	{"ndjson", "application/x-ndjson"},
	{"table", "text/plain"},
	{"har", "application/har+json"},
	{"golden", "text/x-golden"},
	{"sse", "text/event-stream"},
}

// form returns the form and its media type that a request asks for.
func form(r *http.Request, q url.Values) (name, mediaType string, err error) {
	if is(q, "follow") {
		return "sse", "text/event-stream", nil
	}
	for _, f := range forms {
		if q.Get("format") == f.name || !q.Has("format") && strings.Contains(r.Header.Get("Accept"), f.mediaType) {
			return f.name, f.mediaType, nil
		}
	}
	if q.Has("format") {
		return "", "", fail(http.StatusBadRequest, "no form of requests is called %.100q; the forms are ndjson, table, har, golden and sse", q.Get("format"))
	}
	return forms[0].name, forms[0].mediaType, nil
}

// maxWait is how long a request waits for others if it does not say.
const maxWait = 30 * time.Second

// requests serves GET /v1/requests.
func (c *Control) requests(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, append([]string{"wait", "timeout", "follow", "format", "bodies"}, selection...)...)
	if err != nil {
		return err
	}
	chosen, err := c.choose(q)
	if err != nil {
		return err
	}
	name, mediaType, err := form(r, q)
	if err != nil {
		return err
	}
	if q.Has("wait") {
		n, err := strconv.Atoi(q.Get("wait"))
		if err != nil || n < 1 {
			return fail(http.StatusBadRequest, "wait=%.20q is not a number of requests", q.Get("wait"))
		}
		d, err := duration(q, "timeout", maxWait)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		if chosen, err = chosen.WaitFor(ctx, n); err != nil {
			return fail(http.StatusGatewayTimeout, "waited %v for %d requests, and %d arrived", d, n, chosen.Len())
		}
	}
	w.Header().Set("Content-Type", mediaType)
	if mediaType == "text/plain" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	if name == "sse" {
		return c.follow(w, r, chosen, is(q, "bodies"))
	}
	return write(w, name, chosen, is(q, "bodies"))
}

// write writes the requests in the form.
func write(w io.Writer, form string, requests journal.Requests, bodies bool) error {
	switch form {
	case "table":
		_, err := io.WriteString(w, requests.String())
		return err
	case "har":
		var all []*journal.Record
		for _, r := range requests.All() {
			if r.Op == registry.GetToken {
				// Its bodies have passwords and tokens.
				other := *r
				other.RequestBody, other.ResponseBody = nil, nil
				r = &other
			}
			all = append(all, r)
		}
		return journal.NewRequests(all...).WriteHAR(w)
	}
	var b bytes.Buffer
	for _, r := range requests.All() {
		if b.Reset(); form == "golden" {
			fmt.Fprintln(&b, r)
		} else if err := encode(&b, info(r, bodies)); err != nil {
			return err
		}
		if _, err := b.WriteTo(w); err != nil {
			return err
		}
	}
	return nil
}

// pruneAt is the number of requests that a follower remembers before it looks for
// those that the journal has dropped.
const pruneAt = 10000

// follow sends the requests as server-sent events, each when it arrives and once
// more when it has ended, until the client goes away.
func (c *Control) follow(w http.ResponseWriter, r *http.Request, requests journal.Requests, bodies bool) error {
	conn := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	conn.Flush()
	sent := make(map[int]bool) // by number, whether the request had ended
	pending := requests.Where(func(r *journal.Record) bool {
		ended, ok := sent[r.Number]
		return !ok || !ended && !r.Ongoing
	})
	for limit := pruneAt; ; {
		next, err := pending.WaitFor(r.Context(), 1)
		if err != nil {
			return nil
		}
		var b bytes.Buffer
		for _, r := range next.All() {
			sent[r.Number] = !r.Ongoing
			fmt.Fprintf(&b, "id: %d\ndata: ", r.Number)
			if err := encode(&b, info(r, bodies)); err != nil {
				return nil
			}
			b.WriteByte('\n')
		}
		if _, err := b.WriteTo(w); err != nil || conn.Flush() != nil {
			return nil
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
func (c *Control) findings(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "session", "since")
	if err != nil {
		return err
	}
	chosen, err := c.choose(q)
	if err != nil {
		return err
	}
	numbers := make(map[int]bool)
	for _, r := range chosen.All() {
		numbers[r.Number] = true
	}
	type finding struct {
		Request int    `json:"request"`
		Line    string `json:"line"`
		Rule    string `json:"rule"`
		Text    string `json:"text"`
		Rules   string `json:"requirement"`
		Source  string `json:"source"`
	}
	list := []finding{}
	for _, f := range c.Linter.Lint(c.journal.Requests()) {
		if numbers[f.Record.Number] {
			list = append(list, finding{f.Record.Number, f.Record.String(), string(f.Rule), f.Text, f.Rule.Text(), f.Rule.Source()})
		}
	}
	return reply(w, http.StatusOK, map[string]any{"findings": list})
}
