package fault

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// A Fault is a rule in force: one that was added to [Rules].
type Fault struct {
	noun   string // "fault" or "gate"
	name   string
	rule   Rule
	rules  *Rules
	where  string // the file and line of the caller that added it, or ""
	stages []*stage

	mu      sync.Mutex
	now     int // the index in stages
	ended   bool
	fired   int
	checked bool
	asked   map[string]uint64 // the number of requests of each kind, if the seed decides
	near    tally             // requests that met all conditions except one
	others  tally
	states  map[string]int // of each upload session, see Rule.Location
}

// A stage is a part of a rule in force.
type stage struct {
	part *part
	met  []atomic.Bool // whether the effects that try have changed anything

	matched, fired int          // guarded by the lock of the Fault
	bytes          atomic.Int64 // for firstBytes
}

func (f *Rules) newFault(noun string, r Rule) *Fault {
	in := &Fault{noun: noun, name: r.String(), rule: r, rules: f, where: caller()}
	for i := range r.parts {
		p := &r.parts[i]
		in.stages = append(in.stages, &stage{part: p, met: make([]atomic.Bool, len(p.effects))})
	}
	return in
}

// due reports whether it is the turn of a request that meets all conditions.
func (s *stage) due(h *hit) bool {
	n := s.matched - s.part.after
	return n > 0 && (s.part.every == 0 || n%s.part.every == 0) && (s.part.probability == 1 || h.random.Float64() < s.part.probability)
}

// spent reports whether as many bytes have been transferred as the part says.
func (s *stage) spent() bool { return s.part.firstBytes > 0 && s.bytes.Load() >= s.part.firstBytes }

// Fired returns the number of requests that the rule has hit.
func (f *Fault) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Remove ends the rule, except for the requests that it has hit already.
func (f *Fault) Remove() {
	f.rules.change(func(rules []*Fault) (others []*Fault) {
		for _, other := range rules {
			if other != f {
				others = append(others, other)
			}
		}
		return others
	})
}

// String returns the rule.
func (f *Fault) String() string { return f.name }

// meet returns the part of the rule that hits the request, or nil if the rule
// does not hit it. Responded says that another rule responds to the request.
func (f *Fault) meet(r *registry.Request, responded bool) (*stage, *hit) {
	missed := f.rule.missed(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended && f.stages[f.now].spent() {
		f.next()
	}
	if f.ended {
		return nil, nil
	}
	st := f.stages[f.now]
	switch {
	case len(missed) == 1 && len(f.rule.conditions) > 1:
		f.near.add(r.String() + ", but not " + missed[0])
		return nil, nil
	case len(missed) > 0:
		f.others.add(r.String())
		return nil, nil
	case st.part.responds && responded, st.part.inHeader && r.ProtoMajor >= 2 && r.FaultResponds():
		f.near.add(r.String() + ", but another rule responded to it")
		return nil, nil
	}
	h := f.hit(st, r)
	st.matched++
	if !st.due(h) {
		reason := ", but it was not its turn"
		if st.part.probability < 1 {
			reason = ", but it was spared by chance"
		}
		f.near.add(r.String() + reason)
		return nil, nil
	}
	st.fired++
	if st.fired == st.part.times {
		f.next()
	}
	if !st.part.does() {
		return nil, nil
	}
	f.fired++
	return st, h
}

// next goes on to the next part.
func (f *Fault) next() {
	if f.now++; f.now == len(f.stages) {
		f.ended = true
	}
}

// hit returns the source of random decisions about the request. It does not
// depend on other requests at the same time.
func (f *Fault) hit(st *stage, r *registry.Request) *hit {
	if !st.part.random {
		return &hit{part: st.part, of: f}
	}
	if f.asked == nil {
		f.asked = make(map[string]uint64)
	}
	kind := r.String()
	f.asked[kind]++
	hash := fnv.New64a()
	fmt.Fprintln(hash, f.now, f.asked[kind], kind)
	return &hit{part: st.part, of: f, random: rand.New(rand.NewPCG(f.rule.seed, hash.Sum64()))}
}
