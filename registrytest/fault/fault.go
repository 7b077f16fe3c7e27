package fault

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// A Fault is a rule that was added to [Rules].
type Fault struct {
	noun   string // the word for it in messages: "fault" or "gate"
	name   string
	rule   Rule
	rules  *Rules
	where  string // the file and line of the caller that added it, or ""
	stages []*stage

	mu      sync.Mutex
	now     int // the index of the current stage in stages
	ended   bool
	fired   int
	checked bool
	asked   map[string]uint64 // how often each request came, if anything depends on the seed
	near    tally             // the requests that the rule nearly hit, each with the reason why not
	others  tally             // the other requests that did not meet the conditions
	states  map[string]int    // the number of {state} values for each upload session, see Rule.Location
}

// A stage is a part of a rule that was added, with its counts.
type stage struct {
	part *part
	met  []atomic.Bool // for each effect, whether it has changed anything

	matched, fired int          // the lock of the Fault guards these counts
	bytes          atomic.Int64 // the bytes of the bodies so far, for firstBytes
}

func (f *Rules) newFault(noun string, r Rule) *Fault {
	added := &Fault{noun: noun, name: r.String(), rule: r, rules: f, where: caller()}
	for i := range r.parts {
		p := &r.parts[i]
		added.stages = append(added.stages, &stage{part: p, met: make([]atomic.Bool, len(p.effects))})
	}
	return added
}

// due reports whether After, Every and Probability let the stage hit the current
// request, which meets all conditions.
func (s *stage) due(h *hit) bool {
	n := s.matched - s.part.after
	return n > 0 && (s.part.every == 0 || n%s.part.every == 0) && (s.part.probability == 1 || h.random.Float64() < s.part.probability)
}

// spent reports whether the bodies have reached the number of bytes of FirstBytes.
func (s *stage) spent() bool { return s.part.firstBytes > 0 && s.bytes.Load() >= s.part.firstBytes }

// Fired returns the number of requests that the rule has hit.
func (f *Fault) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Remove removes the rule from its [Rules]. The rule still has its effects on the
// requests that it has hit already.
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

// String returns the text of the rule, as [Rule.String] does.
func (f *Fault) String() string { return f.name }

// meet returns the stage of the rule that hits the request, or nil if the rule does
// not hit it. Responded says that another rule responds to the request.
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
	case st.part.responds && responded, st.part.endsInHeader && r.ProtoMajor >= 2 && r.FaultResponds():
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

// next makes the next stage the current one. After the last stage, the rule ends.
func (f *Fault) next() {
	if f.now++; f.now == len(f.stages) {
		f.ended = true
	}
}

// hit returns the hit for a request. Its random numbers depend on the seed, on the
// stage, on the request and on how often the same request came before. Other
// requests affect them only if they end a stage.
func (f *Fault) hit(st *stage, r *registry.Request) *hit {
	if !st.part.drawsRandom {
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
