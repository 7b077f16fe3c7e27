package inject

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/ocireg/registry/internal/hint"
)

// A Fault is a rule that was added to [Rules].
type Fault struct {
	noun     string // the noun for it in messages: "fault" or "gate"
	name     string
	injector Injector
	rules    *Rules
	where    string // the file and line of the caller that added it, or ""
	checked  atomic.Bool
}

// Fired returns the number of requests that the rule has hit.
func (f *Fault) Fired() int { return f.injector.Fired() }

// Remove removes the rule from its [Rules]. The rule still has its effects on the
// requests that it has hit already.
func (f *Fault) Remove() {
	f.rules.change(func(rules []*Fault) (others []*Fault) {
		for _, other := range rules {
			if other != f {
				others = append(others, other)
			}
		}
		return others
	})
}

// String returns the text of the rule.
func (f *Fault) String() string { return f.name }

// until removes and checks the rule at the end of the test.
func (f *Fault) until(t TB) {
	t.Helper()
	t.Cleanup(func() {
		t.Helper()
		f.Remove()
		f.Check(t)
	})
}

// Check fails the test if the rule hit no request, or fewer than it says, or if a word
// of the rule had no effect on any request. If the test has failed already, Check only
// logs this. A rule that is Optional does not fail the test. Only the first call of
// Check reports anything.
//
// [Rules.Set] calls Check at the end of the test.
func (f *Fault) Check(t TB) {
	mustHaveTest(t, "Fault.Check")
	t.Helper()
	if f.checked.Swap(true) {
		return
	}
	problem, note := f.injector.Report()
	switch {
	case problem != "" && !t.Failed():
		t.Errorf("fault: %s %s", f.title(), problem)
	case problem != "":
		t.Logf("fault: %s %s", f.title(), problem)
	case t.Failed() && note != "":
		t.Logf("fault: %s %q %s", f.noun, f.name, note)
	}
}

// title returns the rule, and the line of the test that set it, for messages.
func (f *Fault) title() string {
	title := fmt.Sprintf("%s %q", f.noun, f.name)
	if f.where != "" {
		title += ", set at " + f.where + ","
	}
	return title
}

// caller returns the file and line of the user's code that called package registrytest,
// or a package below it. It returns "" if a handler made the call for a request.
func caller() string {
	const (
		module = "github.com/ocireg/registry/"
		own    = module + "registrytest"
	)
	pcs := make([]uintptr, 20)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "net/http.") || strings.HasPrefix(frame.Function, module+"internal/jsonapi.") {
			return ""
		}
		if frame.File != "" && (!strings.HasPrefix(frame.Function, own) || strings.HasSuffix(frame.File, "_test.go")) {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// mustHaveTest panics if t is nil. The message has the name of the package whose
// rules the caller sets.
func mustHaveTest(t TB, method string) { hint.NilTest("fault", method, t) }
