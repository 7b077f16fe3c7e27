package explore

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// Each option has an effect on EveryFault, on Hostile, or on both. Giving an option to a
// function on which it has no effect is an error. So are the zero Option and a negative
// value.
func TestOptionsApply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option                    Option
		everyFault, hostile, name string
	}{
		{MustSucceed(), "", "MustSucceed is an option of EveryFault and has no effect on Hostile; leave it out", "MustSucceed"},
		{Golden("x"), "", "Golden is", "Golden"},
		{Accept(early), "", "Accept is", "Accept"},
		{Seed(1), "", "Seed is", "Seed"},
		{Budget(1, 0), "", "Budget is", "Budget"},
		{Timeout(1), "", "", "Timeout"},
		{Jobs(1), "", "Jobs is", "Jobs"},
		{Pairs(1), "", "Pairs is", "Pairs"},
		{Cancellations(), "", "Cancellations is", "Cancellations"},
		{Stalls(), "", "Stalls is", "Stalls"},
		{Try("x"), "", "Try is", "Try"},
		{Login("ci", "x"), "Login is an option of Hostile and has no effect on EveryFault; leave it out", "", "Login"},
		{Verifies(), "Verifies is", "", "Verifies"},
		{OnlyTraps("x"), "OnlyTraps is", "", "OnlyTraps"},
		{ExceptTraps("x"), "ExceptTraps is", "", "ExceptTraps"},
		{OverLoopback(), "", "", "OverLoopback"},
		{Server(nil), "", "", "Server"},
		{ReportOnly(), "", "", "ReportOnly"},
		{Announce(io.Discard), "", "", "Announce"},
		{Option{}, "an Option is empty", "an Option is empty", ""},
		{Budget(-1, 0), "Budget: a value is negative", "Budget is", "Budget"},
		{Budget(0, -1), "Budget: a value is negative", "Budget is", "Budget"},
		{Timeout(-time.Second), "Timeout: a value is negative", "Timeout: a value is negative", "Timeout"},
		{Jobs(-3), "Jobs: a value is negative", "Jobs is", "Jobs"},
		{Pairs(-2), "Pairs: a value is negative", "Pairs is", "Pairs"},
	} {
		require.Equal(t, c.name, c.option.name)
		for function, want := range map[string]string{everyFault: c.everyFault, hostileRun: c.hostile} {
			err := new(config).apply(function, []Option{c.option})
			if want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, want)
			}
		}
	}
}

// Hostile announces the undisturbed run and each trap.
func TestAnnounceTraps(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	Hostile(t, getting, get, Announce(&out), OnlyTraps("huge header"), ReportOnly())
	require.Contains(t, out.String(), "explore: TestAnnounceTraps: undisturbed\n")
	require.Contains(t, out.String(), "explore: TestAnnounceTraps: huge header\n")
}

// Hostile heeds Timeout.
func TestTimeoutOfHostile(t *testing.T) {
	t.Parallel()
	h := &hostile{explorer: explorer{t: t, setup: getting, run: func(t *T, _ *registrytest.Server) error {
		deadline, _ := t.Context().Deadline()
		return errors.New(time.Until(deadline).String())
	}}}
	require.NoError(t, h.apply(hostileRun, []Option{Timeout(7 * time.Second)}))
	require.EqualError(t, h.attempt("any", func(*hostileWorld) {}).err, "7s")
}

// A panic in a function of Cleanup is a violation.
func TestPanicInCleanup(t *testing.T) {
	t.Parallel()
	run := func(t *T, reg *registrytest.Server) error {
		err := getAs(client{bug: "does not retry 503"}, t, reg)
		if err != nil {
			t.Cleanup(func() { panic("in the end") })
		}
		return err
	}
	m := EveryFault(t, getting, run, ReportOnly(), Try("get-manifest once status=503"))
	require.Len(t, m.Violations, 1)
	require.Equal(t, "explore: a function of Cleanup panicked: in the end", m.Violations[0].Text)
	h := &hostile{explorer: explorer{t: t, setup: getting, run: func(t *T, _ *registrytest.Server) error {
		t.Cleanup(func() { panic("in the end") })
		return nil
	}}}
	require.Equal(t, "panics: in a function of Cleanup: in the end", h.attempt("any", func(*hostileWorld) {}).broken())
}

type node struct {
	Name string
	next *node
	more []*node
}

// The text of a result has no address, and tells different values apart.
func TestTextOf(t *testing.T) {
	t.Parallel()
	value := func(name string) any {
		n := &node{Name: "a", next: &node{Name: name}}
		n.more = []*node{n.next, n} // a circle
		return n
	}
	require.Equal(t, textOf(value("b")), textOf(value("b")))
	require.NotEqual(t, textOf(value("b")), textOf(value("c")))
	number := 5
	for _, v := range []any{nil, 5, "x", []string{"a", "b"}, map[string]int{"a": 1}, node{Name: "a"}, &node{Name: "a"}, errors.New("x"), digest.FromString("x"),
		(*node)(nil), []error{errors.New("x")}, time.Second, [2]any{1, nil}} {
		require.Equal(t, fmt.Sprint(v), textOf(v))
	}
	for want, v := range map[string]any{
		"&5":                                     &number,
		`map["k:&{Name:a next:<nil> more:[] }"]`: map[string]*node{"k": {Name: "a"}},
		"[&5 ]":                                  []*int{&number},
		"{Func:func() }":                         struct{ Func func() }{func() {}},
		"{Time:0s p:&5 }": struct {
			Time time.Duration
			p    *int
		}{0, &number},
	} {
		require.Equal(t, want, textOf(v))
	}
}

// A result that the undisturbed run sets to two values is an error.
func TestAmbiguousResult(t *testing.T) {
	t.Parallel()
	twice := func(second string) *explorer {
		return &explorer{t: t, setup: getting, config: config{runs: 1}, run: func(t *T, reg *registrytest.Server) error {
			err := getAs(client{}, t, reg)
			t.Result("blob", "a")
			t.Result("blob", second)
			return err
		}}
	}
	_, err := twice("b").explore()
	require.EqualError(t, err, `the undisturbed run set the result "blob" to two different values; give each result a name of its own`)
	_, err = twice("a").explore()
	require.NoError(t, err)
}

// If a client pushes a different manifest each time, the violation names likely causes.
func TestChangingManifest(t *testing.T) {
	t.Parallel()
	n := 0
	run := func(t *T, reg *registrytest.Server) error {
		n++
		img := image()
		img.Manifest = []byte(strings.Replace(string(img.Manifest), "{", fmt.Sprintf(`{"annotations":{"n":"%d"},`, n), 1))
		return pushImage(client{}, t, reg, img)
	}
	m := EveryFault(t, nil, run, ReportOnly(), Try("put-manifest once status=503"))
	require.Len(t, m.Violations, 1, "%s", m)
	require.Equal(t, wrongContent, m.Violations[0].Kind)
	require.Contains(t, m.Violations[0].Text, "; it pushed a manifest that the undisturbed run did not push; if a manifest contains the time or random numbers, fix them for the test")
}
