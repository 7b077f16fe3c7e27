package explore

import (
	"fmt"
	"regexp"
	"slices"
)

// A shrinker simplifies violations by further runs. It makes no run twice.
type shrinker struct {
	x    *explorer
	made map[string]*judgement // by the fault and the rules
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
	shrunk := make(map[origin]int)    // the index of the violation from its first cell
	grouped := make(map[likeness]int) // the same by its simplest form
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
					to.family = "" // The text of the check identifies the violation.
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

// shrink returns the simplest run with a violation like v that it finds near the
// cell, and that violation.
func (s *shrinker) shrink(c cell, v Violation) (Violation, cell) {
	for range 16 { // A cell has fewer parts to leave out.
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

// judge makes the run of a cell, or returns its earlier judgement.
func (s *shrinker) judge(c cell) *judgement {
	k := key(c)
	if s.made[k] == nil {
		s.runs++
		j := s.x.judge(s.x.attempt(c.plan()), c)
		s.made[k] = &j
	}
	return s.made[k]
}

func key(c cell) string { return c.fault + "\x00" + c.plan().name }

// violation returns the violation of the kind of v, or nil. A run may fail
// several checks, so that of a check also has its text.
func (j *judgement) violation(v Violation) *Violation {
	for _, w := range j.violations {
		if w.Kind == v.Kind && (v.Kind != checks || w.general() == v.general()) {
			return &w
		}
	}
	return nil
}

// Patterns of the parts of a text that differ between runs with the same violation.
var (
	// particular matches digests and numbers.
	particular = regexp.MustCompile(`[0-9a-f]{7,}|[0-9]+(?:\.[0-9]+)?`)

	// manyOf matches a number and a noun, with its ending.
	manyOf = regexp.MustCompile(`(# (?:more )?[a-z]+?)s?\b`)

	// finding matches a finding of package lint, of which the method and the
	// broken rule are not particular.
	finding = regexp.MustCompile(`^lint: request \d+, (\S+) .*?; (breaks the rule )`)
)

// general returns the text of the violation without the details of one run.
func (v Violation) general() string {
	if v.Kind == storm {
		return "" // A client that was stopped has the same violation.
	}
	return general(v.Text)
}

func general(text string) string {
	text = finding.ReplaceAllString(text, "$1 $2")
	return manyOf.ReplaceAllString(particular.ReplaceAllString(text, "#"), "$1")
}

// collapse returns the texts without those that differ from an earlier one only in
// details, of which it has the number.
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
