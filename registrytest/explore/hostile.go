package explore

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// hostileConfig holds the values of the options for [Hostile].
type hostileConfig struct {
	login    auth.Credentials
	verifies bool
	only     []string // the names of the traps to try; nil means all
	except   []string
}

// Login makes the registries of [Hostile] ask for these credentials, which the
// client under test has. It is a violation if they arrive at another host or
// without TLS. The registries issue Bearer tokens. If the operation fails with
// tokens, they ask for Basic credentials instead. Without Login, the traps for
// credentials are not tried.
func Login(user, password string) Option {
	return Option{"Login", hostileRun, func(c *config) { c.hostile.login = auth.Credentials{Username: user, Password: password} }}
}

// Verifies declares that the operation verifies a signature or another referrer
// of an image, and has to fail without a valid one. It lets [Hostile] try the
// traps for verification.
func Verifies() Option {
	return Option{"Verifies", hostileRun, func(c *config) { c.hostile.verifies = true }}
}

// OnlyTraps makes [Hostile] try only these traps, such as one that a client
// stepped into.
func OnlyTraps(names ...string) Option {
	return Option{"OnlyTraps", hostileRun, func(c *config) { c.hostile.only = append(c.hostile.only, names...) }}
}

// ExceptTraps makes [Hostile] leave out traps, such as those that the authors
// of a client do not consider bugs.
func ExceptTraps(names ...string) Option {
	return Option{"ExceptTraps", hostileRun, func(c *config) { c.hostile.except = append(c.hostile.except, names...) }}
}

// Hostile runs an operation of a client against registries with traps, one after
// the other. The traps are those of security advisories, such as a redirect that
// takes credentials to another host, or a list without an end. The client may
// fail, but must not step into the trap. Each trap has a legitimate twin, such
// as a redirect to a CDN, with which the operation has to succeed: a client
// that refuses everything unusual is of no use.
//
// Setup and run are those of [EveryFault]. The operation runs once undisturbed,
// and its requests determine the traps to try. All hosts are names in a
// [registrytest.Network]. With [OverLoopback], they are ports of this machine, and
// traps that need TLS, or other host names or addresses, are left out.
//
// The test fails for each trap that the client steps into, and for each twin with
// which it fails. [TrapReport.Markdown] has the outcomes of all traps, and the reasons
// why some were not tried. If none was tried, the test passes, and its log says why.
// docs/exploring.md describes the traps.
func Hostile(t *testing.T, setup func(t *T, reg *registrytest.Server), run func(t *T, reg *registrytest.Server) error, opts ...Option) *TrapReport {
	t.Helper()
	h := &hostile{explorer: explorer{t: t, setup: setup, run: run}}
	if err := h.apply(hostileRun, opts); err != nil {
		t.Fatalf("explore: %v", err)
	}
	report := h.explore()
	t.Logf("explore: %s", report.Summary())
	if text := report.untried(); text != "" {
		t.Logf("explore: %s", text)
	}
	if !h.reportOnly {
		for _, x := range report.Traps {
			if x.Outcome == Caught || x.Outcome == TwinFails {
				t.Errorf("explore: %v", x)
			}
		}
	}
	return report
}

// A hostile holds the state of one call of [Hostile].
type hostile struct {
	explorer
	scheme string // the scheme of authentication: "", "bearer" or "basic"
	base   *encounter
	other  map[string]string // the results of the operation if its tags have other content, or nil
	moves  bool              // the operation succeeds if its tags have other content
}

// A trap is a behaviour of a hostile registry.
type trap struct {
	name string

	// reference lists, separated by semicolons, at least one advisory about a client that
	// stepped into the trap or section of a standard. Weaknesses (CWE) and issues may follow.
	reference string

	// needs returns the reason why the trap does not apply to the operation,
	// or "" if it applies.
	needs func(h *hostile) string

	// set arranges the trap at the registry and the other hosts.
	set func(w *hostileWorld)

	// judge describes how the client stepped into the trap, or returns "". It may
	// be nil: leaked secrets and other general violations count for every trap.
	judge func(h *hostile, e *encounter) string

	twin twin
}

// A twin is the behaviour of an honest registry that looks like a trap.
type twin struct {
	name string
	set  func(w *hostileWorld)

	// other is set if the results may differ from those of the undisturbed run.
	other bool

	// moved is set if the twin points the tags at other content. Hostile leaves out the
	// twin if the operation refuses such content, as one that verifies signatures does.
	moved bool

	// pages is set if the lists of the twin have several pages. The operation has
	// to request all of them, unless it looks for one signature.
	pages bool
}

func (h *hostile) explore() *TrapReport {
	h.t.Helper()
	start := time.Now()
	report := &TrapReport{Name: h.t.Name()}
	chosen, err := h.chosen()
	if err != nil {
		h.t.Fatalf("explore: %v", err)
	}
	h.undisturbed(report)
	twins := make(map[string]string) // the failure, or "", of each twin tried so far, by name
	for _, tr := range chosen {
		x := TrapResult{Trap: tr.name, Reference: tr.reference, Twin: tr.twin.name}
		if reason := tr.needs(h); reason != "" {
			x.Outcome, x.Detail = NotTried, cmp.Or(h.base.refused(), reason)
			report.Traps = append(report.Traps, x)
			continue
		}
		e := h.encounter(tr.name, tr.set)
		report.Runs++
		x.Outcome = Withstood
		if x.Detail = h.judge(tr, e); x.Detail != "" {
			x.Outcome, x.Requests = Caught, e.lines()
		} else if x.Detail = "succeeds"; e.err != nil {
			x.Detail = "fails: " + firstLine(e.err.Error())
		}
		if x.Outcome == Withstood && (!tr.twin.moved || h.moves) {
			failure, tried := twins[tr.twin.name]
			if !tried {
				e := h.encounter(tr.twin.name, tr.twin.set)
				report.Runs++
				failure = h.judgeTwin(tr.twin, e)
				twins[tr.twin.name] = failure
			}
			if failure != "" {
				x.Outcome, x.Detail = TwinFails, failure
			}
		}
		report.Traps = append(report.Traps, x)
	}
	report.Time = time.Since(start)
	return report
}

// encounter makes a run. The test fails at once if the watchdog gives it up.
func (h *hostile) encounter(name string, set func(*hostileWorld)) *encounter {
	h.t.Helper()
	e := h.attempt(name, set)
	if e == nil {
		h.t.Fatalf("explore: %v", h.watchdog.givenUp())
	}
	return e
}

// chosen returns the traps that OnlyTraps and ExceptTraps leave. It returns an error
// if they name a trap that does not exist.
func (h *hostile) chosen() (chosen []trap, err error) {
	var names []string
	c := h.hostile()
	for _, tr := range traps() {
		names = append(names, tr.name)
		if (c.only == nil || slices.Contains(c.only, tr.name)) && !slices.Contains(c.except, tr.name) {
			chosen = append(chosen, tr)
		}
	}
	return chosen, known("no trap", slices.Concat(c.only, c.except), names)
}

// undisturbed runs the operation against an honest registry. If the operation uses
// tags, it runs again against one whose tags have different content. Later runs are
// compared with both.
func (h *hostile) undisturbed(report *TrapReport) {
	h.t.Helper()
	schemes := []string{""}
	if h.hostile().login.Username != "" {
		schemes = []string{"bearer", "basic"} // Basic is tried if the operation fails with Bearer
	}
	for _, h.scheme = range schemes {
		h.base = h.encounter("undisturbed", func(*hostileWorld) {})
		report.Runs++
		if h.base.err == nil && h.base.broken() == "" && h.base.refused() == "" {
			break
		}
	}
	b := h.base
	switch broken := b.broken(); {
	case b.setup != "":
		h.t.Fatalf("explore: %s", b.setup)
	case broken != "":
		h.t.Fatalf("explore: against an honest registry, the operation %s", broken)
	case b.ambiguous != "":
		h.t.Fatalf("explore: the undisturbed run %s", b.ambiguous)
	case b.err != nil:
		h.t.Fatalf("explore: the operation fails against an honest registry, so no trap can be tried: %v", b.err)
	case len(b.records) == 0:
		h.t.Fatalf("explore: the undisturbed run sent no request; use reg.Client() or a clone of reg.Transport() in the client")
	}
	if h.base.tags() != nil {
		other := h.encounter("other content", func(w *hostileWorld) { w.moveTags(otherImage()) })
		report.Runs++
		h.moves = other.err == nil && other.broken() == ""
		if h.moves && len(h.base.results) > 0 {
			h.other = other.results
		}
	}
}

func (h *hostile) hostile() hostileConfig { return h.config.hostile }

// judge describes how the client stepped into a trap, or returns "".
func (h *hostile) judge(tr trap, e *encounter) string {
	var found []string
	add := func(s string) {
		if s != "" {
			found = append(found, s)
		}
	}
	add(e.broken())
	for _, s := range e.secrets() {
		add(s)
	}
	if tr.judge != nil {
		add(tr.judge(h, e))
	}
	return strings.Join(found, "; ")
}

// judgeTwin describes how the client fails with a twin, or returns "".
func (h *hostile) judgeTwin(tw twin, e *encounter) string {
	broken := e.broken()
	secrets := e.secrets()
	switch {
	case broken != "":
		return fmt.Sprintf("with %s, the operation %s", tw.name, broken)
	case len(secrets) > 0:
		return fmt.Sprintf("with %s, %s", tw.name, secrets[0])
	case e.err != nil:
		return fmt.Sprintf("with %s, which is legitimate, the operation fails: %v", tw.name, e.err)
	case tw.pages && e.unread(h.hostile().verifies) != "":
		return fmt.Sprintf("with %s, which is legitimate, the operation %s", tw.name, e.unread(h.hostile().verifies))
	case !tw.other && !tw.moved && !maps.Equal(e.results, h.base.results):
		return fmt.Sprintf("with %s, which is legitimate, the results differ: got %v, want %v", tw.name, e.results, h.base.results)
	}
	return ""
}

// succeeded returns a judge for a trap with which the operation must fail. The
// parameter bad names the content that a successful operation accepts.
func succeeded(bad string) func(*hostile, *encounter) string {
	return func(_ *hostile, e *encounter) string {
		if e.err == nil {
			return "succeeds, and so accepts " + bad
		}
		return ""
	}
}
