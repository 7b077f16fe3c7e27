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

	// Begin returns an Injector, which counts the requests from now on. It returns
	// an error if the rule makes no sense. If stop is not nil, the rule is for a
	// [Gate], where the requests that it hits have to stop.
	Begin(stop Stop) (Injector, error)
}

// An Injector is the state of a rule that was added to [Rules]. Several goroutines may
// call its methods at the same time.
type Injector interface {
	// Inject returns the fault for a request, or nil if the rule does not hit the
	// request, and whether the rule responds to it. If responded is true, another
	// rule responds already, and the rule must not.
	Inject(r *registry.Request, responded bool) (f *registry.Fault, responds bool)

	// Fired returns the number of requests that the rule has hit.
	Fired() int

	// Report returns what the rule has done, in texts that continue a sentence
	// whose subject is the rule. Problem says that the rule has not done all that
	// it should, or is "". Note is for the log of a test that has failed, or is "".
	Report() (problem, note string)
}

// A Stop is called when a request arrives at a [Gate]. The request has to wait until
// the channel is closed or ctx is done, and then end has to be called.
type Stop func(ctx context.Context, r *registry.Request) (until <-chan struct{}, end func())
