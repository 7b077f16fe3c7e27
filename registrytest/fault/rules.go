package fault

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// Rules are the fault rules of one registry. The zero Rules is empty and ready
// to use; it must not be copied. A server of package registrytest has one, and
// its method Fault adds to it. Any other handler uses it like this:
//
//	var rules fault.Rules
//	handler := registry.New(store, registry.WithFaults(rules.Inject))
//
// Rules may be added and removed at any time, also while requests are served.
//
// Several rules can hit the same request. All of them take effect in the order
// in which they were added: their delays add up, and if several change the same
// thing, the last one wins. Only one rule can respond to a request, or end its
// connection instead of a response: the one that was added last. So a test can add a
// rule for a special case to the general rules that a helper has added. The other
// rules that respond are passed over, and wait for the next request: if two rules
// respond once, each hits one of two requests. The rules of several options
// [registry.WithFaults] combine in the same way: those of the first option count
// as added last.
type Rules struct {
	mu    sync.Mutex // held while rules is changed
	rules atomic.Pointer[[]*Fault]
}

// Add adds a rule, which stays until it is removed. It returns an error if the rule
// makes no sense.
func (f *Rules) Add(r Rule) (*Fault, error) {
	if err := r.check(false); err != nil {
		return nil, err
	}
	if !r.does() {
		return nil, fmt.Errorf("fault rule %q: it has no effect: add an action, such as status=503 or close", r)
	}
	added := f.newFault("fault", r)
	f.add(added)
	return added, nil
}

// Set adds a rule until the end of the test. The test fails at once if the rule
// makes no sense. It fails at its end if the rule hit no request, or fewer than it
// says, or if a word of the rule had no effect on any request, such as a byte to
// corrupt that no body had. It does not fail if the rule is [Rule.Optional].
func (f *Rules) Set(t TB, r Rule) *Fault {
	mustHaveTest(t, "Rules.Set")
	t.Helper()
	added, err := f.Add(r)
	if err != nil {
		t.Fatalf("fault: %v", err)
	}
	added.until(t)
	return added
}

// until makes the test remove and check the rule at its end.
func (f *Fault) until(t TB) {
	t.Helper()
	t.Cleanup(func() {
		t.Helper()
		f.Remove()
		f.Check(t)
	})
}

func (f *Rules) add(added *Fault) {
	f.change(func(rules []*Fault) []*Fault { return append(rules, added) })
}

// change replaces the list of rules with the one that the function makes of a copy.
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

// All returns the rules and the gates in the order in which they were added, including
// those that have hit as many requests as they say. [Fault.Fired] returns the number of
// requests that a rule has hit so far.
func (f *Rules) All() []*Fault {
	rules := f.rules.Load()
	if rules == nil {
		return nil
	}
	return slices.Clone(*rules)
}

// Inject returns the combined fault of the rules that hit the request, or nil if none
// does. It is the argument of [registry.WithFaults].
func (f *Rules) Inject(r *registry.Request) *registry.Fault {
	rules := f.rules.Load()
	if rules == nil {
		return nil
	}
	// The rules that were added last come first: one of them may respond.
	type found struct {
		fault *Fault
		stage *stage
		hit   *hit
	}
	var all []found
	responds := r.FaultResponds()
	for i := len(*rules) - 1; i >= 0; i-- {
		rule := (*rules)[i]
		st, h := rule.meet(r, responds)
		if st == nil {
			continue
		}
		responds = responds || st.part.responds
		all = append(all, found{rule, st, h})
	}
	if all == nil {
		return nil
	}
	p := newPlan(r)
	for i := len(all) - 1; i >= 0; i-- {
		p.add(all[i].fault.name, all[i].stage, all[i].hit)
	}
	return p.fault()
}
