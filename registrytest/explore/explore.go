package explore

import (
	"slices"
	"testing"
	"time"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// EveryFault runs an operation of a client once undisturbed, and then once for
// each fault at each request. Setup fills the registry before each run; it may be
// nil. Run carries out the operation and returns the client's error, after it has
// passed what it got to [T.Result].
//
// The test fails if a run has a violation. The [Matrix] has the outcome of each
// run.
func EveryFault(t *testing.T, setup func(t *T, reg *registrytest.Server), run func(t *T, reg *registrytest.Server) error, opts ...Option) *Matrix {
	t.Helper()
	x := &explorer{t: t, setup: setup, run: run}
	for _, o := range opts {
		o.set(&x.config)
	}
	m := x.explore()
	t.Logf("explore: %s", m.Summary())
	if !x.reportOnly {
		for _, v := range m.Violations {
			t.Errorf("explore: %v", v)
		}
	}
	return m
}

// An explorer explores one operation.
type explorer struct {
	config
	t          *testing.T
	setup      func(t *T, reg *registrytest.Server)
	run        func(t *T, reg *registrytest.Server) error
	base       *run // undisturbed
	requests   []request
	sequential bool // the client sends one request at a time
}

// A cell is one run to make.
type cell struct {
	request request
	trouble trouble
	rule    fault.Rule
}

func (x *explorer) explore() *Matrix {
	x.t.Helper()
	start := time.Now()
	base := x.attempt(plan{name: "undisturbed"})
	m := &Matrix{Name: x.t.Name(), Seed: x.seed, Runs: 1}
	if v := x.failedBase(base); v != "" {
		x.t.Fatalf("explore: %s", v)
	}
	x.base, x.requests = base, requestsOf(base.records)
	if len(x.requests) == 0 {
		x.t.Fatalf("explore: the undisturbed run sent no request; use reg.Client() or a clone of reg.Transport() in the client")
	}
	x.sequential = sequential(base.records)
	for _, q := range x.requests {
		m.Requests = append(m.Requests, q.String())
	}
	for _, c := range x.cells() {
		r := x.attempt(plan{name: c.rule.String(), rules: []fault.Rule{c.rule}})
		m.Runs++
		j := x.judge(r, c)
		m.Cells = append(m.Cells, j.cell)
		m.Violations = append(m.Violations, j.violations...)
		if !slices.Contains(m.Faults, c.trouble.name) {
			m.Faults = append(m.Faults, c.trouble.name)
		}
	}
	m.Time = time.Since(start)
	return m
}

// cells returns the runs to make.
func (x *explorer) cells() (cells []cell) {
	s := bubbleScale
	if x.loopback {
		s = loopbackScale
	}
	for _, tr := range troubles() {
		for _, q := range x.requests {
			if tr.applies != nil && !tr.applies(q.record) {
				continue
			}
			cells = append(cells, cell{q, tr, tr.rule(q.address, q.record, s)})
		}
	}
	return cells
}

// rule returns the rule for the trouble at an address.
func (tr trouble) rule(a address, q *journal.Record, s scale) fault.Rule {
	r := a.rule()
	if tr.times == 1 {
		r = r.Once()
	} else {
		r = r.Times(tr.times)
	}
	return tr.add(r, q, s)
}
