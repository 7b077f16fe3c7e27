package profile

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Quirk is the name of one deviation of a real registry, such as
// "ecr.patch-201". It is an option of package registrytest: the registry has
// only this deviation. If the deviation is about authentication, the registry
// also has the authentication of the real one, with the credentials of
// [Quirk.Profile].
//
//	reg := registrytest.NewServer(t, profile.Quirk("ecr.patch-201"))
type Quirk string

// A Fact describes a [Quirk].
type Fact struct {
	Name Quirk

	// Sentence says what the registry does.
	Sentence string

	// Source is the URL of the source. Date is its year, month or day, or "" if it
	// is not known; every source was read in 2026-11.
	Source, Date string

	// From and Until are the month or the day in which the behaviour began and
	// ended, or "" if the date is not known. They may be inferred from the dates of
	// reports.
	From, Until string

	Evidence Evidence

	// Breaks are the names of the requirements in package conformance that the
	// registry does not meet because of the quirk.
	Breaks []string
}

// Evidence is the kind of a source.
type Evidence string

// The kinds of sources, the strongest first.
const (
	EvidenceTrace       Evidence = "trace"               // requests and responses
	EvidenceCode        Evidence = "source code"         // of the registry
	EvidenceVendor      Evidence = "documentation"       // of the vendor
	EvidenceClient      Evidence = "workaround"          // in the source code of a client
	EvidenceIssue       Evidence = "issue"               // a report of a user or a maintainer
	EvidenceConflicting Evidence = "conflicting sources" // the Source says one thing, others say another
)

// A quirk is a deviation with its behaviour.
type quirk struct {
	Fact

	do behaviour

	// setting reports that users of the real registry can choose the behaviour.
	// The profile does not have it; [With] adds it.
	setting bool

	// probe observes the behaviour, and want is the observation. A registry
	// without the quirk gives another observation.
	probe probe
	want  string

	// sleeps reports that the probe waits for minutes.
	sleeps bool
}

// A site is a real registry, or a version of one.
type site struct {
	name, title string
	access      access
	quirks      []quirk

	// collection reports that the quirks are of several registries, without a
	// profile.
	collection bool
}

// find returns the quirk with the name, or an error that names the nearest.
func (name Quirk) find() (*quirk, error) {
	var names []string
	for _, s := range sites {
		for i := range s.quirks {
			if s.quirks[i].Name == name {
				return &s.quirks[i], nil
			}
			names = append(names, string(s.quirks[i].Name))
		}
	}
	help := "docs/profiles.md lists all quirks"
	if nearest := hint.Nearest(string(name), names...); nearest != "" {
		help = fmt.Sprintf("did you mean %q?", nearest)
	}
	return nil, fmt.Errorf("no quirk is called %q; %s", name, help)
}

// AllQuirks yields the names of all quirks, those of past years included, in the
// order of docs/profiles.md.
func AllQuirks() iter.Seq[Quirk] {
	return func(yield func(Quirk) bool) {
		for _, s := range sites {
			for i := range s.quirks {
				if !yield(s.quirks[i].Name) {
					return
				}
			}
		}
	}
}

// of returns the registry of the quirk.
func (q *quirk) of() *site {
	i := slices.IndexFunc(sites, func(s *site) bool {
		return slices.ContainsFunc(s.quirks, func(o quirk) bool { return o.Name == q.Name })
	})
	return sites[i]
}

// Fact returns the description of the quirk, which has only a name if there is
// no such quirk.
func (name Quirk) Fact() Fact {
	q, err := name.find()
	if err != nil {
		return Fact{Name: name}
	}
	return q.Fact
}

// Err returns an error if there is no such quirk. Package registrytest fails the
// test with it.
func (name Quirk) Err() error {
	if _, err := name.find(); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

// Exclusive returns "authentication" if the quirk adds authentication, as
// [Profile.Exclusive] does.
func (name Quirk) Exclusive() string { return name.profile().Exclusive() }

// Profile returns a profile that has the quirk alone.
func (name Quirk) Profile(opts ...Option) *Profile { return name.profile(opts...) }

// Options returns the options of a registry with the quirk alone. It panics if
// [Quirk.Err] returns an error.
func (name Quirk) Options() []registry.Option { return name.profile().Options() }

// CheckRequests logs whether the quirk shaped a response, as
// [Profile.CheckRequests] does.
func (name Quirk) CheckRequests(t journal.TB, r journal.Requests) {
	hint.NilTest("profile", "Quirk.CheckRequests", t)
	t.Helper()
	logReceipts(t, string(name), []Quirk{name}, r)
}

// profile returns a profile that has the quirk alone.
func (name Quirk) profile(opts ...Option) *Profile {
	q, err := name.find()
	if err != nil {
		return &Profile{name: string(name), err: fmt.Errorf("profile: %w", err)}
	}
	of := *q.of()
	of.quirks, of.collection = nil, false
	if !q.do.needsAuth() {
		of.access = access{}
	}
	return of.profile(string(name), append(slices.Clip(opts), With(name)))
}

// current reports whether the registry has the quirk on a date, or at present
// if the date is "".
func (q *quirk) current(date string) bool {
	if date == "" {
		return q.Until == ""
	}
	day := firstDay(date)
	return (q.From == "" || firstDay(q.From) <= day) && (q.Until == "" || day < firstDay(q.Until))
}

// firstDay returns the first day of a year or a month.
func firstDay(date string) string {
	switch len(date) {
	case len("2006"):
		return date + "-01-01"
	case len("2006-01"):
		return date + "-01"
	}
	return date
}

// checkDate returns an error unless the registry is known at the date. The error
// names the dates at which it changed.
func (s *site) checkDate(date string) error {
	var changes []string
	oldest := ""
	for _, q := range s.quirks {
		for _, d := range []string{q.Date, q.From, q.Until} {
			if d != "" && (oldest == "" || firstDay(d) < oldest) {
				oldest = firstDay(d)
			}
		}
		for _, d := range []string{q.From, q.Until} {
			if d != "" && !slices.Contains(changes, d) {
				changes = append(changes, d)
			}
		}
	}
	slices.Sort(changes)
	known := "no change of its quirks is known"
	if len(changes) > 0 {
		known = "its quirks changed on " + strings.Join(changes, ", ")
	}
	day := firstDay(date)
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("%q is not a date, such as 2026-08 or 2026-08-31; %s", date, known)
	}
	if day < oldest {
		return fmt.Errorf("it is not known at %s: the oldest source is of %s; %s", date, oldest, known)
	}
	if day[:len(sourcesRead)] > sourcesRead {
		return fmt.Errorf("it is not known at %s: the sources were read in %s; %s", date, sourcesRead, known)
	}
	return nil
}

// sourcesRead is the month in which the sources were read.
const sourcesRead = "2026-11"
