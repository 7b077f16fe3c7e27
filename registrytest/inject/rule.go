package inject

import (
	"context"

	"github.com/ocireg/registry"
)

// A Rule says which requests fail, when, and how. The rules of package fault, which
// begin with fault.On, implement it.
type Rule interface {
	// String returns the rule as text, for messages and records.
	String() string

	// Begin returns an Injector, which counts requests from now on, or an error if
	// the rule makes no sense. If stop is not nil, the rule is for a [Gate]: the
	// requests that it hits have to stop there.
	Begin(stop Stop) (Injector, error)
}

// An Injector is the state of a rule that was added to [Rules]. Several goroutines may
// call its methods at the same time.
type Injector interface {
	// Inject returns the fault for a request, or nil if the rule does not hit it,
	// and whether the rule decides the response, as it does if the fault responds.
	// Only one rule may decide: if responded is true, another rule has, and this one
	// must not. A fault without a Name gets the text of the rule.
	Inject(r *registry.Request, responded bool) (f *registry.Fault, responds bool)

	// Fired returns the number of requests that the rule has hit.
	Fired() int

	// Report returns two texts for the end of a test, each of which continues a
	// sentence that begins with the rule. Problem fails the test; it is "" if the
	// rule has had its effects. Note is logged if the test has failed anyway, and
	// may be "".
	Report() (problem, note string)
}

// A Stop is called when a request arrives at a [Gate]. The request has to wait until
// the channel is closed or ctx is done. The caller then calls end.
type Stop func(ctx context.Context, r *registry.Request) (until <-chan struct{}, end func())
