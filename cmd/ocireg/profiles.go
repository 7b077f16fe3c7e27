package main

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/profile"
)

// listProfiles lists all profiles. With the name of a profile it lists its quirks
// with their sources, and with the name of a quirk it describes the quirk.
func listProfiles(args []string, out io.Writer) error {
	switch len(args) {
	case 0:
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for p := range profile.All() {
			fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name(), p.Title(), hint.Count(len(p.Quirks()), "quirk"))
		}
		return w.Flush()
	case 1:
		if q := profile.Quirk(args[0]); q.Err() == nil {
			printFact(out, q, "")
			return nil
		}
		p := profile.Get(args[0])
		if err := p.Err(); err != nil {
			return err
		}
		for _, q := range p.Quirks() {
			printFact(out, q, "")
		}
		for _, q := range p.Settings() {
			printFact(out, q, " (setting, which -quirk adds)")
		}
		_, err := io.WriteString(out, "docs/profiles.md links to the sources.\n")
		return err
	}
	return fmt.Errorf("profiles takes the name of one profile, got %d; ocireg profiles lists them", len(args))
}

// helpProfiles lists the profiles and the names of all quirks.
func helpProfiles(out io.Writer) error {
	if err := listProfiles(nil, out); err != nil {
		return err
	}
	var names []string
	for q := range profile.AllQuirks() {
		names = append(names, string(q))
	}
	_, err := fmt.Fprintf(out, "\nThe quirks, for -quirk; \"ocireg profiles\" and a name of either list describes them:\n\n%s", wrap(names, "  "))
	return err
}

// printFact prints the name of a quirk, a mark, its description and its source.
func printFact(out io.Writer, q profile.Quirk, mark string) {
	f := q.Fact()
	source := f.Source
	about := fmt.Sprintf("(%s, %s%s)", f.Evidence, cmp.Or(f.Date, "undated"), period(f))
	if len("    ")+len(source)+len(" ")+len(about) > lineWidth {
		source = place(source)
	}
	fmt.Fprintf(out, "%s%s:\n%s    %s %s\n", f.Name, mark, wrap(strings.Fields(f.Sentence), "    "), source, about)
}

// lineWidth is the maximum length of a line in the help about profiles, in
// characters.
const lineWidth = 100

// place returns the host of a URL. For GitHub it adds the repository.
func place(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		return source
	}
	parts := strings.SplitN(strings.TrimPrefix(u.Path, "/"), "/", 3)
	if u.Host == "github.com" && len(parts) > 2 {
		return path.Join(u.Host, parts[0], parts[1])
	}
	return u.Host
}

// wrap joins the words into lines of at most lineWidth characters, each
// after the indentation.
func wrap(words []string, indent string) string {
	var b strings.Builder
	width := 0
	for _, word := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case width == 0:
			b.WriteString(indent)
			width = len(indent)
		case width+1+n > lineWidth:
			b.WriteString("\n" + indent)
			width = len(indent)
		default:
			b.WriteString(" ")
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String() + "\n"
}

// period returns the dates from which and until which the registry has the quirk,
// as far as they are known, or "".
func period(f profile.Fact) string {
	if f.From == "" && f.Until == "" {
		return ""
	}
	return fmt.Sprintf("; from %s until %s", cmp.Or(f.From, "?"), cmp.Or(f.Until, "now"))
}
