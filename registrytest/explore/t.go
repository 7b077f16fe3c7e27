package explore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/crash"
)

// A T is the test of one run. Its failures become violations of the run. It has
// the methods of a [testing.T] that servers and assertions need. Several
// goroutines may call its methods.
type T struct {
	name string
	ctx  context.Context

	mu       sync.Mutex
	failures []string
	failed   bool
	cleanups []func()
	dirs     []string
	results  map[string]string
	replaced []string // the names of results that were set again, to other values
	panicked string   // the panic of a cleanup, or ""
}

func newT(name string, ctx context.Context) *T {
	return &T{name: name, ctx: ctx, results: make(map[string]string)}
}

// Context returns the context of the run. The context is done when the run has
// taken too long, has sent far too many requests, or is cancelled on purpose: see
// [Cancellations]. The operation has to end then.
func (t *T) Context() context.Context { return t.ctx }

// Result adds a result of the operation, such as the content that a client
// pulled. In a run in which the operation succeeds, each result has to be the
// same as in the run without a fault. EveryFault takes the results of that run to
// be right; the run function may check them itself, and call [T.Errorf]. Content
// may be a []byte or a string, or any other value, which is compared as text: that
// of [fmt.Sprint], with the values of pointers in place of their addresses.
//
// Each result has a name of its own. A result that is set again, as after a retry,
// replaces the one before. In the run without a fault, the two must be the same.
func (t *T) Result(name string, content any) {
	var text string
	switch c := content.(type) {
	case []byte:
		text = fmt.Sprintf("%d bytes, sha256:%x", len(c), sha256.Sum256(c))
	default:
		text = textOf(c)
	}
	if len(text) > 200 {
		text = fmt.Sprintf("%d characters, sha256:%x", len(text), sha256.Sum256([]byte(text)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if before, ok := t.results[name]; ok && before != text {
		t.replaced = append(t.replaced, name)
	}
	t.results[name] = text
}

// Name returns the name of the test and the fault.
func (t *T) Name() string { return t.name }

// Helper does nothing: a T reports no positions in the source.
func (t *T) Helper() {}

// Logf does nothing: hundreds of runs would fill the log.
func (t *T) Logf(format string, args ...any) {}

// Errorf adds a violation to the run.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
	t.failures = append(t.failures, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Fatalf adds a violation to the run and ends the goroutine.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// FailNow makes the run a violation and ends the goroutine.
func (t *T) FailNow() {
	t.mu.Lock()
	t.failed = true
	t.mu.Unlock()
	runtime.Goexit()
}

// Failed reports whether the run has a violation so far.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Cleanup calls f after the run, the last function first.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// TempDir returns a new directory, which is removed after the run.
func (t *T) TempDir() string {
	dir, err := os.MkdirTemp("", "explore")
	if err != nil {
		t.Fatalf("explore: making a directory: %v", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirs = append(t.dirs, dir)
	return dir
}

// end calls the cleanups and removes the directories.
func (t *T) end() {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			break
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		if cause := do(f); cause != nil {
			t.Errorf("explore: a function of Cleanup panicked: %v", cause)
			t.panicked = fmt.Sprintf("in a function of Cleanup: %v", cause)
		}
	}
	dirs := t.dirs
	t.dirs = nil
	t.mu.Unlock()
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("explore: %v", err)
		}
	}
}

// ambiguous describes a result that was set to several values, or returns "".
func (t *T) ambiguous() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.replaced) == 0 {
		return ""
	}
	return fmt.Sprintf("set the result %q to two different values; give each result a name of its own", t.replaced[0])
}

// problems returns the failures so far.
func (t *T) problems() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed && len(t.failures) == 0 {
		return []string{"the run called FailNow"}
	}
	return slices.Clone(t.failures)
}

// do calls f in a new goroutine, so that f may call [runtime.Goexit], and waits for
// it. It returns the value that f panicked with, or nil.
func do(f func()) (cause any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { cause = recover() }()
		f()
	}()
	<-done
	return cause
}

// An ending describes how an operation ended.
type ending struct {
	err     error
	cause   string        // the value of a panic and its stack, or ""
	hung    bool          // the operation had not ended at the limit
	elapsed time.Duration // the time until the operation ended, or 0 if it hung
}

// perform calls the operation in a new goroutine, so that it may call
// [runtime.Goexit], and waits for it until the limit. It calls beat every second.
func perform(operation func() error, limit time.Duration, beat func()) ending {
	done := make(chan ending, 1)
	start := time.Now()
	go func() {
		end := ending{err: errors.New("the run ended its goroutine")}
		defer func() {
			if cause := recover(); cause != nil {
				end.cause = fmt.Sprintf("%v\n%s", cause, debug.Stack())
			}
			end.elapsed = time.Since(start)
			done <- end
		}()
		end.err = operation()
	}()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	for {
		select {
		case end := <-done:
			return end
		case <-timeout.C:
			return ending{err: errors.New("the run did not end"), hung: true}
		case <-clock.C:
			beat()
		}
	}
}

// crashOf describes the crash of the program that the operation ran, or returns "".
// The error of the operation wraps the program's [exec.ExitError], and has its output
// in the text or in Stderr. A signal that ended the program counts as a crash, unless
// the context or the error says that the program was stopped.
func crashOf(ctx context.Context, err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return ""
	}
	stopped := ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	return crash.Of(exit.ProcessState, err.Error()+"\n"+string(exit.Stderr), stopped)
}

// A quietTest is the test to which the fault rules of a run report. It keeps the
// report of a rule that hit no request or had no effect.
type quietTest struct{ failed string }

func (*quietTest) Helper()                     {}
func (*quietTest) Name() string                { return "" }
func (*quietTest) Logf(string, ...any)         {}
func (q *quietTest) Errorf(f string, a ...any) { q.failed = fmt.Sprintf(f, a...) }
func (*quietTest) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...)) // Unreachable: all rules were checked before the run.
}
func (*quietTest) Failed() bool    { return false }
func (*quietTest) Cleanup(func())  {}
func (*quietTest) TempDir() string { return "" }
