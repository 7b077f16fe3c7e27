package conformance

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// A recorder is a [testing.TB] that collects the failures of a rule, so that a test
// can require them. A skip counts as a failure.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprintln(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skip(args ...any) {
	r.Fatalf("skipped: %s", fmt.Sprintln(args...))
}

// Cleanup does nothing: a store in memory needs no cleanup, and a stuck
// goroutine still uses its writers and readers.
func (r *recorder) Cleanup(func()) {}

// failures checks the rule against the store, and returns the failures.
func failures(t *testing.T, rule rule, store registry.Store, timeout time.Duration) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rule.check(&storeTest{TB: r, ctx: t.Context(), store: store, timeout: timeout, seed: new(atomic.Uint64)})
	}()
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

func TestRulesAreKeptByASoundStore(t *testing.T) {
	t.Parallel()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, failures(t, rule, alter(t, func(*altered) {}), time.Minute))
		})
	}
}

// Each rule can fail: there is an alteration of a store that it notices.
func TestRulesNoticeAlterations(t *testing.T) {
	t.Parallel()
	byName := map[string]rule{}
	unproven := map[string]bool{}
	for _, rule := range rules {
		require.NotContains(t, byName, rule.name)
		byName[rule.name], unproven[rule.name] = rule, true
	}
	check := func(alterations []alteration, timeout time.Duration) {
		for _, a := range alterations {
			for _, name := range a.rules {
				require.Contains(t, byName, name, "rule for %q", a.name)
				delete(unproven, name)
				t.Run(a.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					found := failures(t, byName[name], alter(t, a.alter), timeout)
					require.NotEmpty(t, found, "the rule %q does not notice that %s", name, a.name)
					t.Log(found[0])
				})
			}
		}
	}
	check(slices.Concat(blobAlterations, manifestAlterations, listAlterations, concurrencyAlterations), time.Minute)
	check(stuckAlterations, 100*time.Millisecond)
	require.Empty(t, unproven, "no alteration breaks these rules")
}

// After a timeout, the remaining goroutine reports no failures, since its test
// may be over.
func TestStuckGoroutineReportsNothingLater(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	stuck, reported := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&storeTest{TB: r, timeout: time.Nanosecond}).within("a stuck call", func(t *storeTest) {
			defer close(reported)
			<-stuck
			t.Error("too late")
		})
	}()
	<-ended
	close(stuck)
	<-reported
	require.Equal(t, []string{"a stuck call did not return within 1ns: the store may hold a lock"}, r.failures)
}
