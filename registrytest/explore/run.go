package explore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/journal"
)

// host is the registry's address in its network in memory. It is a loopback
// address, since clients that choose between HTTP and HTTPS use HTTP for such addresses.
const host = "127.0.0.1:5000"

// These are the times that a run takes or allows. In a bubble they cost no real time.
const (
	bubbleLimit   = 30 * time.Minute
	loopbackLimit = 10 * time.Second
	grace         = 5 * time.Minute // the time for a client in a bubble to end after its context is done
	afterTime     = time.Minute     // the time for timers that still run after the operation
	heedTime      = time.Second     // the time for a client to notice that its context was cancelled
)

// A plan has the faults and the cancellation of a run.
type plan struct {
	name     string
	rules    []fault.Rule
	cancelAt *fault.Rule // matches the request at which the context is cancelled, or nil
}

// A run is one call of the operation, with its results and the traces that it left.
type run struct {
	plan    plan
	t       *T
	err     error    // the error of the operation
	cause   string   // the panic of the operation, or ""
	crash   string   // the crash of the program that the operation ran, or ""
	hung    bool     // the operation did not end
	late    bool     // the operation ended only because its context did
	flooded bool     // the operation sent so many requests that its context was cancelled
	leaked  string   // the goroutines that were left, or ""
	inUse   int      // the number of connections with an unread response body
	shown   []string // the requests that showed credentials to another host
	elapsed time.Duration
	goesOn  time.Duration // the time from the cancellation to the end of the operation

	cancelled atomic.Int64 // the time of the cancellation, in nanoseconds, or 0

	fired    bool     // a rule hit a request
	idle     bool     // a rule hit a request and had no effect on it
	missed   []string // reports about rules that hit no request
	records  []*journal.Record
	before   tagging // the tags in the store before the run
	after    tagging
	pushed   []thing  // the pushed content, in the undisturbed run only
	missing  []string // the pushed content that the store lacks
	setup    error    // the failure of the setup
	problems []string
}

var errFlood = errors.New("the client sent far too many requests")

// attempt runs the operation once with the faults of the plan. The run is in a
// bubble, unless it is over loopback. It returns nil if the watchdog gave up on
// this run or an earlier one.
func (x *explorer) attempt(p plan) *run {
	r := &run{plan: p}
	x.announceRun(p.name)
	if x.loopback {
		x.within(r, func() {})
		return r
	}
	leaked, ended := x.watchdog.bubble(x.t, p.name, func(beat func()) { x.within(r, beat) })
	if !ended {
		return nil // The goroutines of the run may still use r.
	}
	r.leaked = leaked
	return r
}

// announceRun writes the name of a run for [Announce].
func (x *explorer) announceRun(name string) {
	if x.announce != nil {
		x.announcing.Lock()
		defer x.announcing.Unlock()
		fmt.Fprintf(x.announce, "explore: %s: %s\n", x.t.Name(), name)
	}
}

// within runs the operation against a new registry and stores the results in r. It
// calls beat for each sign of progress.
func (x *explorer) within(r *run, beat func()) {
	limit := x.limit()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	t := newT(x.t.Name()+": "+r.plan.name, ctx)
	r.t = t
	var reg *registrytest.Server
	var network conns
	defer func() {
		t.end()
		r.problems = t.problems()
		if !x.loopback {
			time.Sleep(afterTime)
		}
	}()
	var elsewhere *other
	rules := r.plan.rules
	if cause := do(func() {
		var n *registrytest.Network
		reg, n = x.start(t)
		if slices.ContainsFunc(rules, func(r fault.Rule) bool { return strings.Contains(r.String(), otherHost) }) {
			elsewhere = newOther(reg.Store)
			url := elsewhere.serve(t, n)
			rules = slices.Clone(rules)
			for i, rule := range rules {
				var err error
				if rules[i], err = otherURL(rule, url); err != nil {
					t.Fatalf("explore: %v", err)
				}
			}
		}
		network.watch(reg.Transport())
		if x.setup != nil {
			x.setup(t, reg)
		}
	}); cause != nil || t.Failed() {
		r.setup = errors.New("the setup failed")
		if cause != nil {
			r.setup = fmt.Errorf("the setup panicked: %v", cause)
		} else if list := t.problems(); len(list) > 0 {
			r.setup = fmt.Errorf("the setup failed: %s", strings.Join(list, "; "))
		}
		return
	}
	store := reg.Store
	r.before = tagsOf(store)
	earlier := reg.Requests()

	quiet := &quietTest{}
	var faults []*inject.Fault
	reg.Fault(quiet, x.watcher(cancel, beat))
	ended := make(chan struct{})
	if r.plan.cancelAt != nil {
		gate := reg.Hold(quiet, *r.plan.cancelAt)
		faults = append(faults, gate.Fault)
		go func() {
			defer gate.Release()
			select {
			case <-gate.Entered():
				r.cancelled.Store(time.Now().UnixNano())
				cancel(context.Canceled)
			case <-ctx.Done():
				return
			}
			select {
			case <-ended:
				time.Sleep(time.Millisecond) // gives the registry time to notice that the client is gone
			case <-time.After(heedTime):
			}
		}()
	}
	for _, rule := range rules {
		faults = append(faults, reg.Fault(quiet, rule))
	}

	end := perform(func() error { return x.run(t, reg) }, limit+x.grace(), beat)
	close(ended)
	r.err, r.cause, r.hung, r.elapsed = end.err, end.cause, end.hung, end.elapsed
	r.crash = crashOf(ctx, end.err)
	if r.hung {
		network.abandoned.Store(true)
	} else {
		r.late = r.elapsed >= limit
		if at := r.cancelled.Load(); at != 0 {
			r.goesOn = time.Since(time.Unix(0, at))
		}
		x.settle(&network)
		r.inUse = network.inUse()
	}
	if elsewhere != nil {
		r.shown = elsewhere.leaks()
	}
	r.flooded = errors.Is(context.Cause(ctx), errFlood)
	r.records = reg.Requests().Since(earlier).Records()
	r.after = tagsOf(store)
	if x.base == nil {
		r.pushed = pushed(store, r.records)
	} else {
		r.missing = missing(store, x.base.pushed)
	}
	for _, f := range faults {
		r.fired = r.fired || f.Fired() > 0
		check := quietTest{}
		f.Check(&check)
		if f.Fired() > 0 {
			r.idle = r.idle || check.failed != ""
		} else if check.failed != "" {
			r.missed = append(r.missed, setAt.ReplaceAllString(strings.TrimPrefix(check.failed, "fault: "), ""))
		}
	}
	stop()
}

// setAt matches the part of a report that says where a rule was set: always in
// this package, which tells the user nothing.
var setAt = regexp.MustCompile(`, set at [^,]*,`)

// later returns the number of requests that the client sent although it had
// time to notice the cancellation. It does not count requests that cancel an
// upload session.
func (r *run) later() (n int) {
	since := time.Unix(0, r.cancelled.Load()).Add(heedTime / 2)
	for _, q := range r.records {
		if q.Start.After(since) && q.Op != registry.CancelUpload {
			n++
		}
	}
	return n
}

// limit returns the time after which the context of a run is done.
func (x *explorer) limit() time.Duration {
	switch {
	case x.timeout > 0:
		return x.timeout
	case x.loopback:
		return loopbackLimit
	}
	return bubbleLimit
}

func (x *explorer) grace() time.Duration {
	if x.loopback {
		return loopbackLimit / 2
	}
	return grace
}

// start starts a registry: on a port over loopback, and otherwise in a
// network of its own.
func (x *explorer) start(t *T) (*registrytest.Server, *registrytest.Network) {
	var opts []registrytest.Option
	if x.server != nil {
		opts = x.server(t)
	}
	if x.loopback {
		return registrytest.NewServer(t, opts...), nil
	}
	n := registrytest.NewNetwork(t)
	return n.Registry(host, opts...), n
}

// watcher returns a rule that counts the requests of a run and brakes a flood.
func (x *explorer) watcher(cancel context.CancelCauseFunc, beat func()) fault.Rule {
	arrived := brake(x.flood(), cancel, beat)
	return fault.On().Where("explored", func(*registry.Request) bool { return arrived() }).Delay(x.hold())
}

// brake returns a function to call for each request that arrives. The function calls
// beat, and cancels the context when the number of requests exceeds most. When the
// number exceeds twice that, the function reports that the request must wait until the
// run is over: in a bubble, the clock moves only while the client waits.
func brake(most int64, cancel context.CancelCauseFunc, beat func()) (arrived func() (wait bool)) {
	var n atomic.Int64
	return func() bool {
		beat()
		n := n.Add(1)
		if n > most {
			cancel(errFlood)
		}
		return n > 2*most
	}
}

// hold returns a time that exceeds that of a run.
func (x *explorer) hold() time.Duration { return 2 * (x.limit() + x.grace()) }

// flood returns the number of requests after which a client is stopped.
func (x *explorer) flood() int64 {
	if x.base == nil {
		return 10_000
	}
	return int64(10*len(x.base.records) + 100)
}

// settle waits until the client's goroutines are idle. Over loopback it waits until
// the client uses no connection, but not much longer than half a second.
func (x *explorer) settle(c *conns) {
	if !x.loopback {
		synctest.Wait()
		return
	}
	for pause := time.Millisecond; pause < 300*time.Millisecond && c.inUse() > 0; pause *= 2 {
		time.Sleep(pause)
	}
}
