// Package lint finds requests with which a client breaks the distribution spec, or
// an RFC, even if the registry serves them. Each finding names the rule, and the
// section of the spec or RFC that has the rule.
//
//	reg := registrytest.NewServer(t, lint.Linter{})
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Rule is the name of a requirement for clients. The constants of this
// package describe the requests that break it; [Rule.Text] is the requirement.
type Rule string

// A check is a rule with the function that finds the requests that break it. The
// constant of the rule, its check and the function are in the same file.
type check struct {
	rule   Rule
	source string
	text   string
	find   func(*run)
}

// checks has the checks of all rules.
var checks = slices.Concat(chunkChecks, uploadChecks, manifestChecks, requestChecks, credentialsChecks)

// Rules returns all rules, in the order in which a Linter checks them.
func Rules() []Rule {
	rules := make([]Rule, len(checks))
	for i, c := range checks {
		rules[i] = c.rule
	}
	return rules
}

// Source returns the section of the distribution spec, or of an RFC, that has the
// rule.
func (r Rule) Source() string { return r.check().source }

// Text returns a sentence that states the rule.
func (r Rule) Text() string { return r.check().text }

func (r Rule) check() check {
	for _, c := range checks {
		if c.rule == r {
			return c
		}
	}
	return check{rule: r}
}

// A Linter checks rules. It is an option of package registrytest: when the
// server is closed, each finding is a failure of the test. The zero Linter
// checks all rules except [Credentials].
type Linter struct {
	// Rules are the rules to check. If it is nil, the Linter checks all rules
	// except Credentials.
	Rules []Rule

	// Except are rules that the Linter does not check.
	Except []Rule

	// Expect are the operations that the rule [Expected] permits. If it is nil,
	// the rule permits all.
	Expect []registry.Op

	// LogOnly makes CheckRequests log the findings instead of failing the test.
	LogOnly bool
}

// Strict returns a Linter that checks all rules, including [Credentials], which many
// correct clients break.
func Strict() Linter { return Linter{Rules: Rules()} }

// Expect returns a Linter that checks only the rule [Expected]: clients may request
// only these operations.
func Expect(ops ...registry.Op) Linter {
	return Linter{Rules: []Rule{Expected}, Expect: append([]registry.Op{}, ops...)}
}

// Err returns an error if Rules or Except has a rule that does not exist. Package
// registrytest and CheckRequests fail the test with this error.
func (l Linter) Err() error {
	all := Rules()
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = string(r)
	}
	for _, r := range slices.Concat(l.Rules, l.Except) {
		if slices.Contains(all, r) {
			continue
		}
		help := "the constants of package lint are the rules"
		if nearest := hint.Nearest(string(r), names...); nearest != "" {
			help = fmt.Sprintf("did you mean %q?", nearest)
		}
		return fmt.Errorf("no rule of a Linter is called %q; %s", r, help)
	}
	return nil
}

// checks reports whether the linter checks any of the rules.
func (l Linter) checks(rules ...Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool {
		if slices.Contains(l.Except, r) {
			return false
		}
		if l.Rules == nil {
			return r != Credentials
		}
		return slices.Contains(l.Rules, r)
	})
}

// A Finding is a request that breaks a rule.
type Finding struct {
	Rule   Rule
	Record *journal.Record

	// Text says how the request breaks the rule.
	Text string
}

// String returns the finding in three lines: the request, how it breaks the rule, and
// the rule with its source.
func (f Finding) String() string {
	return fmt.Sprintf("request %d, %v\n\tbreaks the rule %s: %s\n\t%s (%s)",
		f.Record.Number, f.Record, f.Rule, f.Text, f.Rule.Text(), f.Rule.Source())
}

// Lint returns the findings in the requests, in the order of the requests. It should
// get all requests of the client, because many rules compare a request with earlier
// responses.
//
// A Linter that is an option of a server finds more: it makes the journal read
// manifests, which [MediaType] and [ReferrersTag] require, and adds a query
// parameter to URLs in responses, which [UploadLocation], [LatestLocation] and
// [Link] look for.
func (l Linter) Lint(r journal.Requests) []Finding {
	run := &run{records: r.Records(), expect: l.Expect}
	run.findSessions()
	for _, c := range checks {
		if l.checks(c.rule) {
			run.rule = c.rule
			c.find(run)
		}
	}
	slices.SortStableFunc(run.findings, func(a, b Finding) int { return cmp.Compare(a.Record.Number, b.Record.Number) })
	return run.findings
}

// CheckRequests reports each finding in the requests as a failure of the test,
// or logs it if LogOnly is set. Package registrytest calls it when a server with
// the linter is closed; a test may call it at any time.
func (l Linter) CheckRequests(t journal.TB, r journal.Requests) {
	hint.NilTest("lint", "Linter.CheckRequests", t)
	t.Helper()
	if err := l.Err(); err != nil {
		t.Errorf("lint: %v", err)
	}
	for _, f := range l.Lint(r) {
		if l.LogOnly {
			t.Logf("lint: %v", f)
		} else {
			t.Errorf("lint: %v", f)
		}
	}
}

// A run is the state of one call of Lint.
type run struct {
	records  []*journal.Record
	expect   []registry.Op
	sessions []*uploadSession // in the order of their first requests

	rule     Rule // the rule that is being checked
	findings []Finding
}

// found adds a finding about a request that breaks the current rule.
func (l *run) found(r *journal.Record, format string, args ...any) {
	l.findings = append(l.findings, Finding{l.rule, r, fmt.Sprintf(format, args...)})
}

// each calls check with each request for one of the operations.
func (l *run) each(check func(*journal.Record), ops ...registry.Op) {
	for _, r := range l.records {
		if slices.Contains(ops, r.Op) {
			check(r)
		}
	}
}

// An uploadSession has the requests of one upload session.
type uploadSession struct {
	start    *journal.Record   // the request that started the session, or nil
	requests []*journal.Record // the requests of the session after its start
}

func (l *run) findSessions() {
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
		if r.Op.HasSession() {
			s.requests = append(s.requests, r)
		} else {
			s.start = r
		}
	}
}

// inChunks reports whether the client sent a part of the blob with PATCH.
func (s *uploadSession) inChunks() bool {
	return slices.ContainsFunc(s.requests, func(r *journal.Record) bool { return r.Op == registry.PatchUpload })
}

// succeeded reports whether the client got the whole response, with a status of
// success.
func succeeded(r *journal.Record) bool {
	return !r.Ongoing && r.Status/100 == 2 && r.Err == nil && !r.Gone
}

// end returns the time at which the response to the request ended.
func end(r *journal.Record) time.Time { return r.Start.Add(r.Duration) }
