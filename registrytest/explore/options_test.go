package explore

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// get is an operation that requests one manifest.
func get(t *T, reg *registrytest.Server) error { return getAs(client{}, t, reg) }

func getAs(c client, t *T, reg *registrytest.Server) error {
	return c.at(reg).retry(t.Context(), func() error {
		resp, err := c.at(reg).do(t.Context(), "GET", "/v2/"+repo+"/manifests/v1", nil, nil, 200)
		if err != nil {
			return err
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		t.Result("manifest", body.Bytes())
		return errors.Join(err, resp.Body.Close())
	})
}

var getting = operations["pull"].setup

// The context of a run is done after the time of Timeout, or after 30 minutes.
func TestTimeout(t *testing.T) {
	t.Parallel()
	run := func(t *T, reg *registrytest.Server) error {
		err := getAs(client{bug: "does not retry 503"}, t, reg)
		if err != nil {
			<-t.Context().Done()
		}
		return err
	}
	for text, opts := range map[string][]Option{
		"the operation ended only when its context did, after 30m0s": nil,
		"the operation ended only when its context did, after 7s":    {Timeout(7 * time.Second)},
	} {
		m := EveryFault(t, getting, run, append(opts, ReportOnly(), Try("get-manifest status=503"))...)
		require.Len(t, m.Violations, 1, "%s", m)
		require.Equal(t, late, m.Violations[0].Kind)
		require.Equal(t, text, m.Violations[0].Text)
	}
}

// EveryFault works with a layout, HTTPS, HTTP/2 and users.
func TestServers(t *testing.T) {
	t.Parallel()
	user := auth.Credentials{Username: "ci", Password: "secret"}
	for name, opts := range map[string]func(t *T) []registrytest.Option{
		"layout": func(t *T) []registrytest.Option {
			store, err := layout.Open(t.TempDir())
			if err != nil {
				t.Fatalf("%v", err)
			}
			t.Cleanup(func() { store.Close() })
			return []registrytest.Option{registrytest.WithStore(store)}
		},
		"HTTPS": func(*T) []registrytest.Option {
			return []registrytest.Option{registrytest.WithTLS(registrytest.OnlyHTTP1)}
		},
		"HTTP2": func(*T) []registrytest.Option { return []registrytest.Option{registrytest.WithTLS()} },
		"users": func(t *T) []registrytest.Option {
			a := auth.Basic()
			if err := a.AddUser(user); err != nil {
				t.Fatalf("%v", err)
			}
			return []registrytest.Option{a}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "HTTP2" {
				testclient.NeedHTTP2InBubbles(t)
			}
			var c client
			if name == "users" {
				c.user = user.Username
				c.password = user.Password
			}
			m := EveryFault(t, getting, operations["pull"].run(c), Server(opts), Budget(20, 0), Seed(3))
			require.Equal(t, 21, m.Runs)
			require.Contains(t, m.Summary(), string(Retried))
			require.Empty(t, m.Violations)
		})
	}
}

// Over loopback, runs have the outcomes that they have in a bubble. A response that the
// client leaves open is a violation there, too.
func TestOverLoopback(t *testing.T) {
	t.Parallel()
	m := EveryFault(t, getting, get, OverLoopback(), Jobs(4), Try(
		"get-manifest once status=503", "get-manifest once corrupt=1", "get-manifest once status=404",
		"get-manifest once status=307 location=http://"+otherHost, "cancel at get-manifest once"), ReportOnly())
	var got []Outcome
	for _, c := range m.Cells {
		got = append(got, c.Outcome)
	}
	require.Equal(t, []Outcome{Retried, Violated, Failed, Unaffected, Failed}, got, m)
	require.Len(t, m.Violations, 1)
	require.Equal(t, wrongContent, m.Violations[0].Kind)

	leaking := func(t *T, reg *registrytest.Server) error {
		resp, err := reg.Client().Get(reg.URL + "/v2/" + repo + "/manifests/v1")
		if err == nil && resp.StatusCode == 200 {
			return resp.Body.Close()
		}
		return err // The body stays open.
	}
	m = EveryFault(t, getting, leaking, OverLoopback(), Try("get-manifest once status=503"), ReportOnly())
	require.Len(t, m.Violations, 1)
	require.Equal(t, leftOpen, m.Violations[0].Kind)
}

// With one job, the same seed gives the same matrix. Another seed gives other pairs.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	explore := func(seed uint64) string {
		m := EveryFault(t, getting, get, Pairs(20), Seed(seed), Budget(40, 0), ReportOnly())
		m.Time = 0
		text, err := json.Marshal(m)
		require.NoError(t, err)
		return string(text)
	}
	first := explore(1)
	for range 2 {
		require.Equal(t, first, explore(1))
	}
	require.NotEqual(t, first, explore(2))
	require.Contains(t, first, ` and get-manifest `, "the matrix must contain a pair")
}

// The comparison fails if an outcome differs from the golden file, or if the file has a
// run that the matrix lacks and no option left out.
func TestGolden(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "golden.md")
	good := EveryFault(t, getting, get, Budget(1000, 0), Accept(wrongDigest))
	require.NoError(t, os.WriteFile(file, []byte(good.Markdown()), 0o666))
	require.NoError(t, good.compareGolden(file))
	sample := EveryFault(t, getting, get, Budget(10, 0), Golden(file), Accept(wrongDigest))
	require.Len(t, sample.Cells, 10)

	bad := EveryFault(t, getting, func(t *T, reg *registrytest.Server) error {
		return getAs(client{bug: "does not retry 503"}, t, reg)
	}, Budget(1000, 0), Accept(wrongDigest))
	err := bad.compareGolden(file)
	require.ErrorContains(t, err, "503 once at get-manifest v1: failed, not retried")
	require.ErrorContains(t, err, updateVariable)
	require.NotContains(t, err.Error(), "502")

	require.NoError(t, os.WriteFile(file, []byte(good.Markdown()+"| 599 once | retried |\n"), 0o666))
	require.ErrorContains(t, good.compareGolden(file), "\n\t599 once: no run has this fault, which the file has")
	require.NoError(t, sample.compareGolden(file), "a sample may leave out runs")
	i := slices.IndexFunc(good.Cells, func(c Cell) bool { return c.Fault == "slow" })
	good.Cells = slices.Delete(good.Cells, i, i+1)
	require.ErrorContains(t, good.compareGolden(file), "\n\tslow at get-manifest v1: no run, but the file has ok")
	bad.Requests[0] = "get-manifest v2"
	require.ErrorContains(t, bad.compareGolden(file), "at get-manifest v1: there is no such request")
	require.ErrorContains(t, bad.compareGolden(file+"x"), "set REGISTRYTEST_UPDATE=1 to write it")
}

// A promise about a fault that no run tests is an error, unless the budget leaves out
// its runs.
func TestUntestedPromises(t *testing.T) {
	t.Parallel()
	explore := func(opts ...Option) (text string, err error) {
		x := &explorer{t: t, setup: getting, run: get}
		for _, o := range opts {
			o.set(&x.config)
		}
		m, err := x.explore()
		require.NotNil(t, m)
		return x.unsampled(m), err
	}
	const never = `MustSucceed: the fault "lost session" fits no request of the operation, so the promise was never tested; leave it out`
	_, err := explore(MustSucceed("lost session", "503 once"), Budget(1, 0))
	require.EqualError(t, err, never)
	text, err := explore(MustSucceed("503 once", "504 once"), Budget(1, 0), Seed(7))
	require.NoError(t, err)
	require.Regexp(t, "^the runs within the budget did not test the promises 50", text)
	text, err = explore(MustSucceed("503 once", "lost session"), Try("get-manifest once status=503"))
	require.NoError(t, err)
	require.Empty(t, text)
	_, err = explore(MustSucceed(cancelling), Budget(1, 0))
	require.ErrorContains(t, err, `the fault "cancelled" fits no request`)

	x := &explorer{config: config{must: []string{"503 once", "slow"}}, requests: []request{{record: &journal.Record{Op: registry.GetManifest}}}}
	m := &Matrix{Cells: []Cell{{Fault: "503 once", Outcome: Retried}, {Fault: "slow", Outcome: NoEffect}}}
	require.EqualError(t, errors.Join(x.untested(m)...),
		`MustSucceed: the fault "slow" changed nothing in any run, so the promise was never tested; leave it out`)
	m.Skipped = 1
	require.Empty(t, x.untested(m))
}

// Options that name something unknown, setups that fail, and operations that fail
// without a fault are errors. So are stalls over loopback.
func TestErrors(t *testing.T) {
	t.Parallel()
	for want, x := range map[string]*explorer{
		`MustSucceed: no fault is called "503 onse"; did you mean "503 once"?`: {config: config{must: []string{"503 onse"}}, run: get},
		"Stalls: over loopback, a run ends after 10s":                          {config: config{stalls: true, loopback: true}, run: get},
		"Stalls: over loopback":                                                {config: config{must: []string{"no response"}, loopback: true}, run: get},
		`Accept: no violation is called "storm"`:                               {config: config{accepted: []string{"storm"}}, run: get},
		`Try: fault rule "get-blobs once"`:                                     {config: config{try: []string{"get-blobs once"}}, run: get},
		"the undisturbed run failed: no":                                       {run: func(*T, *registrytest.Server) error { return errors.New("no") }},
		"the undisturbed run sent no request":                                  {run: func(*T, *registrytest.Server) error { return nil }},
		"the undisturbed run failed: 1 is not 2":                               {run: func(t *T, _ *registrytest.Server) error { t.Fatalf("1 is not %d", 2); return nil }},
		"the undisturbed run failed: request 1 of 3 (3 times); another": {run: func(t *T, _ *registrytest.Server) error {
			for i := range 3 {
				t.Errorf("request %d of 3", i+1)
			}
			t.Errorf("another")
			return nil
		}},
		"the setup failed: no":             {setup: func(t *T, _ *registrytest.Server) { t.Fatalf("no") }, run: get},
		"the setup panicked: no":           {setup: func(*T, *registrytest.Server) { panic("no") }, run: get},
		"the undisturbed run does not end": {run: func(*T, *registrytest.Server) error { select {} }},
		"left 1 connection in use": {run: func(t *T, reg *registrytest.Server) error {
			_, err := reg.Client().Get(reg.URL + "/v2/")
			return err
		}},
	} {
		x.t = t
		if x.setup == nil {
			x.setup = getting
		}
		_, err := x.explore()
		require.ErrorContains(t, err, want)
	}
}

// Accepted violations are notes, and a budget of time leaves out runs.
func TestAcceptAndBudget(t *testing.T) {
	t.Parallel()
	m := EveryFault(t, getting, hasty, Accept(early), Jobs(2), Server(func(*T) []registrytest.Option {
		// The linter finds the same violation as EveryFault.
		return []registrytest.Option{lint.Linter{Rules: []lint.Rule{lint.RetryAfter}}}
	}))
	var accepted []Outcome
	for _, c := range m.Cells {
		if c.Note == early {
			accepted = append(accepted, c.Outcome)
		}
	}
	require.Equal(t, []Outcome{Retried, Retried, Failed, Retried, Retried, Retried, Failed, Retried}, accepted,
		"the runs are once, twice, for good and as a date, for 429 and 503")
	m = EveryFault(t, getting, hasty, Budget(0, time.Nanosecond))
	if runtime.GOOS != "windows" { // On Windows, the clock may tick only 64 times a second.
		require.Equal(t, 1, m.Runs)
	}
	require.Greater(t, m.Skipped, 20)
	require.Contains(t, m.String(), "left out")
}

// Every fault is valid for every request that it applies to, and parsing the
// text of its rule gives the same rule.
func TestRules(t *testing.T) {
	t.Parallel()
	for name, o := range operations {
		x := &explorer{t: t, setup: o.setup, run: o.run(client{})}
		for _, c := range x.begin(t) {
			for _, p := range c.parts {
				text := p.rule().String()
				parsed, err := fault.Parse(text)
				require.NoError(t, err, "%s: %s", name, text)
				require.Equal(t, text, parsed.String())
				var rules inject.Rules
				_, err = rules.Add(parsed)
				require.NoError(t, err)
			}
		}
	}
}

// Announce writes the rule of each run before the run starts.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	EveryFault(t, func(t *T, reg *registrytest.Server) { reg.Push(t, repo+":v1", content.Image()) }, get,
		Announce(&out), Try("get-manifest once status=503"))
	require.Equal(t, "explore: TestAnnounce: undisturbed\nexplore: TestAnnounce: get-manifest once status=503\n", out.String())
}
