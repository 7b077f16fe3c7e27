package fault

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// Faults are the rules of what goes wrong with a registry. The zero Faults has
// none and is ready to be used; it must not be copied. A [Server] has one, and
// [Server.Fault] adds to it. In a handler that a test serves in its own way, it
// is used like this:
//
//	var faults fault.Rules
//	handler := registry.New(store, registry.WithFaults(faults.Inject))
//
// Rules may be added and removed at any time. Several of them can hit the same
// request, in the order in which they were added: their waits, their changes of
// the request, of the header and of the body add up in that order. Only one can
// answer a request or end its connection in place of an answer. A rule that
// does is passed over when one before it does, and waits for the next request:
// so two rules that answer once each hit one request after the other.
type Rules struct {
	mu    sync.Mutex // held to change rules
	rules atomic.Pointer[[]*Fault]
}

// Fault adds a rule until the end of the test. The test fails then if the rule
// has hit no request, or not as many as it said: it was not tested what was
// meant to be. The same goes for what can have no effect, such as a byte that
// is to be corrupted and never comes.
func (f *Rules) Fault(t TB, r Rule) *Fault {
	t.Helper()
	in, err := f.Add(r)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	in.until(t)
	return in
}

// until has the rule removed and checked at the end of the test.
func (in *Fault) until(t TB) {
	in.where = caller()
	t.Cleanup(func() {
		t.Helper()
		in.Remove()
		in.Check(t)
	})
}

// Add adds a rule until it is removed. It fails if the rule makes no sense.
func (f *Rules) Add(r Rule) (*Fault, error) {
	spec, err := r.compile(false)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(spec.stages, (*ruleStage).does) {
		return nil, fmt.Errorf("fault rule %q: nothing happens in it", r)
	}
	return f.add(r, spec), nil
}

func (f *Rules) add(r Rule, spec *ruleSpec) *Fault {
	in := &Fault{name: r.String(), spec: spec, faults: f}
	f.change(func(rules []*Fault) []*Fault { return append(rules, in) })
	return in
}

// change replaces the rules.
func (f *Rules) change(change func([]*Fault) []*Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rules []*Fault
	if p := f.rules.Load(); p != nil {
		rules = slices.Clone(*p)
	}
	if rules = change(rules); len(rules) == 0 {
		f.rules.Store(nil)
		return
	}
	f.rules.Store(&rules)
}

// Inject returns what is to go wrong with the request, or nil. It is for
// [registry.WithFaults].
func (f *Rules) Inject(r *registry.Request) *registry.Fault {
	rules := f.rules.Load()
	if rules == nil {
		return nil
	}
	var p *plan
	for _, in := range *rules {
		stage, h := in.meet(r, p != nil && p.serve != nil)
		if stage == nil {
			continue
		}
		if p == nil {
			p = newPlan(r)
		}
		p.add(in, stage, h)
	}
	if p == nil {
		return nil
	}
	return p.fault()
}

// add adds what the rule does.
func (p *plan) add(in *Fault, stage *ruleStage, h hit) {
	p.names = append(p.names, in.name)
	if stage.answers {
		serve := stage.answer.serve(in.name)
		if stage.end != nil {
			serve = func(http.ResponseWriter, *registry.Request) error { return stage.end }
		}
		p.serve, p.afterCommit = serve, p.afterCommit || stage.afterCommit
	}
	for _, e := range stage.effects {
		e(p, h)
	}
	if stage.firstBytes > 0 {
		p.count(&stage.bytes)
	}
}

// An Injection is a rule that was added to [Faults].
type Fault struct {
	name   string
	spec   *ruleSpec
	faults *Rules
	where  string // in the test's code, or ""

	mu      sync.Mutex
	stage   int  // the index in spec.stages
	ended   bool // all stages have
	fired   int
	checked bool
	asked   map[string]uint64 // how often what, where something happens by chance
	near    tally             // what met all conditions but one
	others  tally
}

// Fired returns how many requests the rule has hit.
func (in *Fault) Fired() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fired
}

// Remove ends the rule. It does not end what happens to requests that it has
// hit.
func (in *Fault) Remove() {
	in.faults.change(func(rules []*Fault) []*Fault {
		return slices.DeleteFunc(rules, func(other *Fault) bool { return other == in })
	})
}

// String returns the rule.
func (in *Fault) String() string { return in.name }

// meet returns what the rule does to the request, or nil if it does not hit
// it. Answered says that a rule before has answered it.
func (in *Fault) meet(r *registry.Request, answered bool) (*ruleStage, hit) {
	missed := in.spec.missed(r)
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.ended && in.spec.stages[in.stage].spent() {
		in.next()
	}
	if in.ended {
		return nil, hit{}
	}
	stage := in.spec.stages[in.stage]
	switch {
	case len(missed) == 1 && len(in.spec.conditions) > 1:
		in.near.add(r.String() + ", but for " + missed[0])
		return nil, hit{}
	case len(missed) > 0:
		in.others.add(r.String())
		return nil, hit{}
	case stage.answers && answered:
		in.near.add(r.String() + ", but a rule before has answered it")
		return nil, hit{}
	}
	h := in.hit(stage, r)
	stage.matched++
	if !stage.due(h) {
		in.near.add(r.String() + ", but it was not its turn")
		return nil, hit{}
	}
	stage.fired++
	if stage.fired == stage.times {
		in.next()
	}
	if !stage.does() {
		return nil, hit{}
	}
	in.fired++
	return stage, h
}

// next goes on to the next stage.
func (in *Fault) next() {
	if in.stage++; in.stage == len(in.spec.stages) {
		in.ended = true
	}
}

// hit returns what decides about what happens by chance to the request. It
// does not depend on what other requests there are at the same time.
func (in *Fault) hit(stage *ruleStage, r *registry.Request) hit {
	if !stage.chance() && !stage.said["jitter"] {
		return hit{}
	}
	if in.asked == nil {
		in.asked = make(map[string]uint64)
	}
	what := r.String()
	in.asked[what]++
	hash := fnv.New64a()
	fmt.Fprintln(hash, in.stage, in.asked[what], what)
	return hit{rand.New(rand.NewPCG(in.spec.seed, hash.Sum64()))}
}

// Check fails the test if the rule has not hit as many requests as it said,
// or none at all, or if something in it had no effect. If the test has failed
// already, it only logs that.
//
// [Faults.Fault] has it called at the end of the test.
func (in *Fault) Check(t TB) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.checked {
		return
	}
	in.checked = true
	problem := in.problem()
	switch {
	case problem != "" && !t.Failed():
		t.Errorf("registrytest: %s", problem)
	case problem != "":
		t.Logf("registrytest: %s", problem)
	case t.Failed() && slices.ContainsFunc(in.spec.stages, (*ruleStage).chance):
		t.Logf("registrytest: fault %q has hit %d requests by chance, with seed=%d", in.name, in.fired, in.spec.seed)
	}
}

// problem says what of the rule did not happen, or "".
func (in *Fault) problem() string {
	var b strings.Builder
	for _, st := range in.spec.stages {
		want := max(st.times, 1)
		if st.chance() {
			want = min(want, 1)
		}
		switch {
		case st.does() && st.fired < want:
			fmt.Fprintf(&b, "%s has hit %d requests, not %d\n", st, st.fired, want)
		case st.fired > 0:
			for _, m := range st.marks {
				if !m.met.Load() {
					fmt.Fprintf(&b, "%s had no effect on the %d requests that were hit\n", m.word, st.fired)
				}
			}
		}
	}
	if b.Len() == 0 {
		return ""
	}
	if in.near.n > 0 {
		fmt.Fprintf(&b, "requests that came near it:\n%s", &in.near)
	} else if in.others.n > 0 {
		fmt.Fprintf(&b, "no request came near it; there were:\n%s", &in.others)
	} else if in.fired == 0 {
		b.WriteString("there was no request\n")
	}
	what := fmt.Sprintf("fault %q", in.name)
	if in.where != "" {
		what += ", set at " + in.where + ","
	}
	if slices.ContainsFunc(in.spec.stages, (*ruleStage).chance) {
		what += fmt.Sprintf(" with seed=%d", in.spec.seed)
	}
	return what + " did not happen as it says:\n\t" + strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", "\n\t")
}

// maxTally is how many different texts a tally has.
const maxTally = 8

// A tally counts texts, of which it remembers the first few.
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
		fmt.Fprintf(&b, "\t%d others\n", rest)
	}
	return b.String()
}

// caller returns where a test has called this package.
func caller() string {
	pcs := make([]uintptr, 10)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		own := strings.Contains(frame.Function, "/registrytest") && !strings.HasSuffix(frame.File, "_test.go")
		if frame.File != "" && !own {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
