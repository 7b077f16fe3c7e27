package profile

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/journal"
)

// A Profile describes the behaviour of a real registry: its authentication and
// its quirks. It is an option of package registrytest. A handler without a
// server is registry.New(store, p.Options()...).
type Profile struct {
	name   string
	site   *site
	quirks []*quirk
	set    settings
	auth   *auth.Auth // nil without authentication
	login  auth.Credentials
	err    error
}

// An Option configures a [Profile].
type Option struct{ set func(*settings) }

// settings are the values of the options.
type settings struct {
	dated   bool
	date    string
	except  []Quirk
	with    []Quirk
	public  []string
	repos   []string
	network bool
	noAuth  bool
}

// Except removes quirks from the profile.
func Except(quirks ...Quirk) Option {
	return Option{func(s *settings) { s.except = append(s.except, quirks...) }}
}

// With adds quirks to the profile, for example those of another registry. A
// quirk about authentication needs a profile with the same kind of
// authentication: none, Basic or a token service.
func With(quirks ...Quirk) Option {
	return Option{func(s *settings) { s.with = append(s.with, quirks...) }}
}

// Public limits anonymous pulls to repositories that match the patterns, such as
// "library/**". By default, anonymous clients may pull from all repositories if
// the real registry has public ones. Without patterns, no repository is public.
func Public(patterns ...string) Option {
	return Option{func(s *settings) { s.public = append([]string{}, patterns...) }}
}

// Repositories makes the repositories that match the patterns exist before a
// push. Some registries, such as ECR, refuse pushes unless a repository, project
// or namespace exists. A test creates it with this option or by adding content.
func Repositories(patterns ...string) Option {
	return Option{func(s *settings) { s.repos = append(s.repos, patterns...) }}
}

// WithoutAuth removes the authentication, and the quirks about authentication,
// from the profile. Every client then has every right.
func WithoutAuth() Option { return Option{func(s *settings) { s.noAuth = true }} }

// RealHosts makes the profile name the real hosts of the token service and of
// the storage of blobs. A registrytest.Network must serve them; see
// [Profile.Hosts]. By default, both have the host of the registry. If that host
// is 127.0.0.1 and TLS is off, a storage with absolute URLs is at localhost.
func RealHosts() Option { return Option{func(s *settings) { s.network = true }} }

// Get returns the profile with the name, such as "gitlab". The name may end with
// a date: "gitlab@2026-08" has the quirks that GitLab had on the first day of
// that month. If no profile has the name, [Profile.Err] returns an error that
// suggests the nearest name.
func Get(name string, opts ...Option) *Profile {
	bare, date, dated := strings.Cut(name, "@")
	for _, s := range sites {
		if s.name == bare && !s.collection {
			if dated {
				opts = append(slices.Clip(opts), Option{func(s *settings) { s.dated, s.date = true, date }})
			}
			return s.profile(name, opts)
		}
	}
	var known []string
	for _, s := range sites {
		if !s.collection {
			known = append(known, s.name)
		}
	}
	help := "there are " + strings.Join(known, ", ")
	if nearest := hint.Nearest(bare, known...); nearest != "" {
		help = fmt.Sprintf("did you mean %q?", nearest)
	}
	return &Profile{name: name, err: fmt.Errorf("profile: no profile is called %q; %s", bare, help)}
}

// All yields all profiles, in the order of their names.
func All(opts ...Option) iter.Seq[*Profile] {
	return func(yield func(*Profile) bool) {
		for _, s := range sites {
			if !s.collection && !yield(s.profile(s.name, opts)) {
				return
			}
		}
	}
}

// profile returns a profile of the registry with the name and the options.
func (s *site) profile(name string, opts []Option) *Profile {
	p := &Profile{name: name, site: s}
	for _, o := range opts {
		if o.set == nil {
			p.err = fmt.Errorf("profile: an option of %s is the zero Option", name)
			return p
		}
		o.set(&p.set)
	}
	for option, patterns := range map[string][]string{"Public": p.set.public, "Repositories": p.set.repos} {
		for _, pattern := range patterns {
			if !names.Possible(pattern, names.Repository) {
				p.err = fmt.Errorf("profile %s: %s: no repository can have the name %q", name, option, pattern)
				return p
			}
		}
	}
	if p.quirks, p.err = s.choose(p.set); p.err != nil {
		p.err = fmt.Errorf("profile %s: %w", name, p.err)
		return p
	}
	p.authenticate()
	return p
}

// choose returns the quirks of the registry that the settings select, and those
// that With adds.
func (s *site) choose(set settings) (chosen []*quirk, err error) {
	if set.dated {
		if err := s.checkDate(set.date); err != nil {
			return nil, err
		}
	}
	for i := range s.quirks {
		if q := &s.quirks[i]; !q.setting && q.current(set.date) {
			chosen = append(chosen, q)
		}
	}
	for _, name := range set.except {
		q, err := name.find()
		if err != nil {
			return nil, err
		}
		i := index(chosen, q.Name)
		if i < 0 {
			return nil, fmt.Errorf("Except leaves out %s, which the profile does not have", name)
		}
		chosen = slices.Delete(chosen, i, i+1)
	}
	for _, name := range set.with {
		q, err := name.find()
		if err != nil {
			return nil, err
		}
		if index(chosen, q.Name) >= 0 {
			return nil, fmt.Errorf("With adds %s, which the profile has already", name)
		}
		if mine, its := s.access.kind(), q.of().access.kind(); q.do.needsAuth() && mine != its {
			return nil, fmt.Errorf("With adds %s, which needs %s; this registry has %s", name, its, mine)
		}
		chosen = append(chosen, q)
	}
	if set.noAuth {
		chosen = slices.DeleteFunc(chosen, func(q *quirk) bool { return q.do.needsAuth() })
	}
	return chosen, checkTogether(chosen)
}

// index returns the index of the named quirk in the slice, or -1.
func index(quirks []*quirk, name Quirk) int {
	return slices.IndexFunc(quirks, func(q *quirk) bool { return q.Name == name })
}

// checkTogether returns an error if two quirks decide the same setting.
func checkTogether(quirks []*quirk) error {
	by := make(map[string]*quirk)
	for _, q := range quirks {
		for _, thing := range q.do.decides() {
			if other := by[thing]; other != nil && other != q {
				return fmt.Errorf("%s and %s contradict each other: both decide %s; leave one out", other.Name, q.Name, thing)
			}
			by[thing] = q
		}
	}
	return nil
}

// Name returns the name of the profile, such as "ecr" or "gitlab@2026-08".
func (p *Profile) Name() string { return p.name }

// Title returns the name of the real registry, such as "Amazon ECR".
func (p *Profile) Title() string {
	if p.site == nil {
		return p.name
	}
	return p.site.title
}

// Quirks returns the quirks of the profile.
func (p *Profile) Quirks() []Quirk {
	all := make([]Quirk, len(p.quirks))
	for i, q := range p.quirks {
		all[i] = q.Name
	}
	return all
}

// Settings returns the quirks that depend on a setting of the real registry. The
// profile has such a quirk only if [With] adds it.
func (p *Profile) Settings() []Quirk {
	if p.site == nil {
		return nil
	}
	var names []Quirk
	for _, q := range p.site.quirks {
		if q.setting && q.current(p.set.date) {
			names = append(names, q.Name)
		}
	}
	return names
}

// NeedsRepository reports whether a push fails unless the repository, or its
// namespace, already exists. [Repositories] or content makes it exist.
func (p *Profile) NeedsRepository() bool {
	return slices.ContainsFunc(p.quirks, func(q *quirk) bool {
		return slices.ContainsFunc(q.do.decides(), func(thing string) bool { return thing == missingRepositories || thing == missingNamespaces })
	})
}

// Without returns the optional features that the registry lacks, for the field
// Without of conformance.Target.
func (p *Profile) Without() []registry.Feature {
	var features []registry.Feature
	for _, q := range p.quirks {
		for _, part := range q.do {
			if part.lacks != nil && !slices.Contains(features, part.lacks) {
				features = append(features, part.lacks)
			}
		}
	}
	return features
}

// Err returns an error if no profile has the name, if the sources do not cover
// its date, if an option is not valid for the profile, or if quirks contradict
// each other. Package registrytest fails the test with the error.
func (p *Profile) Err() error { return p.err }

// Exclusive returns "authentication" if the profile has authentication, and
// otherwise "". It tells package registrytest that a registry can have only one
// option for authentication.
func (p *Profile) Exclusive() string {
	if p.auth == nil {
		return ""
	}
	return p.auth.Exclusive()
}

// Options returns the handler options of a registry with the profile. It panics
// if [Profile.Err] returns an error.
func (p *Profile) Options() []registry.Option {
	if p.err != nil {
		panic(p.err.Error())
	}
	return newBuild(p).options()
}

// CheckStore returns the error of [auth.Auth.CheckStore] for the profile's
// authentication. Package registrytest calls it before a server starts.
func (p *Profile) CheckStore(store registry.Store) error {
	if p.auth == nil {
		return nil
	}
	return p.auth.CheckStore(store)
}

// CheckRequests logs which quirks of the profile affected a response, and which
// did not. Package registrytest calls it when a server with the profile is
// closed. The log of a test appears with the flag -v, or if the test fails.
func (p *Profile) CheckRequests(t journal.TB, r journal.Requests) {
	hint.NilTest("profile", "Profile.CheckRequests", t)
	t.Helper()
	logReceipts(t, p.name, p.Quirks(), r)
}
