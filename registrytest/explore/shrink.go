package explore

import (
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

// shrink returns the simplest run with a violation of the kind that it finds near
// the cell, and that violation.
func (s *shrinker) shrink(c cell, v Violation) (Violation, cell) {
	kind := v.Kind
	for range 16 { // A cell has fewer parts to leave out.
		simpler := c.simpler()
		i := slices.IndexFunc(simpler, func(c cell) bool {
			w := s.judge(c).violation(kind)
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

// violation returns the violation of the kind, or nil.
func (j *judgement) violation(kind string) *Violation {
	for _, v := range j.violations {
		if v.Kind == kind {
			return &v
		}
	}
	return nil
}

// particular matches digests and numbers, which differ between runs with the
// same violation.
var particular = regexp.MustCompile(`[0-9a-f]{7,}|[0-9]+(?:\.[0-9]+)?`)

// general returns the text of the violation without the details of one run.
func (v Violation) general() string {
	if v.Kind == storm {
		return "" // A client that was stopped has the same violation.
	}
	return particular.ReplaceAllString(v.Text, "#")
}
