package fault

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/ocireg/registry/internal/hint"
)

// Check fails the test if the rule hit no request, or fewer than it says, or if a word
// of the rule had no effect on any request. If the test has failed already, Check only
// logs this. A rule that is [Rule.Optional] does not fail the test. Only the first call
// of Check reports anything.
//
// [Rules.Set] calls Check at the end of the test.
func (f *Fault) Check(t TB) {
	mustHaveTest(t, "Fault.Check")
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.checked {
		return
	}
	f.checked = true
	problem := f.problem()
	switch {
	case problem != "" && !t.Failed():
		t.Errorf("fault: %s", problem)
	case problem != "":
		t.Logf("fault: %s", problem)
	case t.Failed() && f.chancy():
		t.Logf("fault: %s %q hit %s by chance, with seed=%d", f.noun, f.name, requests(f.fired), f.rule.seed)
	}
}

// chancy reports whether chance decides which requests the rule hits.
func (f *Fault) chancy() bool {
	return slices.ContainsFunc(f.stages, func(st *stage) bool { return st.part.probability < 1 })
}

// problem returns a report of the words of the rule that did not happen, or "".
func (f *Fault) problem() string {
	if f.rule.optional {
		return ""
	}
	var b, passed strings.Builder
	certain := true // whether the part is certain to be reached, and to hit requests
	for _, st := range f.stages {
		want := max(st.part.times, 1)
		if !st.part.does() && st.fired > 0 {
			fmt.Fprintf(&passed, "%s let %s pass\n", strings.Join(st.part.words, " "), requests(st.fired))
		}
		certain = certain && st.part.probability == 1
		switch {
		case certain && st.part.does() && st.fired < want:
			fmt.Fprintf(&b, "%s hit %s, not %d\n", strings.Join(st.part.words, " "), requests(st.fired), want)
		case st.fired > 0:
			for i, e := range st.part.effects {
				if e.word != "" && !st.met[i].Load() {
					fmt.Fprintf(&b, "%s had no effect on the %s that the rule hit\n", e.word, requests(st.fired))
				}
			}
		}
	}
	if b.Len() == 0 {
		return ""
	}
	b.WriteString(passed.String())
	others := f.fired > 0 || passed.Len() > 0
	switch {
	case f.near.n > 0:
		fmt.Fprintf(&b, "it nearly hit these requests:\n%s", &f.near)
	case f.others.n > 0 && others:
		fmt.Fprintf(&b, "none of the other requests met its conditions:\n%s", &f.others)
	case f.others.n > 0:
		fmt.Fprintf(&b, "none of these requests met its conditions:\n%s", &f.others)
	case !others:
		b.WriteString("there was no request\n")
	}
	name := f.title()
	if f.chancy() {
		name += fmt.Sprintf(" with seed=%d", f.rule.seed)
	}
	return name + " did not happen as it says:\n\t" + strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", "\n\t")
}

// title returns the rule, and the line of the test that has set it, for messages.
func (f *Fault) title() string {
	title := fmt.Sprintf("%s %q", f.noun, f.name)
	if f.where != "" {
		title += ", set at " + f.where + ","
	}
	return title
}

// requests returns a number of requests in words, such as "1 request".
func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
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
		fmt.Fprintf(&b, "\t%s\n", plural(rest, "other"))
	}
	return b.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// caller returns the file and line of the user's code that called package registrytest,
// or a package below it. It returns "" if a handler made the call for a request.
func caller() string {
	const (
		module = "github.com/ocireg/registry/"
		own    = module + "registrytest"
	)
	pcs := make([]uintptr, 20)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "net/http.") || strings.HasPrefix(frame.Function, module+"internal/jsonapi.") {
			return ""
		}
		if frame.File != "" && (!strings.HasPrefix(frame.Function, own) || strings.HasSuffix(frame.File, "_test.go")) {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// didYouMean returns the end of a message about a misspelt word: a suggestion, or "".
func didYouMean(misspelt string, words []string) string {
	if nearest := hint.Nearest(misspelt, words...); nearest != "" {
		return fmt.Sprintf("; did you mean %q?", nearest)
	}
	return ""
}

// mustHaveTest panics if t is nil.
func mustHaveTest(t TB, method string) {
	hint.NilTest("fault", method, t)
}
