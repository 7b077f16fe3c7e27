package explore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/fault"
)

// cancelling is the name, in the matrix, of the fault that [Cancellations] adds.
const cancelling = "cancelled"

// cancelAt begins the rule of a run whose context is cancelled. The rest of the
// rule names the request at which that happens.
const cancelAt = "cancel at "

// shortRuns is the largest number of runs with go test -short, not counting those that
// [MustSucceed] needs. [Budget] replaces it.
const shortRuns = 60

// A cell is a planned run of the operation, with its faults and the
// requests that they hit.
type cell struct {
	fault  string
	column string // the request that heads the cell's column of the matrix; "" for pairs and rules of Try
	parts  []part // the faults of the run, usually one
}

// A part is one fault of a run, and the request that it hits.
type part struct {
	address
	times   int
	trouble trouble
	request request
	scale   scale
	cancel  bool
	given   *fault.Rule // the rule of Try; nil if the other fields make the rule
}

// rule returns the rule, for package fault, that injects the fault of p. If p
// cancels the context, the rule only matches the request.
func (p part) rule() fault.Rule {
	if p.given != nil {
		return *p.given
	}
	r := p.address.rule()
	switch {
	case p.times == 1:
		r = r.Once()
	case p.times > 1:
		r = r.Times(p.times)
	}
	if p.cancel {
		return r
	}
	return p.trouble.add(r, p.request.record, p.scale)
}

// plan returns the rules of the run, the request at which its context is
// cancelled, and a name made of all these rules.
func (c cell) plan() plan {
	var p plan
	var names []string
	for _, part := range c.parts {
		rule := part.rule()
		if part.cancel {
			names = append(names, cancelAt+rule.String())
			p.cancelAt = &rule
			continue
		}
		names = append(names, rule.String())
		p.rules = append(p.rules, rule)
	}
	p.name = strings.Join(names, " and ")
	return p
}

// where names the requests that the faults of the cell hit. It omits faults
// given as rules of Try.
func (c cell) where() string {
	var list []string
	for _, p := range c.parts {
		if p.given == nil {
			list = append(list, p.request.String())
		}
	}
	return strings.Join(list, " and ")
}

// family names the kind of the cell's faults. Faults that differ only in details,
// such as the status of the response, have the same family.
func (c cell) family() string {
	var families []string
	for _, p := range c.parts {
		switch {
		case p.given != nil:
			families = append(families, p.given.String())
		case p.cancel:
			families = append(families, cancelling)
		default:
			families = append(families, p.trouble.family)
		}
	}
	return strings.Join(families, " and ")
}

// simpler returns variants of the cell that are one step simpler: with only one of
// its faults, with one condition fewer in a rule, or with a fault that hits one
// request instead of several.
func (c cell) simpler() (list []cell) {
	if len(c.parts) > 1 && c.column == "" {
		for _, p := range c.parts {
			if p.given != nil {
				list = append(list, cell{fault: p.given.String(), parts: []part{p}})
			} else {
				list = append(list, cell{p.trouble.name, p.request.String(), []part{p}})
			}
		}
	}
	for i, p := range c.parts {
		if p.given != nil {
			continue
		}
		for _, change := range []func(*part){
			func(p *part) { p.after = 0 },
			func(p *part) { p.times = min(p.times, 1) },
			func(p *part) { p.header, p.value = "", "" },
			func(p *part) { p.auth = false },
			func(p *part) { p.repo = "" },
			func(p *part) { p.tag, p.digest = "", "" },
		} {
			s := p
			change(&s)
			if s.address == p.address && s.times == p.times {
				continue
			}
			parts := slices.Clone(c.parts)
			parts[i] = s
			list = append(list, cell{c.fault, c.column, parts})
		}
	}
	return list
}

// cells returns the planned runs: the rules of [Try] if the caller gives some,
// and otherwise all faults, cancellations and pairs that the budget allows.
func (x *explorer) cells() ([]cell, error) {
	if len(x.try) > 0 {
		x.promised = x.promisedRules()
		return x.tried()
	}
	cells := x.troubled()
	random := rand.New(rand.NewPCG(x.seed, 0))
	single := len(cells)
	if x.cancels {
		cells = append(cells, x.cancellations()...)
	}
	for range x.pairs {
		a, b := cells[random.IntN(single)], cells[random.IntN(single)]
		cells = append(cells, cell{fault: a.fault + " and " + b.fault, parts: []part{a.parts[0], b.parts[0]}})
	}
	return x.sample(cells), nil
}

// scale returns the durations that faults use: shorter ones over loopback,
// where time is real.
func (x *explorer) scale() scale {
	if x.loopback {
		return loopbackScale
	}
	return bubbleScale
}

// troubled returns a planned run for each fault at each request that it applies to.
// It leaves out endless faults that no option chooses. A wide fault has one run for
// all ranges of the same content.
func (x *explorer) troubled() (cells []cell) {
	for _, tr := range troubles() {
		if tr.endless && !x.stalls && !slices.Contains(x.must, tr.name) {
			continue
		}
		wide := make(map[address]bool)
		for _, q := range x.requests {
			if !tr.applies(q.record) {
				continue
			}
			p := part{address: q.address, times: tr.times, trouble: tr, request: q, scale: x.scale()}
			if tr.wide {
				p.header, p.value, p.after = "", "", 0
				if wide[p.address] {
					continue
				}
				wide[p.address] = true
			}
			cells = append(cells, cell{tr.name, q.String(), []part{p}})
		}
	}
	return cells
}

// cancellations returns a planned run for each request: the context of the run is
// cancelled when the request arrives.
func (x *explorer) cancellations() (cells []cell) {
	for _, q := range x.requests {
		p := part{address: q.address, times: 1, cancel: true, request: q, scale: x.scale()}
		cells = append(cells, cell{cancelling, q.String(), []part{p}})
	}
	return cells
}

// sample selects cells by the seed, up to the number that the budget allows. Unless
// [Budget] limits the number of runs, it also keeps all cells with faults of
// [MustSucceed].
func (x *explorer) sample(cells []cell) []cell {
	n := x.runs
	if n == 0 && x.time == 0 && testing.Short() {
		n = shortRuns
	}
	if n == 0 || n >= len(cells) {
		return cells
	}
	keep := make(map[int]bool)
	for _, i := range rand.New(rand.NewPCG(x.seed, 1)).Perm(len(cells))[:n] {
		keep[i] = true
	}
	x.sampled = true
	var sample []cell
	for i, c := range cells {
		if keep[i] || x.runs == 0 && slices.Contains(x.must, c.fault) {
			sample = append(sample, c)
		}
	}
	return sample
}

// order returns the indexes of n runs in the order in which they start. The order
// is random if [Budget] limits the time, because the runs that fit into it are
// then a sample of all.
func (x *explorer) order(n int) []int {
	if x.time > 0 {
		return rand.New(rand.NewPCG(x.seed, 2)).Perm(n)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// tried parses the rules of [Try] and returns a planned run for each. If a rule is
// that of a known fault, or a simpler variant, the run is judged like a run with
// that fault.
func (x *explorer) tried() (cells []cell, err error) {
	faults := make(map[string]part)
	for _, c := range x.troubled() {
		for rule, v := range variants(c) {
			if _, ok := faults[rule]; !ok {
				faults[rule] = v.parts[0]
			}
		}
	}
	for _, text := range x.try {
		c := cell{fault: text}
		for _, one := range strings.Split(text, " and ") {
			at, cancel := strings.CutPrefix(one, cancelAt)
			rule, err := fault.Parse(at)
			if err != nil {
				return nil, fmt.Errorf("Try: %w", err)
			}
			p := part{given: &rule, cancel: cancel}
			if like, ok := faults[rule.String()]; ok && !cancel {
				p.trouble, p.request = like.trouble, like.request
			}
			c.parts = append(c.parts, p)
		}
		cells = append(cells, c)
	}
	return cells, nil
}

// known returns an error for the first element of names that is not in all, or nil.
// The parameter none begins the message, as in "MustSucceed: no fault".
func known(none string, names, all []string) error {
	for _, name := range names {
		if slices.Contains(all, name) {
			continue
		}
		suggestion := ""
		if nearest := hint.Nearest(name, all...); nearest != "" {
			suggestion = fmt.Sprintf("; did you mean %q?", nearest)
		}
		return fmt.Errorf("%s is called %q%s", none, name, suggestion)
	}
	return nil
}
