package lint

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Linter finds requests by which a client breaks the spec, or what is usual
// beyond it. The zero Linter checks all rules.
type Linter struct {
	// Except are rules that are not checked.
	Except []Rule

	// Expect are the operations that the test expects. If it is nil, they all
	// are.
	Expect []registry.Op

	// LogOnly makes CheckRequests log the findings instead of failing the test.
	LogOnly bool
}

// A Finding is a request that breaks a rule.
type Finding struct {
	Rule   Rule
	Record *journal.Record

	// Text says in what way.
	Text string
}

// String returns the finding in a few lines.
func (f Finding) String() string {
	return fmt.Sprintf("request %d, %v\n\tbreaks the rule %s: %s\n\t%s (%s)",
		f.Record.Number, f.Record, f.Rule, f.Text, f.Rule.Text(), f.Rule.Source())
}

// Lint returns what there is to be found, in the order of the requests. To
// know what a client has been told before, it has to see all of its requests.
//
// Three rules look further than a journal does by itself: [LintMediaType] and
// [LintReferrersTag] into the manifests that are pushed, and
// [LintUploadLocation] and [LintLink] are sharper when there is a query in the
// URLs that the registry gives. A server with the linter as an option does both.
func (l Linter) Lint(r journal.Requests) []Finding {
	state := &lint{expect: l.Expect}
	for _, record := range r.All() {
		state.records = append(state.records, record)
	}
	state.findSessions()
	for _, rule := range lintChecks {
		if !slices.Contains(l.Except, rule.rule) {
			state.rule = rule.rule
			rule.check(state)
		}
	}
	slices.SortStableFunc(state.findings, func(a, b Finding) int { return cmp.Compare(a.Record.Number, b.Record.Number) })
	return state.findings
}

// lint is what the rules are checked with.
type lint struct {
	records  []*journal.Record
	expect   []registry.Op
	sessions []*uploadSession // in the order of their first requests

	rule     Rule // the one that is being checked
	findings []Finding
}

// found adds a finding.
func (l *lint) found(r *journal.Record, format string, args ...any) {
	l.findings = append(l.findings, Finding{l.rule, r, fmt.Sprintf(format, args...)})
}

// each calls check with the requests for the operations.
func (l *lint) each(check func(*journal.Record), ops ...registry.Op) {
	for _, r := range l.records {
		if slices.Contains(ops, r.Op) {
			check(r)
		}
	}
}

// An uploadSession is the requests of one upload session.
type uploadSession struct {
	start    *journal.Record   // the request that it was started by, or nil
	requests []*journal.Record // those that came after
}

func (l *lint) findSessions() {
	byID := make(map[string]*uploadSession)
	for _, r := range l.records {
		if r.Session == "" {
			continue
		}
		s := byID[r.Session]
		if s == nil {
			s = &uploadSession{}
			byID[r.Session] = s
			l.sessions = append(l.sessions, s)
		}
		switch r.Op {
		case registry.PatchUpload, registry.PutUpload, registry.GetUpload, registry.CancelUpload:
			s.requests = append(s.requests, r)
		default:
			s.start = r
		}
	}
}

// succeeded reports whether the client has been told that the request succeeded.
func succeeded(r *journal.Record) bool {
	return !r.Ongoing && r.Status/100 == 2 && r.Err == nil && !r.Gone
}

func end(r *journal.Record) time.Time { return r.Start.Add(r.Duration) }
