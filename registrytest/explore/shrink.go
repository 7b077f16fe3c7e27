package explore

import (
	"fmt"
	"regexp"
	"slices"
)

// A shrinker simplifies violations by further runs. It makes no run twice.
type shrinker struct {
	x    *explorer
	made map[string]*judgement // the judgements of all runs so far, by key
	runs int
}

// shrinkAll returns the violations of the runs in their simplest form, and
// merges equal ones.
func (x *explorer) shrinkAll(cells []cell, judged []*judgement) (list []Violation, runs int) {
	s := &shrinker{x: x, made: make(map[string]*judgement)}
	for i, j := range judged {
		if j != nil {
			s.made[key(cells[i])] = j
		}
	}
	type origin struct{ kind, family, column, text string }
	type likeness struct{ kind, family, text string }
	shrunk := make(map[origin]int)    // indexes in list, by the violation before shrinking
	grouped := make(map[likeness]int) // indexes in list, by the violation after shrinking
	for i, j := range judged {
		if j == nil {
			continue
		}
		var seen []int // A run may have several violations that are alike.
		for _, v := range j.violations {
			from := origin{v.Kind, cells[i].family(), cells[i].column, v.general()}
			at, ok := shrunk[from]
			if !ok || from.column == "" { // Pairs can be compared only after shrinking.
				simple, c := s.shrink(cells[i], v)
				to := likeness{v.Kind, c.family(), simple.general()}
				if v.Kind == checks {
					to.family = "" // The text of a check identifies the violation, whatever the fault.
				}
				if at, ok = grouped[to]; !ok {
					at = len(list)
					grouped[to] = at
					list = append(list, simple)
				}
				shrunk[from] = at
			}
			if !slices.Contains(seen, at) {
				seen = append(seen, at)
				list[at].add(j.cell)
			}
		}
	}
	return list, s.runs
}

// add counts the run of a cell among those that show the violation.
func (v *Violation) add(c Cell) {
	v.Runs++
	if !slices.Contains(v.Faults, c.Fault) {
		v.Faults = append(v.Faults, c.Fault)
	}
	if c.Request != "" && !slices.Contains(v.Requests, c.Request) {
		v.Requests = append(v.Requests, c.Request)
	}
}

// shrink simplifies the cell as long as its run shows a violation like v. It
// returns the violation of the simplest run, and the cell of that run.
func (s *shrinker) shrink(c cell, v Violation) (Violation, cell) {
	for range 16 { // more steps than a cell has parts to leave out
		simpler := c.simpler()
		i := slices.IndexFunc(simpler, func(c cell) bool {
			w := s.judge(c).violation(v)
			if w != nil {
				v = *w
			}
			return w != nil
		})
		if i < 0 {
			break
		}
		c = simpler[i]
	}
	return v, c
}

// judge returns the judgement of the cell's run. It makes the run unless it
// has made it before.
func (s *shrinker) judge(c cell) *judgement {
	k := key(c)
	if s.made[k] == nil {
		s.runs++
		var j judgement // without violations, if the watchdog gives the run up
		if r := s.x.attempt(c.plan()); r != nil {
			j = s.x.judge(r, c)
		}
		s.made[k] = &j
	}
	return s.made[k]
}

func key(c cell) string { return c.fault + "\x00" + c.plan().name }

// violation returns the violation in j that is like v, or nil. Violations are
// alike if they have the same kind. A run may fail several checks, so violations
// of that kind must have the same text, too.
func (j *judgement) violation(v Violation) *Violation {
	for _, w := range j.violations {
		if w.Kind == v.Kind && (v.Kind != checks || w.general() == v.general()) {
			return &w
		}
	}
	return nil
}

// These patterns match the parts of a violation's text that differ from run to run.
var (
	// particular matches digests and numbers.
	particular = regexp.MustCompile(`[0-9a-f]{7,}|[0-9]+(?:\.[0-9]+)?`)

	// manyOf matches a number, replaced by #, and a noun in the singular or plural.
	manyOf = regexp.MustCompile(`(# (?:more )?[a-z]+?)s?\b`)

	// finding matches a finding of package lint up to the broken rule. Its groups
	// are the parts to keep.
	finding = regexp.MustCompile(`^lint: request \d+, (\S+) .*?; (breaks the rule )`)
)

// general returns the text of the violation without the details of one run.
func (v Violation) general() string {
	if v.Kind == storm {
		return "" // The text depends on whether the client was stopped.
	}
	return general(v.Text)
}

func general(text string) string {
	text = finding.ReplaceAllString(text, "$1 $2")
	return manyOf.ReplaceAllString(particular.ReplaceAllString(text, "#"), "$1")
}

// collapse merges texts that differ only in details. It keeps the first of each
// kind, and adds the number of texts that it stands for.
func collapse(texts []string) (list []string) {
	times := make(map[string]int)
	for _, text := range texts {
		times[general(oneLine(text))]++
	}
	for _, text := range texts {
		text = oneLine(text)
		kind := general(text)
		n := times[kind]
		if n > 1 {
			text += fmt.Sprintf(" (%d times)", n)
		}
		if n > 0 {
			list = append(list, text)
		}
		times[kind] = 0
	}
	return list
}
