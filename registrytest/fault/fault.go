package fault

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// A Fault is a rule in force: one that was added to [Rules].
type Fault struct {
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
}

// A stage is a part of a rule in force.
type stage struct {
	*part
	met []atomic.Bool // whether the effects that try have changed anything

	matched, fired int          // guarded by the lock of the Fault
	bytes          atomic.Int64 // for firstBytes
}

func (f *Rules) newFault(r Rule) *Fault {
	in := &Fault{name: r.String(), rule: r, rules: f, where: caller()}
	for i := range r.parts {
		p := &r.parts[i]
		in.stages = append(in.stages, &stage{part: p, met: make([]atomic.Bool, len(p.effects))})
	}
	return in
}

// due reports whether it is the turn of a request that meets all conditions.
func (s *stage) due(h hit) bool {
	n := s.matched - s.after
	return n > 0 && (s.every == 0 || n%s.every == 0) && (s.probability == 1 || h.random.Float64() < s.probability)
}

// spent reports whether as many bytes have been transferred as the part says.
func (s *stage) spent() bool { return s.firstBytes > 0 && s.bytes.Load() >= s.firstBytes }

// Fired returns the number of requests that the rule has hit.
func (in *Fault) Fired() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fired
}

// Remove ends the rule, except for the requests that it has hit already.
func (in *Fault) Remove() {
	in.rules.change(func(rules []*Fault) []*Fault {
		return slices.DeleteFunc(rules, func(other *Fault) bool { return other == in })
	})
}

// String returns the rule.
func (in *Fault) String() string { return in.name }

// meet returns the part of the rule that hits the request, or nil if the rule
// does not hit it. Responded says that another rule responds to the request.
func (in *Fault) meet(r *registry.Request, responded bool) (*stage, hit) {
	missed := in.rule.missed(r)
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.ended && in.stages[in.now].spent() {
		in.next()
	}
	if in.ended {
		return nil, hit{}
	}
	st := in.stages[in.now]
	switch {
	case len(missed) == 1 && len(in.rule.conditions) > 1:
		in.near.add(r.String() + ", but not " + missed[0])
		return nil, hit{}
	case len(missed) > 0:
		in.others.add(r.String())
		return nil, hit{}
	case st.responds && responded, st.inHeader && r.ProtoMajor >= 2 && r.FaultResponds():
		in.near.add(r.String() + ", but another rule responded to it")
		return nil, hit{}
	}
	h := in.hit(st, r)
	st.matched++
	if !st.due(h) {
		reason := ", but it was not its turn"
		if st.probability < 1 {
			reason = ", but it was spared by chance"
		}
		in.near.add(r.String() + reason)
		return nil, hit{}
	}
	st.fired++
	if st.fired == st.times {
		in.next()
	}
	if !st.does() {
		return nil, hit{}
	}
	in.fired++
	return st, h
}

// next goes on to the next part.
func (in *Fault) next() {
	if in.now++; in.now == len(in.stages) {
		in.ended = true
	}
}

// hit returns the source of random decisions about the request. It does not
// depend on other requests at the same time.
func (in *Fault) hit(st *stage, r *registry.Request) hit {
	if !st.random {
		return hit{part: st.part}
	}
	if in.asked == nil {
		in.asked = make(map[string]uint64)
	}
	kind := r.String()
	in.asked[kind]++
	hash := fnv.New64a()
	fmt.Fprintln(hash, in.now, in.asked[kind], kind)
	return hit{part: st.part, random: rand.New(rand.NewPCG(in.rule.seed, hash.Sum64()))}
}
