package inject

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// Rules are the fault rules of one registry. The zero Rules is empty and ready
// to use; it must not be copied. A server of package registrytest has one, and
// its method Fault adds to it. Any other handler uses it like this:
//
//	var rules inject.Rules
//	handler := registry.New(store, registry.WithFaults(rules.Inject))
//
// Rules may be added and removed at any time, also while requests are served.
//
// Several rules can hit the same request. All of them take effect in the order
// in which they were added: their delays add up, and if several change the same
// thing, the last one wins. Only one rule can respond to a request, or end its
// connection instead of a response: the one that was added last. So a test can add a
// rule for a special case to the general rules that a helper added. The other
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
func (s *Rules) Add(r Rule) (*Fault, error) { return s.begin("fault", r, nil) }

// begin begins a rule and adds it. Messages call it noun.
func (s *Rules) begin(noun string, r Rule, stop Stop) (*Fault, error) {
	if v := reflect.ValueOf(r); r == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("the rule is nil; begin one with fault.On")
	}
	in, err := r.Begin(stop)
	switch {
	case err != nil:
		return nil, err
	case in == nil:
		return nil, fmt.Errorf("the rule %q has no injector: Begin must return one, or an error", r)
	}
	f := &Fault{noun: noun, name: r.String(), injector: in, rules: s, where: caller()}
	s.change(func(rules []*Fault) []*Fault { return append(rules, f) })
	return f, nil
}

// Set adds a rule until the end of the test. The test fails at once if the rule
// makes no sense. It fails at its end if the rule hit no request, or fewer than it
// says, or if a word of the rule had no effect on any request, such as a byte to
// corrupt that no body had. It does not fail if the rule is Optional.
func (s *Rules) Set(t TB, r Rule) *Fault {
	mustHaveTest(t, "Rules.Set")
	t.Helper()
	f, err := s.Add(r)
	if err != nil {
		t.Fatalf("fault: %v", err)
	}
	f.until(t)
	return f
}

// change calls the function with a copy of the list of rules, and replaces the list
// with the result.
func (s *Rules) change(change func([]*Fault) []*Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rules := change(s.Faults())
	if len(rules) == 0 {
		s.rules.Store(nil)
		return
	}
	s.rules.Store(&rules)
}

// Faults returns the rules and the gates in the order in which they were added, including
// those that have hit as many requests as they say. [Fault.Fired] returns the number of
// requests that a rule has hit so far.
func (s *Rules) Faults() []*Fault {
	rules := s.rules.Load()
	if rules == nil {
		return nil
	}
	return append([]*Fault(nil), *rules...)
}

// Inject returns the combined fault of the rules that hit the request, or nil if none
// does. It is the argument of [registry.WithFaults].
func (s *Rules) Inject(r *registry.Request) (combined *registry.Fault) {
	rules := s.rules.Load()
	if rules == nil {
		return nil
	}
	// Begin with the rule that was added last: of the rules that respond, only the
	// last one does.
	responded := r.FaultResponds()
	for i := len(*rules) - 1; i >= 0; i-- {
		rule := (*rules)[i]
		f, responds := rule.injector.Inject(r, responded)
		if f != nil && f.Name == "" {
			named := *f
			named.Name = rule.name
			f = &named
		}
		combined = combined.Over(f)
		responded = responded || responds || f.Responds()
	}
	return combined
}
