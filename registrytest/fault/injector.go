package fault

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/inject"
)

// An injector is the state of a rule that was added to [inject.Rules].
type injector struct {
	name   string
	rule   Rule
	stages []*stage

	mu     sync.Mutex // guards the fields below
	now    int        // the index of the current stage in stages
	ended  bool
	fired  int
	asked  map[string]uint64 // how often each request came, if anything depends on the seed
	near   tally             // the requests that the rule nearly hit, each with the reason why it did not
	others tally             // the other requests that did not meet the conditions
	states map[string]int    // the number of {state} values for each upload session, see Rule.Location
}

// A stage is a part of a rule that was added, with its counts.
type stage struct {
	part *part
	met  []atomic.Bool // for each effect, whether it changed anything

	matched, fired int          // the lock of the injector guards these counts
	bytes          atomic.Int64 // the bytes of the bodies so far, for firstBytes
}

// Begin implements [inject.Rule]. It returns an error if the rule makes no sense or,
// unless it is for a gate, has no effect. Tests do not call Begin: they give the rule to
// a server of package registrytest, or to [inject.Rules].
func (r Rule) Begin(stop inject.Stop) (inject.Injector, error) {
	if err := r.check(stop != nil); err != nil {
		return nil, err
	}
	if stop == nil && !r.does() {
		return nil, fmt.Errorf("fault rule %q: it has no effect: add an action, such as status=503 or close", r)
	}
	if stop != nil {
		r = r.stopped(stop)
	}
	in := &injector{name: r.String(), rule: r}
	for i := range r.parts {
		p := &r.parts[i]
		in.stages = append(in.stages, &stage{part: p, met: make([]atomic.Bool, len(p.effects))})
	}
	return in, nil
}

// stopped returns a rule that first makes each request that it hits stop at a gate.
func (r Rule) stopped(stop inject.Stop) Rule {
	r = r.clone()
	r.parts = slices.Clone(r.parts)
	for i := range r.parts {
		p := &r.parts[i]
		p.effects = append([]effect{{word: "the gate", do: func(p *plan, h *hit) {
			p.wait(h.part.afterCommit, wait{d: forever, stop: func(ctx context.Context) (until <-chan struct{}, end func()) {
				h.met()
				return stop(ctx, p.request)
			}})
		}}}, p.effects...)
	}
	return r
}

// due reports whether After, Every and Probability let the stage hit the current
// request, which meets all conditions.
func (s *stage) due(h *hit) bool {
	n := s.matched - s.part.after
	return n > 0 && (s.part.every == 0 || n%s.part.every == 0) && (s.part.probability == 1 || h.random.Float64() < s.part.probability)
}

// spent reports whether the bodies have reached the number of bytes of FirstBytes.
func (s *stage) spent() bool { return s.part.firstBytes > 0 && s.bytes.Load() >= s.part.firstBytes }

// Fired implements [inject.Injector].
func (in *injector) Fired() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fired
}

// Inject implements [inject.Injector].
func (in *injector) Inject(r *registry.Request, responded bool) (f *registry.Fault, responds bool) {
	st, h := in.meet(r, responded)
	if st == nil {
		return nil, false
	}
	return in.plan(st, h, r).fault(in.name), st.part.responds
}

// meet returns the stage of the rule that hits the request, or nil if the rule does
// not hit it. The parameter responded is set if another rule responds to the request.
func (in *injector) meet(r *registry.Request, responded bool) (*stage, *hit) {
	missed := in.rule.missed(r)
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.ended && in.stages[in.now].spent() {
		in.next()
	}
	if in.ended {
		return nil, nil
	}
	st := in.stages[in.now]
	switch {
	case len(missed) == 1 && len(in.rule.conditions) > 1:
		in.near.add(r.String() + ", but not " + missed[0])
		return nil, nil
	case len(missed) > 0:
		in.others.add(r.String())
		return nil, nil
	case st.part.responds && responded:
		in.near.add(r.String() + ", but another rule responded to it")
		return nil, nil
	}
	h := in.hit(st, r)
	st.matched++
	if !st.due(h) {
		reason := ", but it was not its turn"
		if st.part.probability < 1 {
			reason = ", but it was spared by chance"
		}
		in.near.add(r.String() + reason)
		return nil, nil
	}
	st.fired++
	if st.fired == st.part.times {
		in.next()
	}
	if !st.part.does() {
		return nil, nil
	}
	in.fired++
	return st, h
}

// next makes the next stage the current one. After the last stage, the rule ends.
func (in *injector) next() {
	if in.now++; in.now == len(in.stages) {
		in.ended = true
	}
}

// hit returns the hit for a request. Its random numbers depend on the seed, on the
// stage, on the request and on how often the same request came before. Other
// requests affect them only if they end a stage.
func (in *injector) hit(st *stage, r *registry.Request) *hit {
	if !st.part.drawsRandom {
		return &hit{part: st.part, of: in}
	}
	if in.asked == nil {
		in.asked = make(map[string]uint64)
	}
	kind := r.String()
	in.asked[kind]++
	hash := fnv.New64a()
	fmt.Fprintln(hash, in.now, in.asked[kind], kind)
	return &hit{part: st.part, of: in, random: rand.New(rand.NewPCG(in.rule.seed, hash.Sum64()))}
}
