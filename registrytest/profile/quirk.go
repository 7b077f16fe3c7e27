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
// "ecr.patch-201". As an option of package registrytest, it makes a registry
// have only this deviation. If the deviation concerns authentication, the
// registry also has the authentication of the real registry, with the
// credentials of [Quirk.Profile].
//
//	reg := registrytest.NewServer(t, profile.Quirk("ecr.patch-201"))
type Quirk string

// A Fact describes a [Quirk].
type Fact struct {
	Name Quirk

	// Sentence describes the behaviour of the registry.
	Sentence string

	// Source is the URL of a source for the behaviour. Date is the year, month
	// or day of the source, or "" if it is not known. All sources were read in
	// 2026-11.
	Source, Date string

	// From and Until are the month or day when the behaviour began and ended, or
	// "" if it is not known. Some are inferred from the dates of reports.
	From, Until string

	Evidence Evidence

	// Breaks has the names of the requirements in package conformance that a
	// registry violates because of the quirk.
	Breaks []string
}

// An Evidence is the kind of the source for a quirk.
type Evidence string

// The kinds of sources, strongest first.
const (
	EvidenceTrace       Evidence = "trace"               // recorded requests and responses of the registry
	EvidenceCode        Evidence = "source code"         // source code of the registry
	EvidenceVendor      Evidence = "documentation"       // documentation of the vendor
	EvidenceClient      Evidence = "workaround"          // source code of a client that avoids the quirk
	EvidenceIssue       Evidence = "issue"               // report of a user or a maintainer
	EvidenceConflicting Evidence = "conflicting sources" // Source contradicts other sources
)

// A quirk is a deviation of a real registry, with code that implements it.
type quirk struct {
	Fact

	do behaviour

	// setting reports whether the behaviour depends on a setting of the real
	// registry. Then the profile of the registry does not have the quirk, unless
	// [With] adds it.
	setting bool

	// probe observes the behaviour, and want is the observation at a registry
	// with the quirk. A registry without the quirk leads to a different observation.
	probe probe
	want  string

	// sleeps reports whether the probe waits for minutes.
	sleeps bool
}

// A site is a real registry, or a version of one, with its quirks.
type site struct {
	name, title string
	access      access
	quirks      []quirk

	// collection reports whether the quirks are those of several registries,
	// which have no profile.
	collection bool
}

// find returns the quirk with the name, or an error that suggests the nearest
// name.
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

// AllQuirks yields the names of all quirks, in the order of docs/profiles.md. Those of
// [Profile.Quirks] for each profile of [All] are fewer: they leave out former quirks,
// those that depend on a setting, and those of registries without a profile.
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

// of returns the registry that has the quirk.
func (q *quirk) of() *site {
	i := slices.IndexFunc(sites, func(s *site) bool {
		return slices.ContainsFunc(s.quirks, func(o quirk) bool { return o.Name == q.Name })
	})
	return sites[i]
}

// Fact returns the description of the quirk. If no quirk has the name, the Fact
// has only the name.
func (name Quirk) Fact() Fact {
	q, err := name.find()
	if err != nil {
		return Fact{Name: name}
	}
	return q.Fact
}

// Err returns an error if no quirk has the name. Package registrytest fails the
// test with the error.
func (name Quirk) Err() error {
	if _, err := name.find(); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

// Exclusive returns "authentication" if the quirk adds authentication, like
// [Profile.Exclusive].
func (name Quirk) Exclusive() string { return name.profile().Exclusive() }

// Profile returns a profile that has only this quirk and those that [With] adds.
func (name Quirk) Profile(opts ...Option) *Profile { return name.profile(opts...) }

// Options returns the handler options of a registry with only this quirk. It
// panics if [Quirk.Err] returns an error.
func (name Quirk) Options() []registry.Option { return name.profile().Options() }

// CheckRequests logs whether the quirk affected a response, like
// [Profile.CheckRequests].
func (name Quirk) CheckRequests(t journal.TB, r journal.Requests) {
	hint.NilTest("profile", "Quirk.CheckRequests", t)
	t.Helper()
	logReceipts(t, string(name), []Quirk{name}, r)
}

// profile returns a profile that has only this quirk and those that [With] adds.
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

// current reports whether the registry has the quirk on the date, or at present
// if the date is "".
func (q *quirk) current(date string) bool {
	if date == "" {
		return q.Until == ""
	}
	day := firstDay(date)
	return (q.From == "" || firstDay(q.From) <= day) && (q.Until == "" || day < firstDay(q.Until))
}

// firstDay returns the first day of a year or a month. If the date is a day, it
// returns that day.
func firstDay(date string) string {
	switch len(date) {
	case len("2006"):
		return date + "-01-01"
	case len("2006-01"):
		return date + "-01"
	}
	return date
}

// checkDate returns an error unless the sources cover the registry at the date.
// The error lists the dates on which its quirks changed.
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
		return fmt.Errorf("its behaviour at %s is not known: the oldest source dates from %s; %s", date, oldest, known)
	}
	if day[:len(sourcesRead)] > sourcesRead {
		return fmt.Errorf("its behaviour at %s is not known: the sources were read in %s; %s", date, sourcesRead, known)
	}
	return nil
}

// sourcesRead is the month when the sources were read. A profile of a later date
// has an error.
const sourcesRead = "2026-11"
