package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocireg/registry"
)

// Store tests that a [registry.Store] does as the documentation of that
// interface says, in one subtest for each rule. Store calls open at the start
// of each subtest, and open returns an empty, writable store. It may call
// t.Cleanup to close the store.
//
// The test puts real content: digests match, manifests are valid, and their
// blobs are in the repository before them.
//
// The repositories of some stores share their blobs. Such a store has a method
// SharesBlobs() bool that returns true, and Store skips the rules about blobs that
// belong to one repository, and about repositories without manifests.
//
//	func TestStore(t *testing.T) {
//		conformance.Store(t, func(t *testing.T) registry.Store {
//			return mystore.New(t.TempDir())
//		})
//	}
func Store(t *testing.T, open func(t *testing.T) registry.Store) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			r.check(&storeTest{TB: t, ctx: t.Context(), store: open(t), timeout: 30 * time.Second, seed: new(atomic.Uint64)})
		})
	}
}

// A rule is one promise of [registry.Store], with its check.
type rule struct {
	name  string
	check func(t *storeTest)
}

var rules = slices.Concat(blobRules, mountRules, manifestRules, listRules, concurrencyRules)

// A storeTest is the check of one rule.
type storeTest struct {
	testing.TB
	ctx     context.Context
	store   registry.Store
	timeout time.Duration // after which a call counts as stuck
	seed    *atomic.Uint64
}

// sharesBlobs reports whether the repositories of the store share their blobs.
func (t *storeTest) sharesBlobs() bool {
	s, ok := t.store.(interface{ SharesBlobs() bool })
	return ok && s.SharesBlobs()
}

// needsOwnBlobs skips a rule that a store cannot keep if its repositories share
// their blobs.
func (t *storeTest) needsOwnBlobs() {
	if t.sharesBlobs() {
		t.Skip("the repositories of this store share their blobs")
	}
}

// add adds a repository: with a blob or, if a blob does not make a repository in
// this store, with a manifest.
func (t *storeTest) add(repo string) {
	t.Helper()
	if t.sharesBlobs() {
		t.put(repo, t.image(repo, imageSpec{}))
	} else {
		t.push(repo, t.bytes(10))
	}
}

// bytes returns n bytes that differ from those of every other call.
func (t *storeTest) bytes(n int) []byte {
	b := make([]byte, n)
	seed := t.seed.Add(1)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// A goroutineTB is the testing.TB of a goroutine of the test. FailNow and the
// like end that goroutine, as testing.TB lets only the test's own goroutine
// call them. Once the TB is closed, it drops every report: a goroutine that was
// stuck may go on when the test is over.
type goroutineTB struct {
	testing.TB
	mu     sync.Mutex
	closed bool
}

func (t *goroutineTB) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.TB.Helper()
		t.TB.Errorf(format, args...)
	}
}

func (t *goroutineTB) Error(args ...any) {
	t.TB.Helper()
	t.Errorf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

func (t *goroutineTB) Fatal(args ...any) {
	t.TB.Helper()
	t.Error(args...)
	runtime.Goexit()
}

func (t *goroutineTB) Fatalf(format string, args ...any) {
	t.TB.Helper()
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *goroutineTB) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// within fails the test if f does not return before the timeout. F runs in a
// goroutine of its own, which a store that is stuck leaves behind.
func (t *storeTest) within(step string, f func(t *storeTest)) {
	t.Helper()
	tb := &goroutineTB{TB: t.TB}
	inner := *t
	inner.TB = tb
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(&inner)
	}()
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		tb.close()
		t.Fatalf("%s did not return within %v: the store may hold a lock", step, t.timeout)
	}
}

// concurrently calls f(0) to f(n-1) in goroutines, and waits for all of them.
func (t *storeTest) concurrently(n int, f func(t *storeTest, i int)) {
	t.Helper()
	t.within("concurrent use of the store", func(t *storeTest) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { f(t, i) })
		}
		wg.Wait()
	})
}

// leftRunning calls f n times and returns the number of goroutines started by
// it that do not end. It does not wait for the last of them if they are fewer
// than n.
func (t *storeTest) leftRunning(n int, f func()) (left int) {
	t.Helper()
	// A goroutine inherits the labels of the one that starts it.
	label := fmt.Sprintf("%p", t)
	pprof.Do(t.ctx, pprof.Labels("conformance.Store", label), func(context.Context) {
		for range n {
			f()
		}
	})
	for end := time.Now().Add(t.timeout); ; time.Sleep(time.Millisecond) {
		var profile bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&profile, 1)
		left = 0
		_, groups, _ := strings.Cut(profile.String(), "\n")
		for group := range strings.SplitSeq(groups, "\n\n") {
			if strings.Contains(group, `"conformance.Store":"`+label+`"`) {
				count := 0
				fmt.Sscanf(group, "%d @", &count)
				left += count
			}
		}
		if left < n || time.Now().After(end) {
			return left
		}
	}
}

// each calls use for each name in the list, and returns the number of names.
func (t *storeTest) each(list iter.Seq2[string, error], use func(t *storeTest)) (n int) {
	t.Helper()
	for _, err := range list {
		if err != nil {
			t.Errorf("listing while the store is in use: %v", err)
			return n
		}
		use(t)
		n++
	}
	return n
}

// leave stops a list at its first item.
func leave[T any](t *storeTest, method string, list iter.Seq2[T, error]) {
	t.Helper()
	yielded := 0
	list(func(T, error) bool {
		yielded++
		return false
	})
	if yielded != 1 {
		t.Errorf("%s calls yield %d times, although the first call returned false", method, yielded)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

type oneByteReader struct{ io.Reader }

func (r oneByteReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }
