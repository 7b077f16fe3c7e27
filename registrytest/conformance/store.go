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

// Store tests that a [registry.Store] meets the documentation of that interface,
// in one subtest for each rule. Each subtest starts with a call of open, which
// returns an empty, writable store. The function open may call t.Cleanup to
// close the store.
//
// The test puts valid content: digests match, manifests are valid, and their
// blobs are in the repository before them.
//
// The repositories of some stores share their blobs. Such a store has a method
// SharesBlobs() bool that returns true. For it, Store skips the rules about
// blobs of a single repository, and those about repositories without manifests.
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

// A rule is one part of the contract of [registry.Store], with its check.
type rule struct {
	name  string
	check func(t *storeTest)
}

var rules = slices.Concat(blobRules, mountRules, manifestRules, listRules, concurrencyRules)

// A storeTest is the check of one rule against one store.
type storeTest struct {
	testing.TB
	ctx     context.Context
	store   registry.Store
	timeout time.Duration // after which a call is considered stuck
	seed    *atomic.Uint64
}

// sharesBlobs reports whether the repositories of the store share their blobs.
func (t *storeTest) sharesBlobs() bool {
	s, ok := t.store.(interface{ SharesBlobs() bool })
	return ok && s.SharesBlobs()
}

// needsOwnBlobs skips the rule if the repositories of the store share their
// blobs.
func (t *storeTest) needsOwnBlobs() {
	if t.sharesBlobs() {
		t.Skip("the repositories of this store share their blobs")
	}
}

// add creates a repository by putting a blob or, if a blob does not create a
// repository in this store, a manifest.
func (t *storeTest) add(repo string) {
	t.Helper()
	if t.sharesBlobs() {
		t.put(repo, t.image(repo, imageSpec{}))
	} else {
		t.push(repo, t.bytes(10))
	}
}

// bytes returns n bytes that differ in each call.
func (t *storeTest) bytes(n int) []byte {
	b := make([]byte, n)
	seed := t.seed.Add(1)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// A goroutineTB is a [testing.TB] for a goroutine that a test started. Its
// methods Fatal and Fatalf end that goroutine, since only the goroutine of the
// test itself may call FailNow. After close, it ignores failures, because a
// stuck goroutine may continue after the test.
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

// within calls f in another goroutine, and fails the test if f does not return
// before the timeout. If the store is stuck, the goroutine remains.
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

// concurrently calls f(0) to f(n-1), each in a goroutine, and waits for all of
// them.
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

// leftRunning calls f n times, and waits until fewer than n of the goroutines
// that the calls started still run. It returns their number, which is n or more
// after a timeout.
func (t *storeTest) leftRunning(n int, f func()) (left int) {
	t.Helper()
	// A goroutine inherits the labels of the goroutine that starts it.
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

// each calls use for each item of the list, and returns the number of items.
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

// leave iterates over a list and breaks at its first item. It fails the test if the
// list is empty or continues.
func leave[T any](t *storeTest, method string, list iter.Seq2[T, error]) {
	t.Helper()
	yielded := 0
	list(func(T, error) bool {
		yielded++
		return false
	})
	if yielded != 1 {
		t.Errorf("%s calls yield %d times; want 1, since the first call returns false", method, yielded)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

type oneByteReader struct{ io.Reader }

func (r oneByteReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }
