package explore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/journal"
)

// The kinds of violations.
const (
	wrongContent = "wrong content"  // the operation succeeds, but the content differs from that of the undisturbed run
	wrongDigest  = "wrong manifest" // like wrongContent, but only Docker-Content-Digest shows the difference
	hang         = "hang"           // the operation goes on long after its context is done
	late         = "no timeout"     // the operation ends only because its context does
	panics       = "panic"
	crashes      = "crashed" // the operation ran a program that crashed
	leftRunning  = "goroutines left"
	leftOpen     = "body left open"
	leftUpload   = "upload left open" // an operation that succeeded left an upload session open
	storm        = "request storm"
	early        = "before Retry-After"
	credentials  = "credentials shown" // the client sent credentials to another host
	cancelled    = "canceled"          // an error says that the operation was cancelled, which it was not
	goesOn       = "context ignored"   // the operation goes on, although its context was cancelled
	checks       = "check"             // the run or the registry reports a failure
	promise      = "promise"           // the operation fails although MustSucceed says otherwise
)

// kinds lists all kinds of violations.
var kinds = []string{wrongContent, wrongDigest, hang, late, panics, crashes, leftRunning, leftOpen, leftUpload, storm, early, credentials, cancelled, goesOn, checks, promise}

// lintsEarly occurs in findings of package lint about a request sent before Retry-After.
const lintsEarly = "breaks the rule retry-after:"

// failedBase returns an error if the undisturbed run is unfit for comparisons.
func (x *explorer) failedBase(r *run) error {
	failed := func(format string, args ...any) error { return fmt.Errorf("the undisturbed run "+format, args...) }
	switch {
	case r.setup != nil:
		return r.setup
	case r.cause != "":
		return failed("panicked: %s", r.cause)
	case r.hung:
		return failed("does not end")
	case len(r.problems) > 0:
		return failed("failed: %s", strings.Join(collapse(r.problems), "; "))
	case r.err != nil:
		return failed("failed: %w", r.err)
	case r.t.ambiguous() != "":
		return failed("%s", r.t.ambiguous())
	case r.inUse > 0:
		return failed("left %s in use; close the bodies of all responses", hint.Count(r.inUse, "connection"))
	case r.leaked != "":
		return failed("left goroutines behind: %s", r.leaked)
	}
	return nil
}

// A judgement is the outcome of a run: its cell of the matrix, and its violations.
type judgement struct {
	cell       Cell
	violations []Violation
	missed     string // reports about rules that hit no request, or ""
}

// judge compares a run with the undisturbed run and returns its outcome and violations.
func (x *explorer) judge(r *run, c cell) judgement {
	j := judgement{cell: Cell{Request: c.where(), Fault: c.fault, Rule: r.plan.name, Requests: len(r.records)}, missed: strings.Join(r.missed, "; ")}
	add := func(kind, format string, args ...any) {
		if slices.Contains(x.accepted, kind) {
			if !strings.Contains(j.cell.Note, kind) {
				j.cell.Note = strings.TrimPrefix(j.cell.Note+", "+kind, ", ")
			}
			return
		}
		j.violations = append(j.violations, Violation{
			Kind: kind, Request: j.cell.Request, Fault: j.cell.Fault, Rule: r.plan.name, Text: sessionID.ReplaceAllString(fmt.Sprintf(format, args...), "<session>"),
		})
	}
	base := len(x.base.records)
	switch {
	case r.setup != nil:
		add(checks, "%v", r.setup)
	case r.cause != "":
		add(panics, "the client panicked: %s", firstLine(r.cause))
	case r.crash != "":
		add(crashes, "the program crashed: %s", r.crash)
	case r.hung && r.flooded:
		add(hang, "the operation had not ended %v after its context was done; the client was stopped after %d requests; the undisturbed run sent %d", x.grace(), len(r.records), base)
	case r.hung:
		add(hang, "the operation had not ended %v after its context was done", x.grace())
	case r.goesOn > time.Minute:
		add(hang, "the operation ended %v after its context was cancelled", r.goesOn.Round(time.Second))
	case r.cancelled.Load() != 0 && r.err == nil && r.cause == "":
		add(goesOn, "the operation succeeded although its context was cancelled")
	case r.cancelled.Load() != 0 && r.later() > 0:
		add(goesOn, "the client sent %s after its context was cancelled", hint.Count(r.later(), "request"))
	case r.flooded:
		add(storm, "the client was stopped after %d requests; the undisturbed run sent %d", len(r.records), base)
	case r.late:
		add(late, "the operation ended only when its context did, after %v", r.elapsed)
	case len(r.records) > 5*base+12:
		add(storm, "the client sent %d requests; the undisturbed run sent %d", len(r.records), base)
	}
	if r.leaked != "" && !r.hung && r.inUse == 0 { // An open body has its own goroutines.
		add(leftRunning, "the client left goroutines behind: %s", r.leaked)
	}
	if r.inUse > 0 {
		add(leftOpen, "the client left %s with an unread body, neither read to the end nor closed", hint.Count(r.inUse, "response"))
	}
	if len(r.shown) > 0 {
		add(credentials, "the client showed credentials to another host: %s", strings.Join(r.shown, ", "))
	}
	for _, text := range x.tooEarly(r.records) {
		add(early, "%s", text)
	}
	for _, text := range r.problems {
		kind := checks
		if strings.Contains(text, lintsEarly) && slices.Contains(x.accepted, early) {
			kind = early // Package lint found the violation that the caller accepts.
		}
		add(kind, "%s", oneLine(text))
	}
	if r.err != nil && errors.Is(r.err, context.Canceled) && r.plan.cancelAt == nil && !r.flooded {
		add(cancelled, "the error says that the operation was cancelled, which it was not: %v", r.err)
	}
	done := r.err == nil && r.cause == "" && !r.hung && r.setup == nil
	if done {
		x.judgeContent(r, c, add)
	}
	if n := len(knownSessions(r.records)); done && n > 0 {
		add(leftUpload, "the operation succeeded, and the client left %s open, which it could have cancelled", hint.Count(n, "upload session"))
	}
	if failed := r.fired && r.err != nil; failed && len(j.violations) == 0 && x.promises(c) {
		add(promise, "the operation failed, which MustSucceed rules out: %s", firstLine(r.err.Error()))
	}
	stored := len(r.missing) == 0 && len(differences(x.base.after, r.after, r.before)) == 0
	switch {
	case len(j.violations) > 0:
		j.cell.Outcome = Violated
	case !r.fired:
		j.cell.Outcome = NotFired
	case r.err != nil:
		j.cell.Outcome = Failed
		if stored && (len(x.base.pushed) > 0 || !maps.Equal(x.base.before, x.base.after)) {
			j.cell.Note = strings.TrimPrefix(j.cell.Note+", stored", ", ")
		}
	case x.resumed(r):
		j.cell.Outcome = Resumed
	case len(r.records) > base:
		j.cell.Outcome = Retried
	case r.idle:
		j.cell.Outcome = NoEffect
	default:
		j.cell.Outcome = Unaffected
	}
	if r.err != nil {
		j.cell.Error = sessionID.ReplaceAllString(firstLine(r.err.Error()), "<session>")
	}
	if n := len(openSessions(r.records)); n > 0 {
		j.cell.Note = strings.TrimPrefix(fmt.Sprintf("%s, %s left", j.cell.Note, hint.Count(n, "upload session")), ", ")
	}
	return j
}

// judgeContent compares the stored content and the results of a successful run
// with those of the undisturbed run.
func (x *explorer) judgeContent(r *run, c cell, add func(kind, format string, args ...any)) {
	kind, forged := wrongContent, false
	for _, p := range c.parts {
		if !p.trouble.forges {
			continue
		}
		if p.request.tag != "" {
			kind = wrongDigest
		}
		// Without a digest in the request, the client cannot notice the forged content.
		forged = forged || !proves(p.request.record)
	}
	if list := append(r.missing, differences(x.base.after, r.after, r.before)...); len(list) > 0 {
		hint := ""
		if pushesOther(x.base.records, r.records) {
			hint = "; it pushed a manifest that the undisturbed run did not push; if a manifest contains the time or random numbers, fix them for the test"
		}
		add(kind, "the operation succeeded, but %s%s", strings.Join(list, ", "), hint)
	}
	if forged && kind == wrongContent {
		return
	}
	var list []string
	want, got := x.base.t.results, r.t.results
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text, ok := got[name]; !ok {
			list = append(list, fmt.Sprintf("the result %q is missing", name))
		} else if text != want[name] {
			list = append(list, fmt.Sprintf("the result %q is %s, not %s", name, text, want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			list = append(list, fmt.Sprintf("the result %q is unexpected", name))
		}
	}
	if len(list) > 0 {
		add(kind, "the operation succeeded, but %s", strings.Join(list, ", "))
	}
}

// tooEarly describes each request that the client repeated before the time of
// Retry-After. A slow machine causes no false reports, because it only delays the
// arrival of requests.
func (x *explorer) tooEarly(records []*journal.Record) (list []string) {
	for i, r := range records {
		until, ok := retryAt(r)
		if !ok {
			continue
		}
		if r.Session == "" && r.Tag+string(r.Digest) == "" && !x.sequential {
			continue // The next such request may be unrelated to this one.
		}
		end := r.Start.Add(r.Duration)
		for _, next := range records[i+1:] {
			if sameRequest(r, next) && !next.Start.Before(end) {
				if next.Start.Before(until) {
					list = append(list, fmt.Sprintf("the client repeated %s after %v, although Retry-After was %v",
						r.Op, next.Start.Sub(end).Round(time.Millisecond), until.Sub(end).Round(time.Millisecond)))
				}
				break
			}
		}
	}
	return list
}

// retryAt returns the time until which Retry-After asks the client to wait. It
// ignores a response that was cut off before its body, because the client may not
// have got the whole header.
func retryAt(r *journal.Record) (time.Time, bool) {
	if r.Err != nil && r.BytesOut == 0 {
		return time.Time{}, false
	}
	if r.Status != http.StatusTooManyRequests && r.Status != http.StatusServiceUnavailable {
		return time.Time{}, false
	}
	return field.RetryAfter(r.ResponseHeader.Get("Retry-After"), r.Start.Add(r.Duration))
}

func sameRequest(a, b *journal.Record) bool {
	return a.Op == b.Op && a.Repo == b.Repo && a.Tag == b.Tag && a.Digest == b.Digest && (a.Session == b.Session || a.Op.StartsUpload()) && a.Range == b.Range
}

// sequential reports whether each request began after the previous one had ended.
func sequential(records []*journal.Record) bool {
	return journal.NewRequests(records...).MaxInFlight() <= 1
}

// resumed reports whether the client continued in the middle of a blob and the
// registry accepted that. The request either has a range that the undisturbed run
// does not have, or continues an upload session after its status told the client
// that the session has content.
func (x *explorer) resumed(r *run) bool {
	known := make(map[string]bool)
	asked := 0
	for _, b := range x.base.records {
		known[fmt.Sprint(b.Op, b.Digest, b.Range)] = true
		if b.Op == registry.GetUpload {
			asked++
		}
	}
	begun := make(map[string]bool) // sessions whose status told the client that they have content
	for _, q := range r.records {
		if q.Status/100 != 2 {
			continue
		}
		first := strings.TrimPrefix(q.Range, "bytes=")
		switch {
		case q.Op == registry.GetUpload:
			if asked--; asked < 0 {
				_, last, _ := strings.Cut(q.ResponseHeader.Get("Range"), "-")
				begun[q.Session] = last != "" && last != "0"
			}
		case first != "" && !strings.HasPrefix(first, "0-") && !known[fmt.Sprint(q.Op, q.Digest, q.Range)]:
			return true
		case begun[q.Session] && (q.Op == registry.PatchUpload || q.Op == registry.PutUpload):
			return true
		}
	}
	return false
}

// openSessions returns the upload sessions that were neither completed, cancelled
// nor lost, with the request that started each. A client that failed may have
// been unable to cancel them.
func openSessions(records []*journal.Record) map[string]*journal.Record {
	open := make(map[string]*journal.Record)
	for _, r := range records {
		switch {
		case r.Session == "":
		case r.Op.StartsUpload() && r.Status == http.StatusAccepted:
			open[r.Session] = r
		case r.Status == http.StatusNotFound, r.Op == registry.PutUpload && r.Status == http.StatusCreated, r.Op == registry.CancelUpload && r.Status < 300:
			delete(open, r.Session)
		}
	}
	return open
}

// knownSessions returns the open sessions that the client could have cancelled:
// it got the response that started the session, and sent no request to cancel it.
func knownSessions(records []*journal.Record) map[string]*journal.Record {
	open := openSessions(records)
	for session, start := range open {
		if start.Err != nil || start.Gone || slices.ContainsFunc(records, func(r *journal.Record) bool {
			return r.Op == registry.CancelUpload && r.Session == session
		}) {
			delete(open, session)
		}
	}
	return open
}

// sessionID matches the ID of an upload session, which differs in each run.
var sessionID = regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}

// maxLine is the length at which oneLine cuts a text. Findings of package lint
// are shorter.
const maxLine = 600

// oneLine joins the lines of a text with semicolons, because the reason of a
// failure may be on the second line.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	line := strings.Join(lines, "; ")
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "…"
	}
	return line
}
