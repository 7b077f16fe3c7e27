package fault

import (
	"context"
	"slices"
	"sync"

	"github.com/ocireg/registry"
)

// A Hold is a gate that requests wait at. With it, a test brings about what
// happens concurrently, in the order that it wants, without waiting for time
// to pass:
//
//	hold := reg.Hold(t, fault.On(registry.PutManifest))
//	go push()
//	<-hold.Entered()
//	// The manifest has been sent, and is not there yet.
//	hold.Release()
type Gate struct {
	*Fault
	entered  chan *registry.Request
	released chan struct{}
	once     sync.Once
}

// Hold has the requests that the rule hits wait until they are released, at
// the latest at the end of the test. They wait before they are served or, if
// the rule says AfterCommit, when the operation has been carried out and before
// it is answered. After that, what else the rule says happens to them. As with
// [Faults.Fault], the test fails if no request ever came to the gate.
func (f *Rules) Hold(t TB, r Rule) *Gate {
	t.Helper()
	spec, err := r.compile(true)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	h := &Gate{
		// More are not lost if nobody asks for them: they wait here.
		entered:  make(chan *registry.Request, 1000),
		released: make(chan struct{}),
	}
	for _, st := range spec.stages {
		// Who is held is held before all else.
		st.effects = slices.Insert(st.effects, 0, h.effect(st))
	}
	h.Fault = f.add(r, spec)
	h.until(t)
	t.Cleanup(h.Release)
	return h
}

func (h *Gate) effect(st *ruleStage) effect {
	return func(p *plan, _ hit) {
		r := p.request
		p.wait(st.afterCommit, wait{d: forever, until: h.released, begin: func(ctx context.Context) {
			select {
			case h.entered <- r:
			case <-h.released:
			case <-ctx.Done():
			}
		}})
	}
}

// Entered returns the channel from which each request that waits at the gate is
// received once.
func (h *Gate) Entered() <-chan *registry.Request { return h.entered }

// Release opens the gate for good: for those who wait, and for those who are
// still to come.
func (h *Gate) Release() { h.once.Do(func() { close(h.released) }) }
