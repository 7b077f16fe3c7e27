package explore

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ocireg/registry/registrytest"
)

// An Option configures [EveryFault], [Hostile] or both. The test fails at once if an
// option is given to a function on which it has no effect.
type Option struct {
	name string
	of   string // the only function that the option is for, or ""
	set  func(*config)
}

// These are the names of the functions that have options of their own.
const (
	everyFault = "EveryFault"
	hostileRun = "Hostile"
)

// apply sets the options that a caller gave to a function. It returns an error if an
// option is empty, has no effect on that function, or has a negative value.
func (c *config) apply(function string, opts []Option) error {
	for _, o := range opts {
		switch {
		case o.set == nil:
			return errors.New("an Option is empty; make it with a function of this package")
		case o.of != "" && o.of != function:
			return fmt.Errorf("%s is an option of %s and has no effect on %s; leave it out", o.name, o.of, function)
		}
		o.set(c)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"Budget", int64(c.runs)}, {"Budget", int64(c.time)}, {"Timeout", int64(c.timeout)}, {"Jobs", int64(c.jobs)}, {"Pairs", int64(c.pairs)}} {
		if n.value < 0 {
			return fmt.Errorf("%s: a value is negative; use 0 for the default, or a positive value", n.name)
		}
	}
	return nil
}

// A config holds the values of the options.
type config struct {
	loopback   bool
	server     func(*T) []registrytest.Option
	must       []string
	accepted   []string
	golden     string
	reportOnly bool
	seed       uint64
	jobs       int
	runs       int
	time       time.Duration
	timeout    time.Duration
	pairs      int
	cancels    bool
	stalls     bool
	try        []string
	announce   io.Writer

	hostile hostileConfig
}

// OverLoopback runs the client outside of a bubble, against a registry on a port
// of 127.0.0.1. It is for clients that cannot use a registry in memory, such as
// commands. Time is real, so runs take much longer if the client waits before it
// retries: set a [Budget]. The context of a run is done after 10 seconds, or the
// time of [Timeout], and the run ends at most 5 seconds later.
//
// An operation that runs a program returns an error that wraps its *exec.ExitError,
// with the output in the text or in Stderr. Then a crash of the program is a
// violation. If the operation itself ends the program, the error also wraps that of
// the context.
func OverLoopback() Option { return Option{"OverLoopback", "", func(c *config) { c.loopback = true }} }

// Server sets the options of the registry, such as those for HTTPS, a store or
// users. The function is called for each run, so that no run sees the content
// of another. HTTPS in a bubble requires Go 1.26, or [registrytest.OnlyHTTP1].
func Server(opts func(t *T) []registrytest.Option) Option {
	return Option{"Server", "", func(c *config) { c.server = opts }}
}

// MustSucceed makes it a violation if the operation fails under one of the
// faults, such as "503 once", at any request. Without such a promise, a client
// that has lost its retries goes unnoticed, because it fails cleanly. The test fails
// if a fault fits no request of the operation or has no effect on any, because such a
// promise was not tested.
func MustSucceed(faults ...string) Option {
	return Option{"MustSucceed", everyFault, func(c *config) { c.must = append(c.must, faults...) }}
}

// Golden compares the outcomes with those in a file: the test fails if an
// outcome has changed, even for the better. The file has the text of
// [Matrix.Markdown], and the path is relative to the directory of the test. If
// the environment variable REGISTRYTEST_UPDATE is not empty, Golden writes the
// file instead. A run that the file has and the matrix does not is a change, too,
// unless [Budget], -short or [Try] leave out runs.
func Golden(file string) Option {
	return Option{"Golden", everyFault, func(c *config) { c.golden = file }}
}

// Accept permits some kinds of violations, such as "before Retry-After". The
// matrix has their names as notes. A kind is the text of [Violation.Kind], so that it
// can be copied from the failure of a test; any other text fails the test at once.
func Accept(kinds ...string) Option {
	return Option{"Accept", everyFault, func(c *config) { c.accepted = append(c.accepted, kinds...) }}
}

// ReportOnly keeps violations from failing the test, and makes [Golden] do nothing.
// The caller examines the [Matrix] or the [TrapReport].
func ReportOnly() Option { return Option{"ReportOnly", "", func(c *config) { c.reportOnly = true }} }

// Seed sets the seed for the choice of sampled runs, 0 by default. With one job
// and a deterministic client, the same seed gives the same matrix.
func Seed(seed uint64) Option { return Option{"Seed", everyFault, func(c *config) { c.seed = seed }} }

// Budget limits the number of runs and the time that they take together. A
// limit of 0 means no limit. The seed selects the runs to leave out. With go
// test -short there are at most 60 runs and those that [MustSucceed] needs,
// unless Budget says otherwise.
func Budget(runs int, d time.Duration) Option {
	return Option{"Budget", everyFault, func(c *config) { c.runs, c.time = runs, d }}
}

// Timeout sets the time after which the context of a run is done:
// 30 minutes in a bubble, and 10 seconds over loopback by default. On a busy
// machine, a command that retries may need longer.
func Timeout(d time.Duration) Option {
	return Option{"Timeout", "", func(c *config) { c.timeout = d }}
}

// Jobs makes n runs at the same time. The default is one.
func Jobs(n int) Option { return Option{"Jobs", everyFault, func(c *config) { c.jobs = n }} }

// Pairs adds n runs, each with two faults that the seed selects.
func Pairs(n int) Option { return Option{"Pairs", everyFault, func(c *config) { c.pairs = n }} }

// Cancellations adds a run for each request in which the context of [T.Context]
// is cancelled when the request arrives. The operation has to end within a
// minute.
func Cancellations() Option {
	return Option{"Cancellations", everyFault, func(c *config) { c.cancels = true }}
}

// Stalls adds two runs for each request: in one the registry never responds, and
// in the other it stops in the middle of the body, if there is one. An operation
// that ends only with the context of [T.Context], after 30 minutes, has no timeout,
// which is a violation. Many clients leave timeouts to the context of their caller.
// For such a client, the operation sets a timeout itself, with
// [context.WithTimeout].
//
// Stalls requires a bubble. Over loopback, a run ends before most timeouts do.
func Stalls() Option { return Option{"Stalls", everyFault, func(c *config) { c.stalls = true }} }

// Try makes one run for each of the rules, and no others, for example to
// reproduce a violation. A rule is a text for [fault.Parse], or "cancel at"
// followed by the part of such a text that selects a request. Two rules joined by
// " and " apply to the same run.
func Try(rules ...string) Option {
	return Option{"Try", everyFault, func(c *config) { c.try = append(c.try, rules...) }}
}

// Announce writes the rule or the trap of each run before it starts: if the client
// panics in a goroutine of its own, the program ends, and the last line names the
// run.
func Announce(w io.Writer) Option { return Option{"Announce", "", func(c *config) { c.announce = w }} }
