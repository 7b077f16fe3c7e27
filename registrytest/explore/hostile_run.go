package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/journal"
)

// An encounter is a run of the operation for [Hostile], with its results and requests.
type encounter struct {
	name    string
	setup   string // the failure of the setup, or ""
	err     error
	cause   string // the panic of the operation, or ""
	crash   string // the crash of the program that the operation ran, or ""
	hung    bool
	late    bool
	flooded bool
	leaked  string

	ambiguous string // a result that was set to several values, or ""

	results map[string]string
	records []*journal.Record // the requests that arrived at the registry

	mu    sync.Mutex
	seen  []sighting
	taken []int64 // the bytes that the client has certainly read of each huge body
}

// A sighting is a request that arrived at another host, or a secret that arrived
// without TLS.
type sighting struct {
	host   string
	line   string // the request, in a line
	secret string // a description of the secret in the request, or ""
}

// floodLimit is the number of requests after which the context of the operation
// is cancelled. After twice as many, all requests wait until the run is over. The
// limit exceeds the number of pages in every honest list.
const floodLimit = 1000

// attempt runs the operation once. It calls set to prepare the registry and the other
// hosts. The run is in a bubble, unless it is over loopback. If the watchdog gave up
// on this run or an earlier one, attempt returns nil.
func (h *hostile) attempt(name string, set func(*hostileWorld)) *encounter {
	e := &encounter{name: name}
	h.announceRun(name)
	if h.loopback {
		h.meet(e, set, func() {})
		return e
	}
	leaked, ended := h.watchdog.bubble(h.t, name, func(beat func()) { h.meet(e, set, beat) })
	if !ended {
		return nil // The goroutines of the run may still use e.
	}
	e.leaked = leaked
	return e
}

// meet runs the operation against a new registry and stores the results in e. It
// calls beat for each sign of progress.
func (h *hostile) meet(e *encounter, set func(*hostileWorld), beat func()) {
	limit := h.limit()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	t := newT(h.t.Name()+": "+e.name, ctx)
	defer func() {
		t.end()
		if e.cause == "" {
			e.cause = t.panicked
		}
		if !h.loopback {
			time.Sleep(afterTime)
		}
	}()
	w := &hostileWorld{h: h, t: t, e: e}
	var network conns
	if cause := do(func() {
		w.start(set)
		network.watch(w.reg.Transport())
	}); cause != nil || t.Failed() {
		e.setup = fmt.Sprintf("the setup of %q failed: %v %v", e.name, cause, t.problems())
		return
	}
	w.arrived = brake(floodLimit, cancel, beat)
	earlier := w.reg.Requests()
	w.armed.Store(true)
	end := perform(func() error { return h.run(t, w.reg) }, limit+h.grace(), beat)
	e.err, e.cause, e.hung = end.err, end.cause, end.hung
	e.crash = crashOf(ctx, end.err)
	if e.hung {
		network.abandoned.Store(true)
	} else {
		e.late = end.elapsed >= limit
		h.settle(&network)
	}
	if e.err == nil && t.Failed() {
		e.err = fmt.Errorf("the run reported %q", t.problems())
	}
	e.ambiguous = t.ambiguous()
	e.flooded = errors.Is(context.Cause(ctx), errFlood)
	t.mu.Lock()
	e.results = t.results
	t.mu.Unlock()
	e.records = w.reg.Requests().Since(earlier).Records()
	for _, r := range e.records {
		if r.URL.Scheme == "http" && h.https() && r.RequestHeader.Get("Authorization") != "" {
			e.note(sighting{r.URL.Host, r.String(), "Authorization, without TLS"})
		}
	}
	stop()
}

// https reports whether the registry is reached over HTTPS.
func (h *hostile) https() bool { return !h.loopback }

func (e *encounter) note(s sighting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, s)
}

// broken describes a failure that no registry excuses, such as a panic, or returns "".
func (e *encounter) broken() string {
	switch {
	case e.setup != "":
		return e.setup
	case e.cause != "":
		return "panics: " + firstLine(e.cause)
	case e.crash != "":
		return "crashed: " + e.crash
	case e.hung && e.flooded:
		return fmt.Sprintf("sends more than %d requests, and does not end, though its context is done", floodLimit)
	case e.hung:
		return "does not end, though its context is done"
	case e.flooded:
		return fmt.Sprintf("sends more than %d requests", floodLimit)
	case e.late:
		return "ends only because its context ends"
	case e.leaked != "":
		return "leaves goroutines behind: " + firstLine(e.leaked)
	}
	return ""
}

// secrets describes each secret that arrived without TLS, or at a host that must
// not have it.
func (e *encounter) secrets() (texts []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.seen {
		if text := fmt.Sprintf("%s gets %s", s.host, s.secret); s.secret != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// lines returns the last requests to the registry and the first to other hosts,
// at most twelve together.
func (e *encounter) lines() (lines []string) {
	for _, r := range e.records[max(0, len(e.records)-8):] {
		lines = append(lines, r.String())
	}
	for _, s := range e.seen[:min(4, len(e.seen))] {
		lines = append(lines, s.host+": "+s.line)
	}
	return lines
}

// refused returns a sentence with the statuses of all responses if the registry
// refused all requests. Otherwise it returns "".
func (e *encounter) refused() string {
	var statuses []string
	for _, r := range e.records {
		if r.Status < 400 {
			return ""
		}
		if status := strconv.Itoa(r.Status); !slices.Contains(statuses, status) {
			statuses = append(statuses, status)
		}
	}
	switch len(e.records) {
	case 0:
		return ""
	case 1:
		return "the operation's only request was answered with " + statuses[0]
	}
	return fmt.Sprintf("all %d requests of the operation were answered with %s", len(e.records), strings.Join(statuses, " or "))
}

// unread describes a list whose last page the client did not request, or returns
// "". If verifies is set, lists of referrers do not count, because the client may
// stop at a valid signature.
func (e *encounter) unread(verifies bool) string {
	type list struct {
		op           registry.Op
		repo, digest string
	}
	pages := make(map[list][]string) // the URLs of the pages, "" for the last
	var all []list
	for _, r := range e.records {
		if r.Failed() || r.Op != registry.ListTags && (r.Op != registry.ListReferrers || verifies) {
			continue
		}
		l := list{r.Op, r.Repo, string(r.Digest)}
		if pages[l] == nil {
			all = append(all, l)
		}
		at := r.URL.RequestURI()
		if r.ResponseHeader.Get("Link") == "" {
			at = ""
		}
		if !slices.Contains(pages[l], at) {
			pages[l] = append(pages[l], at)
		}
	}
	for _, l := range all {
		if n := len(pages[l]); !slices.Contains(pages[l], "") {
			return fmt.Sprintf("requests %s of %v, and not the next one in Link", hint.Count(n, "page"), l.op)
		}
	}
	return ""
}

// has reports whether a request for one of the operations succeeded. If the function
// about is not nil, it must return true for that request.
func (e *encounter) has(about func(*journal.Record) bool, ops ...registry.Op) bool {
	return slices.ContainsFunc(e.records, func(r *journal.Record) bool {
		return slices.Contains(ops, r.Op) && !r.Failed() && (about == nil || about(r))
	})
}

// tags returns the tags, as repo:tag, whose manifests the operation requested
// successfully. It leaves out tags of signatures.
func (e *encounter) tags() (tags []string) {
	for _, r := range e.records {
		if tag := r.Repo + ":" + r.Tag; (r.Op == registry.GetManifest || r.Op == registry.HeadManifest) && r.Tag != "" && !isSignatureTag(r.Tag) && !r.Failed() && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}
