package explore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ocireg/registry/registrytest"
)

// EveryFault runs an operation of a client once undisturbed, and then once for
// each fault at each request. Setup fills the registry before each run; it may
// be nil. Run carries out the operation, passes the content that it got to
// [T.Result], and returns the client's error.
//
// The test fails if a run has a violation, if a rule of [Try] hits no request, or
// if no run tests a promise of [MustSucceed]. The [Matrix] has the outcome of each
// run.
func EveryFault(t *testing.T, setup func(t *T, reg *registrytest.Server), run func(t *T, reg *registrytest.Server) error, opts ...Option) *Matrix {
	t.Helper()
	x := &explorer{t: t, setup: setup, run: run}
	if err := x.apply(everyFault, opts); err != nil {
		t.Fatalf("explore: %v", err)
	}
	m, err := x.explore()
	if m == nil {
		t.Fatalf("explore: %v", err)
	}
	t.Logf("explore: %s", m.Summary())
	for _, text := range []string{x.unpromised(m), x.unsampled(m)} {
		if text != "" {
			t.Logf("explore: %s", text)
		}
	}
	if err != nil {
		t.Errorf("explore: %v", err)
	}
	if x.reportOnly {
		return m
	}
	for _, v := range m.Violations {
		t.Errorf("explore: %v", v)
	}
	if x.golden != "" {
		if err := m.compareGolden(x.golden); err != nil {
			t.Errorf("explore: %v", err)
		}
	}
	return m
}

// An explorer holds the state of one call of [EveryFault] or [Hostile].
type explorer struct {
	config
	t          *testing.T
	setup      func(t *T, reg *registrytest.Server)
	run        func(t *T, reg *registrytest.Server) error
	base       *run            // the run without faults
	promised   map[string]bool // in runs of Try, the rules with which the operation must succeed
	requests   []request
	sequential bool // the client sends one request at a time
	sampled    bool // the budget leaves out runs

	announcing sync.Mutex // guards writes to announce
	watchdog   watchdog
}

// explore makes all runs and returns the matrix, or nil and an error if it cannot
// begin. An error beside a matrix lists the rules of [Try] that hit no request and
// the promises that no run tested, and describes a run that was given up.
func (x *explorer) explore() (*Matrix, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	start := time.Now()
	base := x.attempt(plan{name: "undisturbed"})
	if base == nil {
		return nil, x.watchdog.givenUp()
	}
	m := &Matrix{Name: x.t.Name(), Seed: x.seed, Runs: 1}
	if err := x.establish(base); err != nil {
		return nil, err
	}
	for _, q := range x.requests {
		m.Requests = append(m.Requests, q.String())
	}
	cells, err := x.cells()
	if err != nil {
		return nil, err
	}
	for _, c := range cells {
		if !slices.Contains(m.Faults, c.fault) && c.column != "" {
			m.Faults = append(m.Faults, c.fault)
		}
	}
	judged := x.runAll(cells, start)
	var missed []error
	for _, j := range judged {
		if j == nil {
			m.Skipped++
			continue
		}
		m.Runs++
		m.Cells = append(m.Cells, j.cell)
		if len(x.try) > 0 && j.missed != "" {
			missed = append(missed, fmt.Errorf("Try: %s", j.missed))
		}
	}
	var runs int
	m.Violations, runs = x.shrinkAll(cells, judged)
	m.Runs += runs
	m.Time = time.Since(start)
	m.sampled = x.sampled || m.Skipped > 0 || len(x.try) > 0
	return m, errors.Join(append(append(missed, x.untested(m)...), x.watchdog.givenUp())...)
}

// establish makes base the run that all others are compared with. It returns an
// error if base failed or sent no request.
func (x *explorer) establish(base *run) error {
	if err := x.failedBase(base); err != nil {
		return err
	}
	x.base, x.requests = base, requestsOf(base.records)
	if len(x.requests) == 0 {
		return errors.New("the undisturbed run sent no request; use reg.Client() or a clone of reg.Transport() in the client")
	}
	x.sequential = sequential(base.records)
	return nil
}

// runAll makes the runs and judges them. The judgement of a run is nil if the
// time of [Budget] was over before the run began, or if the watchdog gave up
// on that run or an earlier one.
func (x *explorer) runAll(cells []cell, start time.Time) []*judgement {
	judged := make([]*judgement, len(cells))
	order := make(chan int, len(cells))
	for _, i := range x.order(len(cells)) {
		order <- i
	}
	close(order)
	var group sync.WaitGroup
	for range max(x.jobs, 1) {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range order {
				if x.time > 0 && time.Since(start) > x.time {
					continue
				}
				if r := x.attempt(cells[i].plan()); r != nil {
					j := x.judge(r, cells[i])
					judged[i] = &j
				}
			}
		}()
	}
	group.Wait()
	return judged
}

// check returns an error if the options name an unknown fault or violation, or
// ask for stalls over loopback.
func (x *explorer) check() error {
	var names []string
	stalls := x.stalls
	for _, tr := range troubles() {
		names = append(names, tr.name)
		stalls = stalls || tr.endless && slices.Contains(x.must, tr.name)
	}
	if stalls && x.loopback {
		return fmt.Errorf("Stalls: over loopback, a run ends after %v, before most clients time out", x.limit())
	}
	return cmp.Or(
		known("MustSucceed: no fault", x.must, append(names, cancelling)),
		known("Accept: no violation", x.accepted, kinds))
}
