// Package faketb has a test that notes its failures, for tests of code that
// fails tests.
package faketb

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// A TB is a test that notes failures and log lines instead of reporting them.
// What it does not note goes to the test around it. Cleanup functions run when
// [TB.End] is called.
type TB struct {
	testing.TB

	mu       sync.Mutex
	errors   []string
	lines    []string
	cleanups []func()
}

// New returns a TB within the test t.
func New(t testing.TB) *TB { return &TB{TB: t} }

// Helper does nothing.
func (t *TB) Helper() {}

// Failed reports whether there was a failure.
func (t *TB) Failed() bool { return len(t.Errors()) > 0 }

// Cleanup has f called by [TB.End].
func (t *TB) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// End calls the cleanup functions, the last one first.
func (t *TB) End() {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		f()
	}
}

// Logf notes a line.
func (t *TB) Logf(format string, args ...any) { t.note(&t.lines, format, args) }

// Errorf notes a failure.
func (t *TB) Errorf(format string, args ...any) { t.note(&t.errors, format, args) }

// Fatalf notes a failure and ends the goroutine.
func (t *TB) Fatalf(format string, args ...any) {
	t.note(&t.errors, format, args)
	runtime.Goexit()
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
