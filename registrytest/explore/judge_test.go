package explore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// The text of a violation that package lint finds has the reason and the rule.
func TestLint(t *testing.T) {
	t.Parallel()
	run := func(t *T, reg *registrytest.Server) error {
		for range 2 {
			resp, err := reg.Client().Get(reg.URL + "/v2/" + repo + "/manifests/v1")
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			req, _ := http.NewRequest("GET", reg.URL+"/v2/", strings.NewReader("abc"))
			if resp, err = reg.Client().Do(req); err != nil {
				return err
			}
			resp.Body.Close()
		}
		return errors.New("not served")
	}
	m := EveryFault(t, getting, run, ReportOnly(), Try("get-manifest once status=503"),
		Server(func(*T) []registrytest.Option {
			return []registrytest.Option{lint.Linter{Rules: []lint.Rule{lint.NoBody}}}
		}))
	require.Len(t, m.Violations, 1)
	require.Equal(t, "lint: request 2, GET /v2/ 200; breaks the rule no-body: there is a body of 3 bytes; "+
		"GET, HEAD and DELETE have no body. (RFC 9110, sections 9.3.1, 9.3.2 and 9.3.5)", m.Violations[0].Text)
	require.LessOrEqual(t, len(oneLine(strings.Repeat("é", 1000))), maxLine+len("…"))
}

// hasty sends a request up to three times without a pause, whatever the response
// says. It reads each response to its end, because a request that comes earlier
// counts as a parallel one.
func hasty(_ *T, reg *registrytest.Server) error {
	for range 3 {
		resp, err := reg.Client().Get(reg.URL + "/v2/" + repo + "/manifests/v1")
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return errors.New("not served")
}

// A client cannot heed a Retry-After in a header that was cut.
func TestRetryAfterInCutHeader(t *testing.T) {
	t.Parallel()
	for rule, n := range map[string]int{
		"get-manifest once status=429 retry-after=40 close=header:17": 0,
		"get-manifest once status=429 retry-after=40 close=10":        1,
		"get-manifest once status=429 retry-after=40":                 1,
	} {
		m := EveryFault(t, getting, hasty, ReportOnly(), Try(rule))
		require.Len(t, m.Violations, n, "%s", m)
		require.Equal(t, 2, m.Cells[0].Requests)
	}
}

// A request before Retry-After is a violation over loopback, too, and if Retry-After
// is a date. The ten minutes make the test independent of the machine's speed.
func TestRetryAfterOverLoopback(t *testing.T) {
	t.Parallel()
	for rule, text := range map[string]string{
		"get-manifest once status=429 retry-after=600":      `^the client repeated get-manifest after \d+m?s, although Retry-After was 10m0s$`,
		"get-manifest once status=503 retry-after=date:600": `^the client repeated get-manifest after \d+m?s, although Retry-After was 9m59`,
		"get-manifest once status=503 retry-after=0":        "",
		"get-manifest once status=503 retry-after=date:0":   "",
	} {
		m := EveryFault(t, getting, hasty, ReportOnly(), OverLoopback(), Try(rule))
		if text == "" {
			require.Empty(t, m.Violations, "%s", m)
			continue
		}
		require.Len(t, m.Violations, 1, "%s", m)
		require.Equal(t, early, m.Violations[0].Kind)
		require.Regexp(t, text, m.Violations[0].Text)
	}
}

// The rule of a violation of MustSucceed shows the violation again with Try.
func TestTryPromise(t *testing.T) {
	t.Parallel()
	run := func(t *T, reg *registrytest.Server) error {
		return getAs(client{bug: "does not retry 503"}, t, reg)
	}
	m := EveryFault(t, getting, run, ReportOnly(), Budget(1<<20, 0), MustSucceed("503 twice"), Accept(wrongDigest))
	require.Len(t, m.Violations, 1, "%s", m)
	v := m.Violations[0]
	require.Equal(t, promise, v.Kind)
	again := EveryFault(t, getting, run, ReportOnly(), Try(v.Rule, "get-manifest status=503"), MustSucceed("503 twice"))
	require.Len(t, again.Violations, 1, "MustSucceed must not cover a rule without a limit")
	require.Equal(t, v.Rule, again.Violations[0].Rule)
	require.Equal(t, v.Text, again.Violations[0].Text)
}

// A run that shows a violation several times counts once.
func TestRunsOfViolation(t *testing.T) {
	t.Parallel()
	run := func(t *T, reg *registrytest.Server) error {
		err := get(t, reg)
		if n := reg.Requests().Len(); n > 1 {
			t.Errorf("request %d", 1)
			t.Errorf("request %d", 2)
		}
		return err
	}
	m := EveryFault(t, getting, run, ReportOnly(), Budget(1<<20, 0), Accept(wrongDigest))
	violated := 0
	for _, c := range m.Cells {
		if c.Outcome == Violated {
			violated++
		}
	}
	runs := 0
	for _, v := range m.Violations {
		runs += v.Runs
	}
	require.Positive(t, runs)
	require.Equal(t, violated, runs)
}

// A program that crashes is a violation, in EveryFault and in Hostile. A program that
// fails, or that the operation itself stops, is no violation.
func TestCrashedProgram(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs sh and signals")
	}
	const trace = "echo 'panic: no such index' >&2; echo 'goroutine 1 [running]:' >&2; exit 2"
	for _, c := range []struct {
		script   string
		captured bool // the error has the output in Stderr
		stopped  bool // the error says that the operation stopped the program
		want     string
	}{
		{"kill -SEGV $$", false, false, "it was ended by a signal: segmentation fault"},
		{"kill -KILL $$", false, false, "it was ended by a signal: killed"},
		{"kill -KILL $$", false, true, ""},
		{trace, false, false, "it printed a panic: panic: no such index"},
		{trace, true, false, "it printed a panic: panic: no such index"},
		{"exit 2", false, false, ""},
	} {
		run := func(t *T, reg *registrytest.Server) error {
			// Over loopback, a client that retries would wait in real time.
			if getAs(client{bug: "does not retry EOF"}, t, reg) == nil {
				return nil
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", c.script)
			if c.captured {
				_, err := cmd.Output()
				return err
			}
			output, err := cmd.CombinedOutput()
			if c.stopped {
				return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
			}
			return fmt.Errorf("%w: %s", err, output)
		}
		patient := Timeout(time.Minute) // Starting a program takes seconds on a busy machine.
		m := EveryFault(t, getting, run, ReportOnly(), OverLoopback(), patient, Try("get-manifest once status=404"))
		z := Hostile(t, getting, run, ReportOnly(), OverLoopback(), patient, OnlyTraps("huge header"))
		if c.want == "" {
			require.Equal(t, Failed, m.Cells[0].Outcome, "%s: %s", c.script, m)
			require.NotEqual(t, Caught, z.Traps[0].Outcome, "%s: %s", c.script, z.Markdown())
			continue
		}
		require.Len(t, m.Violations, 1, "%s: %s", c.script, m)
		require.Equal(t, crashes, m.Violations[0].Kind)
		require.Equal(t, "the program crashed: "+c.want, m.Violations[0].Text)
		require.Equal(t, "crashed: "+c.want, z.Traps[0].Detail, c.script)
	}
}

// The text of a violation names the manifest and the tag that the registry lacks.
func TestMissingContent(t *testing.T) {
	t.Parallel()
	push := operations["push"].run(client{bug: "takes every response for success"})
	m := EveryFault(t, nil, push, ReportOnly(), Try("put-manifest once status=503"))
	require.Len(t, m.Violations, 1)
	require.Regexp(t, `^the operation succeeded, but the manifest team/app@[0-9a-f]{12} is not there, the tag team/app:v1 is missing$`, m.Violations[0].Text)
}

// An upload session that is left open is a note if the client failed. It is a
// violation if the client succeeded and could have cancelled the session.
func TestOpenSessions(t *testing.T) {
	t.Parallel()
	leaves := operations["push"].run(client{bug: "leaves uploads open"})
	cancels := operations["push"].run(client{})
	for _, c := range []struct {
		rule    string
		run     func(*T, *registrytest.Server) error
		outcome Outcome
		note    string
	}{
		{"put-upload once status=503", leaves, Violated, "1 upload session left"},
		{"put-upload status=503", leaves, Failed, "4 upload sessions left"},
		{"put-upload once status=503", cancels, Retried, ""},
		{"put-upload status=503", cancels, Failed, ""},
		{"start-upload once after-commit reset", leaves, Retried, ""}, // The client never learns of the session.
	} {
		m := EveryFault(t, nil, c.run, ReportOnly(), Try(c.rule))
		require.Equal(t, c.outcome, m.Cells[0].Outcome, "%s", m)
		require.Equal(t, c.note, m.Cells[0].Note, "%s", m)
	}
	m := EveryFault(t, nil, leaves, Accept(leftUpload), Try("put-upload once status=503"))
	require.Equal(t, leftUpload+", 1 upload session left", m.Cells[0].Note)
	tried := []*journal.Record{
		{Op: registry.StartUpload, Session: "a", Status: 202},
		{Op: registry.CancelUpload, Session: "a", Status: 503},
	}
	tried = append(tried, &journal.Record{Op: registry.StartUpload, Session: "b", Status: 202, Gone: true}) // The client did not get the response.
	require.Len(t, openSessions(tried), 2)
	require.Empty(t, knownSessions(tried))
}

// A run counts as resumed if the registry accepted a request that continues in
// the middle of a blob.
func TestResumed(t *testing.T) {
	t.Parallel()
	blob := func(status int, part string) *journal.Record {
		return &journal.Record{Op: registry.GetBlob, Status: status, Range: part}
	}
	upload := func(op registry.Op, session string, status int, part string) *journal.Record {
		return &journal.Record{Op: op, Session: session, Status: status, Range: part}
	}
	asks := func(status int, has string) *journal.Record {
		return &journal.Record{Op: registry.GetUpload, Session: "a", Status: status, ResponseHeader: http.Header{"Range": {has}}}
	}
	patch, put := registry.PatchUpload, registry.PutUpload
	x := &explorer{base: &run{records: []*journal.Record{
		blob(200, ""), upload(patch, "x", 202, "0-9"), upload(patch, "x", 202, "10-19"), upload(put, "x", 201, ""),
	}}}
	for _, c := range []struct {
		name    string
		want    bool
		records []*journal.Record
	}{
		{"the rest", true, []*journal.Record{blob(200, ""), blob(206, "bytes=5-")}},
		{"the rest is refused", false, []*journal.Record{blob(200, ""), blob(416, "bytes=5-"), blob(200, "")}},
		{"no response to the rest", false, []*journal.Record{blob(200, ""), blob(0, "bytes=5-"), blob(200, "")}},
		{"the same chunk after asking", true, []*journal.Record{
			upload(patch, "a", 202, "0-9"), upload(patch, "a", 503, "10-19"), asks(204, "0-9"), upload(patch, "a", 202, "10-19")}},
		{"another chunk", true, []*journal.Record{upload(patch, "a", 202, "0-9"), upload(patch, "a", 202, "5-14")}},
		{"the end after asking", true, []*journal.Record{upload(patch, "a", 0, "0-9"), asks(204, "0-19"), upload(put, "a", 201, "")}},
		{"only asked", false, []*journal.Record{
			upload(patch, "a", 416, "10-19"), asks(204, "0-4"), upload(patch, "b", 202, "0-9"), upload(patch, "b", 202, "10-19"), upload(put, "b", 201, "")}},
		{"the chunk after asking is refused", false, []*journal.Record{
			upload(patch, "a", 503, "0-9"), asks(204, "0-4"), upload(patch, "a", 416, "0-9"), upload(patch, "b", 202, "0-9")}},
		{"an empty session", false, []*journal.Record{upload(patch, "a", 503, "0-9"), asks(204, "0-0"), upload(patch, "a", 202, "0-9")}},
	} {
		require.Equal(t, c.want, x.resumed(&run{records: c.records}), c.name)
	}
}

// Without MustSucceed, the log lists the temporary faults with which the client fails.
func TestUnpromised(t *testing.T) {
	t.Parallel()
	fails := func(t *T, reg *registrytest.Server) error {
		resp, err := reg.Client().Get(reg.URL + "/v2/" + repo + "/manifests/v1")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return err
	}
	x := &explorer{t: t, setup: getting, run: fails, config: config{runs: 1 << 20}}
	m, err := x.explore()
	require.NoError(t, err)
	require.Regexp(t, `^the operation failed at 1 request with temporary faults after which the client could have retried \(408 once, 408 twice, 429 once, \d+ more\); to make such failures violations, see MustSucceed$`, x.unpromised(m))
	x.golden = "testdata/pull.md"
	require.Empty(t, x.unpromised(m))
	x.golden, x.run = "", get
	m, err = x.explore()
	require.NoError(t, err)
	require.Empty(t, x.unpromised(m), "%s", m)
}

// If no trap was tried, the log says why.
func TestUntried(t *testing.T) {
	run := func(t *T, reg *registrytest.Server) error {
		return newWary(reg, "right", "", "").push(t, "team/new", "v1", []byte("a config"))
	}
	z := Hostile(t, nil, run, OnlyTraps("Location of an upload at another host", "Location of an upload without TLS"))
	require.Equal(t, "no trap was tried: the client has no credentials; see Login", z.untried())
	require.Empty(t, meetHostile(t, "right", "push", OnlyTraps("Location of an upload at another host")).untried())
}

// Stalls shows that a client has no timeout. A timeout of the client or of
// its caller is enough.
func TestStalls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run  func(t *T, reg *registrytest.Server) error
		want string // the kind of the violations, or the outcome of the runs
	}{
		"no timeout": {get, late},
		"a timeout of the client": {func(t *T, reg *registrytest.Server) error {
			c := client{}.at(reg)
			c.http.Timeout = time.Minute
			return c.retry(t.Context(), func() error {
				resp, err := c.do(t.Context(), "GET", "/v2/"+repo+"/manifests/v1", nil, nil, 200)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				return errors.Join(err, resp.Body.Close())
			})
		}, string(Retried)},
		"a timeout of the caller": {func(t *T, reg *registrytest.Server) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := client{}.at(reg).pull(ctx, repo, "v1")
			return err
		}, string(Failed)},
	} {
		x := &explorer{t: t, setup: getting, run: c.run}
		endless := func(c cell) bool { return c.parts[0].trouble.endless }
		require.False(t, slices.ContainsFunc(x.begin(t), endless), "without Stalls, no run has an endless fault")
		x.must = []string{"stalled for good"}
		require.True(t, slices.ContainsFunc(x.begin(t), endless))
		x.must, x.stalls = nil, true
		cells := slices.DeleteFunc(x.begin(t), func(c cell) bool { return !endless(c) })
		judged := x.runAll(cells, time.Now())
		require.NotEmpty(t, judged)
		require.Zero(t, len(judged)%2)
		for _, j := range judged {
			got := string(j.cell.Outcome)
			for _, v := range j.violations {
				got = v.Kind
			}
			require.Equal(t, c.want, got, "%s: %s: %s %v", name, j.cell.Rule, j.cell.Error, j.violations)
		}
	}
}
