package check

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/hint"
)

// A group holds the results of one requirement for all tasks.
type group struct {
	Requirement
	results []Result
}

// groups returns the results for the level, grouped by requirement, in the order
// of the first result of each.
func (r *Report) groups(l Level) (groups []group) {
	for _, result := range r.Results {
		if result.Level != l {
			continue
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.Name == result.Name })
		if i < 0 {
			groups = append(groups, group{Requirement: result.Requirement})
			i = len(groups) - 1
		}
		groups[i].results = append(groups[i].results, result)
	}
	return groups
}

// with returns the results in the group that have the outcome.
func (g group) with(o Outcome) (results []Result) {
	for _, r := range g.results {
		if r.Outcome == o {
			results = append(results, r)
		}
	}
	return results
}

// outcome returns the first of violated, held and observed that a result in the
// group has, or not tried.
func (g group) outcome() Outcome {
	for _, o := range []Outcome{Violated, Held, Observed} {
		if len(g.with(o)) > 0 {
			return o
		}
	}
	return NotTried
}

// tasks returns the names of the results' tasks, separated by commas.
func tasks(results []Result) string {
	var names []string
	for _, r := range results {
		names = append(names, r.Task)
	}
	return strings.Join(names, ", ")
}

// counts returns the numbers of requirements of the level that were held,
// violated and not tried.
func (r *Report) counts(l Level) (held, violated, notTried int) {
	for _, g := range r.groups(l) {
		switch g.outcome() {
		case Held:
			held++
		case Violated:
			violated++
		case NotTried:
			notTried++
		}
	}
	return held, violated, notTried
}

// summary returns a line with the counts for the level.
func (r *Report) summary(l Level) string {
	held, violated, notTried := r.counts(l)
	return fmt.Sprintf("%s: %d held, %d violated, %d not tried", l, held, violated, notTried)
}

// A printer writes formatted text to w until the first error, which it keeps.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// WriteText writes the report as plain text for people to read.
func (r *Report) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.printf("%s\n", r.title())
	if len(r.Crashes) > 0 {
		p.printf("\n%s\n", r.crashed())
	}
	for _, c := range r.Crashes {
		p.printf("  CRASHED   %s, in the scenario %s: %s\n", c.Task, c.Scenario, printable(c.Detail))
		p.printf("                $ %s\n", printable(c.Command))
		for _, line := range c.Requests {
			p.printf("                %s\n", line)
		}
	}
	for _, l := range []Level{Must, Should} {
		p.printf("\n%s\n", r.summary(l))
		for _, g := range r.groups(l) {
			switch g.outcome() {
			case NotTried:
				continue
			case Held:
				p.printf("  held      %s (%s)\n", g.Name, tasks(g.with(Held)))
				continue
			}
			p.printf("  VIOLATED  %s (%s)\n", g.Name, g.Section)
			p.printf("            %q\n", g.Text)
			for _, v := range g.with(Violated) {
				p.printf("            %s: %s\n", v.Task, printable(v.Detail))
				if v.Command != "" {
					p.printf("                $ %s\n", printable(v.Command))
				}
				for _, line := range v.Requests {
					p.printf("                %s\n", line)
				}
			}
			if held := g.with(Held); len(held) > 0 {
				p.printf("            held by %s\n", tasks(held))
			}
		}
	}
	if notes := r.groups(Note); len(notes) > 0 {
		p.printf("\nNo requirements:\n")
		for _, g := range notes {
			for _, o := range g.with(Observed) {
				p.printf("  %s (%s): %s\n", g.Name, o.Task, printable(o.Detail))
			}
		}
	}
	if untried := r.untried(); len(untried) > 0 {
		p.printf("\nNot tried:\n")
		for _, g := range untried {
			p.printf("  %s: %s\n", g.Name, g.results[0].Detail)
		}
	}
	return p.err
}

// untried returns the requirements, with their results, that were tried for no task.
func (r *Report) untried() (groups []group) {
	for _, l := range []Level{Must, Should} {
		for _, g := range r.groups(l) {
			if g.outcome() == NotTried {
				groups = append(groups, g)
			}
		}
	}
	return groups
}

// title returns the first line of the report.
func (r *Report) title() string {
	title := r.Client
	if r.Version != "" && r.Version != r.Client {
		title += " (" + r.Version + ")"
	}
	at := ""
	if r.Like != "" {
		at = ", against " + printable(r.Like)
	}
	return fmt.Sprintf("%s: %s ran%s", printable(title), hint.Count(r.Runs, "command"), at)
}

// crashed returns a line with the number of commands that crashed.
func (r *Report) crashed() string { return "Crashes: " + hint.Count(len(r.Crashes), "command") }

func printable(s string) string { return field.Printable(field.Shorten(s, 1000)) }

// cell escapes a text for a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "`", "'").Replace(printable(s))
}

// WriteMarkdown writes the report as tables in Markdown.
func (r *Report) WriteMarkdown(w io.Writer) error {
	p := &printer{w: w}
	p.printf("## %s\n", cell(r.title()))
	if len(r.Crashes) > 0 {
		p.printf("\n### %s\n\n| Command | Scenario | How it ended |\n|---|---|---|\n", r.crashed())
	}
	for _, c := range r.Crashes {
		p.printf("| %s | %s | **crashed**: %s |\n", cell(c.Task), c.Scenario, cell(c.Detail))
	}
	for _, l := range []Level{Must, Should} {
		p.printf("\n### %s\n\n| Requirement | Outcome | Section |\n|---|---|---|\n", r.summary(l))
		for _, g := range r.groups(l) {
			var parts []string
			for _, v := range g.with(Violated) {
				parts = append(parts, fmt.Sprintf("**violated** by %s: %s", cell(v.Task), cell(v.Detail)))
			}
			if held := g.with(Held); len(held) > 0 {
				parts = append(parts, "held by "+cell(tasks(held)))
			}
			if len(parts) == 0 {
				parts = append(parts, "not tried: "+cell(g.results[0].Detail))
			}
			p.printf("| %s | %s | [%s](%s) |\n", cell(g.Name), strings.Join(parts, "<br>"), g.Section, g.URL())
		}
	}
	if notes := r.groups(Note); len(notes) > 0 {
		p.printf("\n### No requirements\n\n| | What the client does |\n|---|---|\n")
		for _, g := range notes {
			for _, o := range g.with(Observed) {
				p.printf("| %s | %s: %s |\n", cell(g.Name), cell(o.Task), cell(o.Detail))
			}
		}
	}
	return p.err
}

// WriteJSON writes the report as an object in JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	type result struct {
		Task        string   `json:"task"`
		Requirement string   `json:"requirement"`
		Level       Level    `json:"level"`
		Section     string   `json:"section"`
		URL         string   `json:"url"`
		Text        string   `json:"text"`
		Outcome     Outcome  `json:"outcome"`
		Detail      string   `json:"detail,omitempty"`
		Command     string   `json:"command,omitempty"`
		Requests    []string `json:"requests,omitempty"`
	}
	report := struct {
		Client  string   `json:"client"`
		Version string   `json:"version,omitempty"`
		Like    string   `json:"registry,omitempty"`
		Runs    int      `json:"runs"`
		Crashes []Crash  `json:"crashes"`
		Results []result `json:"results"`
	}{r.Client, r.Version, r.Like, r.Runs, append([]Crash{}, r.Crashes...), []result{}}
	for _, x := range r.Results {
		report.Results = append(report.Results, result{x.Task, x.Name, x.Level, x.Section, x.URL(), x.Text, x.Outcome, x.Detail, x.Command, x.Requests})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

// These are the elements of a JUnit file.
type (
	suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *message `xml:"failure,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
		Output  string   `xml:"system-out,omitempty"`
	}
	message struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as a JUnit file, with a test case for each crash, and
// one for each requirement and task. If strict is set, a violation of a [Should] is a failure.
// Otherwise it is output of a test case that passes.
func (r *Report) WriteJUnit(w io.Writer, strict bool) error {
	s := suite{Name: printable(r.Client), Failures: len(r.Crashes)}
	for _, c := range r.Crashes {
		text := "$ " + printable(c.Command)
		for _, line := range c.Requests {
			text += "\n" + line
		}
		s.Cases = append(s.Cases, testCase{
			Class: printable(r.Client) + "." + printable(c.Task), Name: "crash: " + c.Scenario, Failure: &message{printable(c.Detail), "crash", text},
		})
	}
	for _, x := range r.Results {
		c := testCase{Class: printable(r.Client) + "." + printable(x.Task), Name: string(x.Level) + ": " + x.Name}
		text := x.Section + ": " + x.Text
		if x.Command != "" {
			text += "\n$ " + printable(x.Command)
		}
		for _, line := range x.Requests {
			text += "\n" + line
		}
		switch {
		case x.Outcome == NotTried:
			c.Skipped = &message{Message: printable(x.Detail)}
			s.Skipped++
		case x.Outcome == Violated && (strict || x.Level == Must):
			c.Failure = &message{printable(x.Detail), string(x.Level), text}
			s.Failures++
		case x.Outcome != Held:
			c.Output = fmt.Sprintf("%s: %s\n%s", x.Outcome, printable(x.Detail), text)
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
