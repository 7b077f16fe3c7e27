package inject

import (
	"context"
	"strings"
	"sync"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
)

// A Gate stops requests until the test releases them. With it, a test decides the
// order of concurrent requests, without waiting for time to pass:
//
//	gate := reg.Hold(t, fault.On(registry.PutManifest))
//	go push()
//	<-gate.Entered()
//	// The manifest has been sent, but is not stored yet.
//	gate.Release()
//
// The zero Gate has no rule, and is open.
type Gate struct {
	*Fault
	entered  chan *registry.Request
	released chan struct{}
	once     sync.Once

	mu      sync.Mutex // guards the fields below
	waiting []*registry.Request
	news    chan struct{} // if not nil, closed when the next request begins to wait
}

// Gate adds a rule with a gate. The requests that the rule hits wait at the gate until
// [Gate.Release]: before they are served or, if the rule says AfterCommit, after the
// operation has been carried out and before the response is sent. The other effects
// of the rule come after the wait, except that with AfterCommit, effects on the request
// come before it. The gate stays until it is removed. Gate returns an error if the rule
// makes no sense.
func (s *Rules) Gate(r Rule) (*Gate, error) {
	g := &Gate{
		// If the channel is full, a request first waits for room in it, and then at
		// the gate.
		entered:  make(chan *registry.Request, 1000),
		released: make(chan struct{}),
	}
	f, err := s.begin("gate", r, g.stop)
	if err != nil {
		return nil, err
	}
	g.Fault = f
	return g, nil
}

// Hold adds a gate, as [Rules.Gate] does, and removes it at the end of the test. The
// test fails as with [Rules.Set]. If the gate is still closed at the end of the test,
// Hold opens it.
func (s *Rules) Hold(t TB, r Rule) *Gate {
	mustHaveTest(t, "Rules.Hold")
	t.Helper()
	g, err := s.Gate(r)
	if err != nil {
		t.Fatalf("fault: %v", err)
	}
	g.until(t)
	t.Cleanup(func() {
		t.Helper()
		if waiting := g.Waiting(); len(waiting) > 0 {
			t.Logf("fault: %s was closed until the test ended, and %s waited at it; call Release to let requests go on:\n\t%s",
				g.title(), hint.Count(len(waiting), "request"), strings.Join(waiting, "\n\t"))
		}
		g.Release()
	})
	return g
}

// stop is a [Stop]: it notes that the request waits at the gate.
func (g *Gate) stop(ctx context.Context, r *registry.Request) (until <-chan struct{}, end func()) {
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	if g.news != nil {
		close(g.news)
		g.news = nil
	}
	g.mu.Unlock()
	select {
	case g.entered <- r:
	case <-g.released:
	case <-ctx.Done():
	}
	return g.released, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for i, other := range g.waiting {
			if other == r {
				g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
				return
			}
		}
	}
}

// Waiting returns the requests that wait at the gate, in the order of their
// arrival, such as "get-manifest team/app:v1".
func (g *Gate) Waiting() (requests []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.waiting {
		requests = append(requests, r.String())
	}
	return requests
}

// Entered returns a channel. The gate sends each request to it once, when the request
// begins to wait at the gate.
func (g *Gate) Entered() <-chan *registry.Request { return g.entered }

// Await waits until n requests wait at the gate at the same time, or the gate is
// open. If ctx is done first, Await returns its error; a gate that was removed gets no
// more requests. Await does not receive from [Gate.Entered], and several callers may
// wait.
func (g *Gate) Await(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		if len(g.waiting) >= n || g.Released() {
			g.mu.Unlock()
			return nil
		}
		if g.news == nil {
			g.news = make(chan struct{})
		}
		news := g.news
		g.mu.Unlock()
		select {
		case <-news:
		case <-g.released:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Released reports whether the gate is open.
func (g *Gate) Released() bool {
	if g.released == nil {
		return true
	}
	select {
	case <-g.released:
		return true
	default:
		return false
	}
}

// Release opens the gate for good, for the requests that wait and for all later ones.
func (g *Gate) Release() {
	g.once.Do(func() {
		if g.released != nil {
			close(g.released)
		}
	})
}
