// Package faketb provides a fake testing.TB that records failures, for tests of
// code that fails tests.
package faketb

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A TB is a test that records failures and log lines instead of reporting them. [TB.End]
// runs the cleanup functions. Methods that TB does not define are those of the real test.
type TB struct {
	testing.TB

	mu       sync.Mutex // guards the fields below
	fatal    bool
	errors   []string
	lines    []string
	skips    []string
	failed   bool
	cleanups []func()
}

// New returns a TB within the real test t. T may be nil if the tested code calls
// neither Name nor a method that TB does not define.
func New(t testing.TB) *TB { return &TB{TB: t} }

// Try runs a test with a new TB, and then its cleanup functions. The test and
// each cleanup function run in a new goroutine, which they may end.
func Try(t testing.TB, test func(t *TB)) *TB {
	t.Helper()
	tb := New(t)
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { test(tb) })
	for f := tb.lastCleanup(); f != nil; f = tb.lastCleanup() {
		run(f)
	}
	return tb
}

// Helper does nothing, because a TB records failures without line numbers.
func (t *TB) Helper() {}

// Name returns a name that differs from the name of the real test.
func (t *TB) Name() string { return t.TB.Name() + "/fake" }

// Failed reports whether there was a failure.
func (t *TB) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed || len(t.errors) > 0
}

// Fail records a failure without a message.
func (t *TB) Fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
}

// FailNow records a failure and ends the goroutine.
func (t *TB) FailNow() { t.Fatalf("failed") }

// Cleanup makes [TB.End] or [Try] call f.
func (t *TB) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// End calls the cleanup functions, in the reverse order of their registration.
func (t *TB) End() {
	for f := t.lastCleanup(); f != nil; f = t.lastCleanup() {
		f()
	}
}

// lastCleanup removes the cleanup function that was added last, and returns it.
// It returns nil if there is none.
func (t *TB) lastCleanup() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.cleanups)
	if n == 0 {
		return nil
	}
	f := t.cleanups[n-1]
	t.cleanups = t.cleanups[:n-1]
	return f
}

// Logf records a line.
func (t *TB) Logf(format string, args ...any) { t.note(&t.lines, format, args) }

// Errorf records a failure.
func (t *TB) Errorf(format string, args ...any) { t.note(&t.errors, format, args) }

// Fatalf records a failure and ends the goroutine.
func (t *TB) Fatalf(format string, args ...any) {
	t.note(&t.errors, format, args)
	t.mu.Lock()
	t.fatal = true
	t.mu.Unlock()
	runtime.Goexit()
}

// Skipf records why the test was skipped and ends the goroutine.
func (t *TB) Skipf(format string, args ...any) {
	t.note(&t.skips, format, args)
	runtime.Goexit()
}

// Fatal reports whether Fatalf was called.
func (t *TB) Fatal() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fatal
}

func (t *TB) note(to *[]string, format string, args []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*to = append(*to, fmt.Sprintf(format, args...))
}

// Errors returns the failures so far.
func (t *TB) Errors() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.errors...)
}

// Lines returns the log lines so far.
func (t *TB) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// Skips returns the reasons to skip so far.
func (t *TB) Skips() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.skips...)
}

// Log returns the log lines so far as one text.
func (t *TB) Log() string { return strings.Join(t.Lines(), "\n") }
