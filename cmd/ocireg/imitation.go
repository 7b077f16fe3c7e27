package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ocireg/registry/registrytest/profile"
)

// An imitation holds the flags that choose the real registry to imitate.
type imitation struct {
	name         string // the name of a profile, or "" for the quirks alone
	quirks       []profile.Quirk
	repositories []string // the patterns of -create, for repositories that exist before a push
}

func (i *imitation) setName(v string) error {
	switch {
	case v == "":
		return errors.New("want a name; ocireg profiles lists them")
	case i.name != "":
		return fmt.Errorf("-profile %s is given already, and a registry behaves like one other registry", i.name)
	}
	i.name = v
	return nil
}

// addQuirks adds quirks from a list separated by commas.
func (i *imitation) addQuirks(v string) error {
	for name := range strings.SplitSeq(v, ",") {
		q := profile.Quirk(name)
		if err := q.Err(); err != nil {
			if name == "" {
				err = errors.New("want the name of a quirk, such as ecr.patch-201")
			} else if profile.Get(name).Err() == nil {
				err = fmt.Errorf("%s is a registry, for -profile", name)
			}
			return fmt.Errorf("%w; ocireg help profiles lists the quirks", err)
		}
		if slices.Contains(i.quirks, q) {
			return fmt.Errorf("%s is given twice", q)
		}
		i.quirks = append(i.quirks, q)
	}
	return nil
}

func (i *imitation) addRepository(v string) error {
	i.repositories = append(i.repositories, v)
	return nil
}

// given reports whether the command line names a profile or a quirk.
func (i *imitation) given() bool { return i.name != "" || len(i.quirks) > 0 }

// String describes the imitated registry, such as "a registry like ecr".
func (i *imitation) String() string {
	quirks := make([]string, len(i.quirks))
	for n, q := range i.quirks {
		quirks[n] = string(q)
	}
	switch with := strings.Join(quirks, ", "); {
	case i.name == "":
		return "a registry with " + with
	case with == "":
		return "a registry like " + i.name
	default:
		return "a registry like " + i.name + " with " + with
	}
}

// flag returns the flag that decides whether the registry asks for credentials.
func (i *imitation) flag() string {
	if i.name != "" {
		return "-profile"
	}
	return "-quirk"
}

// profile returns the named profile with the quirks, or a profile of the quirks alone.
func (i *imitation) profile() (*profile.Profile, error) {
	if i.name == "" {
		return i.quirksAlone()
	}
	for name := range strings.SplitSeq(i.name, "+") {
		if q := profile.Quirk(name); q.Err() == nil {
			return nil, fmt.Errorf("-profile %s: %s is a quirk, and -profile takes the name of one registry; -quirk %s adds it; ocireg profiles lists the registries", i.name, q, q)
		}
	}
	repositories := profile.Repositories(i.repositories...)
	p := profile.Get(i.name, repositories)
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("-profile: %w; ocireg profiles lists them", err)
	}
	for _, q := range i.quirks {
		if slices.Contains(p.Quirks(), q) {
			return nil, fmt.Errorf("-quirk %s: the profile %s has it already; leave it out", q, i.name)
		}
	}
	p = profile.Get(i.name, repositories, profile.With(i.quirks...))
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("-quirk: %w", err)
	}
	return p, nil
}

// quirksAlone returns a profile that consists of the quirks. Its authentication
// is that of the first quirk that concerns authentication.
func (i *imitation) quirksAlone() (*profile.Profile, error) {
	others := slices.Clone(i.quirks)
	at := max(0, slices.IndexFunc(others, func(q profile.Quirk) bool { return q.Profile().Auth() != nil }))
	first := others[at]
	others = slices.Delete(others, at, at+1)
	p := first.Profile(profile.Repositories(i.repositories...), profile.With(others...))
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("-quirk: %w", err)
	}
	return p, nil
}

// addProfile makes the registry behave like the imitated one, and adds the users
// and rules of the command line.
func (s *settings) addProfile(like imitation, who *access) (err error) {
	p, err := like.profile()
	if err != nil {
		return err
	}
	switch a := p.Auth(); {
	case a == nil && like.name != "" && len(who.users)+len(who.rules) > 0:
		return fmt.Errorf("-user and -allow need authentication, which the profile %s does not have", like.name)
	case who.token && (a != nil || like.name != ""):
		return fmt.Errorf("-token contradicts %s, which decides about the authentication", like.flag())
	case a != nil:
		if err := who.addTo(a); err != nil {
			return err
		}
		s.auth = a
		if len(who.users) == 0 {
			s.login = p.Credentials()
		}
	case like.name == "":
		if err := s.addUsers(who); err != nil {
			return err
		}
	}
	s.mustCreate, s.created = p.NeedsRepository(), like.repositories
	s.options = append(s.options, p.Options()...)
	return nil
}

// addUsers makes the registry ask for credentials, if the command line has users
// or rules.
func (s *settings) addUsers(who *access) (err error) {
	if s.auth, err = who.auth(); err != nil {
		return fmt.Errorf("%w; ocireg -h shows the usage", err)
	}
	if s.auth != nil {
		s.options = append(s.options, s.auth.Options()...)
	}
	return nil
}
