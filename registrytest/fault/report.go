package fault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/hint"
)

// Report implements [inject.Injector].
func (in *injector) Report() (problem, note string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.chancy() {
		note = fmt.Sprintf("hit %s by chance, with seed=%d", hint.Count(in.fired, "request"), in.rule.seed)
	}
	return in.problem(), note
}

// chancy reports whether chance decides which requests the rule hits.
func (in *injector) chancy() bool {
	return slices.ContainsFunc(in.stages, func(st *stage) bool { return st.part.probability < 1 })
}

// problem returns a report of the parts of the rule that hit too few requests, and of
// its words that had no effect. It returns "" if there are none, or the rule is Optional.
func (in *injector) problem() string {
	if in.rule.optional {
		return ""
	}
	var b, passed strings.Builder
	certain := true // whether the part is certain to be reached, and to hit requests
	for _, st := range in.stages {
		want := max(st.part.times, 1)
		if !st.part.does() && st.fired > 0 {
			fmt.Fprintf(&passed, "%s let %s pass\n", strings.Join(st.part.words, " "), hint.Count(st.fired, "request"))
		}
		certain = certain && st.part.probability == 1
		switch {
		case certain && st.part.does() && st.fired < want:
			fmt.Fprintf(&b, "%s hit %s, not %d\n", strings.Join(st.part.words, " "), hint.Count(st.fired, "request"), want)
		case st.fired > 0:
			for i, e := range st.part.effects {
				if e.word != "" && !st.met[i].Load() {
					fmt.Fprintf(&b, "%s had no effect on the %s that the rule hit\n", e.word, hint.Count(st.fired, "request"))
				}
			}
		}
	}
	if b.Len() == 0 {
		return ""
	}
	b.WriteString(passed.String())
	others := in.fired > 0 || passed.Len() > 0
	switch {
	case in.near.n > 0:
		fmt.Fprintf(&b, "it nearly hit these requests:\n%s", &in.near)
	case in.others.n > 0 && others:
		fmt.Fprintf(&b, "none of the other requests met its conditions:\n%s", &in.others)
	case in.others.n > 0:
		fmt.Fprintf(&b, "none of these requests met its conditions:\n%s", &in.others)
	case !others:
		b.WriteString("there was no request\n")
	}
	seed := ""
	if in.chancy() {
		seed = fmt.Sprintf("with seed=%d ", in.rule.seed)
	}
	return seed + "did not happen as it says:\n\t" + strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", "\n\t")
}

// maxTally is the number of different texts that a tally keeps.
const maxTally = 8

// A tally counts texts. It keeps the first maxTally different ones.
type tally struct {
	n      int
	texts  []string
	counts []int
}

func (t *tally) add(text string) {
	t.n++
	i := slices.Index(t.texts, text)
	if i < 0 {
		if len(t.texts) == maxTally {
			return
		}
		i = len(t.texts)
		t.texts, t.counts = append(t.texts, text), append(t.counts, 0)
	}
	t.counts[i]++
}

func (t *tally) String() string {
	var b strings.Builder
	rest := t.n
	for i, text := range t.texts {
		fmt.Fprintf(&b, "\t%d × %s\n", t.counts[i], text)
		rest -= t.counts[i]
	}
	if rest > 0 {
		fmt.Fprintf(&b, "\t%s\n", hint.Count(rest, "other"))
	}
	return b.String()
}

// didYouMean returns the end of a message about a misspelt word: a suggestion, or "".
func didYouMean(misspelt string, words []string) string {
	if nearest := hint.Nearest(misspelt, words...); nearest != "" {
		return fmt.Sprintf("; did you mean %q?", nearest)
	}
	return ""
}
