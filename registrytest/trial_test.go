package registrytest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ocireg/registry/registrytest"
)

// A trial is a test that may fail: what it fails with is looked at by another.
type trial struct {
	testing.TB
	mu                  sync.Mutex
	errors, logs, skips []string
	cleanups            []func()
}

// try runs the test to its end, cleanups included.
func try(t testing.TB, test func(t registrytest.TB)) *trial {
	tr := &trial{TB: t}
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { test(tr) })
	for len(tr.cleanups) > 0 {
		last := tr.cleanups[len(tr.cleanups)-1]
		tr.cleanups = tr.cleanups[:len(tr.cleanups)-1]
		run(last)
	}
	return tr
}

func (t *trial) add(to *[]string, format string, args []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*to = append(*to, fmt.Sprintf(format, args...))
}

func (t *trial) Name() string                   { return t.TB.Name() + "/trial" }
func (t *trial) Logf(format string, a ...any)   { t.add(&t.logs, format, a) }
func (t *trial) Errorf(format string, a ...any) { t.add(&t.errors, format, a) }
func (t *trial) Fatalf(format string, a ...any) { t.add(&t.errors, format, a); runtime.Goexit() }
func (t *trial) Skipf(format string, a ...any)  { t.add(&t.skips, format, a); runtime.Goexit() }
func (t *trial) FailNow()                       { t.Fatalf("failed") }
func (t *trial) Cleanup(f func())               { t.cleanups = append(t.cleanups, f) }

func (t *trial) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.errors) > 0
}

// log is all that was logged.
func (t *trial) log() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(slices.Clone(t.logs), "\n")
}
