package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ocireg/registry/registrytest/profile"
)

// listProfiles lists all profiles or, given the name of one, its quirks with
// their sources.
func listProfiles(args []string, out io.Writer) error {
	switch len(args) {
	case 0:
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for p := range profile.All() {
			quirks := fmt.Sprint(len(p.Quirks()), " quirks")
			if len(p.Quirks()) == 1 {
				quirks = "1 quirk"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name(), p.Title(), quirks)
		}
		return w.Flush()
	case 1:
		p := profile.Get(args[0])
		if err := p.Err(); err != nil {
			return err
		}
		for _, q := range p.Quirks() {
			printFact(out, q.Fact(), "")
		}
		for _, q := range p.Settings() {
			printFact(out, q.Fact(), " (setting, profile.With in Go)")
		}
		return nil
	}
	return fmt.Errorf("profiles takes the name of one profile, got %d; ocireg profiles lists them", len(args))
}

// printFact prints the name of a quirk with a mark, its sentence and its source.
func printFact(out io.Writer, f profile.Fact, mark string) {
	fmt.Fprintf(out, "%s%s: %s\n    %s (%s, %s%s)\n", f.Name, mark, f.Sentence, f.Source, f.Evidence, cmp.Or(f.Date, "undated"), period(f))
}

// period returns the known dates between which the registry has the quirk.
func period(f profile.Fact) string {
	if f.From == "" && f.Until == "" {
		return ""
	}
	return fmt.Sprintf("; from %s until %s", cmp.Or(f.From, "?"), cmp.Or(f.Until, "now"))
}

// An imitation is the real registry that the command line names.
type imitation struct {
	name         string   // or ""
	repositories []string // patterns of those that exist before a push
}

func (i *imitation) setName(v string) error {
	switch {
	case v == "":
		return errors.New("want a name; ocireg profiles lists them")
	case i.name != "":
		return fmt.Errorf("a registry behaves like one other, and -profile %s is given already", i.name)
	}
	i.name = v
	return nil
}

func (i *imitation) addRepository(v string) error {
	i.repositories = append(i.repositories, v)
	return nil
}

// addProfile makes the registry behave like the real one, with the users of the
// command line.
func (s *settings) addProfile(like imitation, who *access) error {
	for name := range strings.SplitSeq(like.name, "+") {
		if q := profile.Quirk(name); q.Err() == nil {
			return fmt.Errorf("-profile %s: %s is a quirk, and -profile takes the name of one registry; for settings and single quirks there is profile.With in Go; ocireg profiles lists the registries", like.name, q)
		}
	}
	p := profile.Get(like.name, profile.Repositories(like.repositories...))
	if err := p.Err(); err != nil {
		return fmt.Errorf("-profile: %w; ocireg profiles lists them", err)
	}
	if who.token {
		return fmt.Errorf("-token contradicts -profile: the profile decides about the authentication")
	}
	if a := p.Auth(); a != nil {
		if err := who.addTo(a); err != nil {
			return err
		}
		s.auth = a
		if len(who.users) == 0 {
			s.login = p.Credentials()
		}
	} else if len(who.users)+len(who.rules) > 0 {
		return fmt.Errorf("-user and -allow need authentication, which the profile %s does not have", like.name)
	}
	s.mustCreate, s.created = p.MustCreate(), like.repositories
	s.options = append(s.options, p.Options()...)
	return nil
}
