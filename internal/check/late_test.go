package check

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A command that is killed, because it does not end in time, meets no requirement. It
// violates those requirements that demand success, and those that its requests break.
// The others are not tried. For a Note, the observation is that the command does not end
// in time.
func TestKilledCommandMeetsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		task, scenario string
		requirement    Requirement
		want           Outcome
	}{
		{"list", "redirects", followsRedirects, Violated},
		{"list", "credentials", keepsAuthorization, NotTried},
		{"list", "retry-after", waitsForRetryAfter, Violated}, // by requests before the end
		{"list", "warnings", reportsWarnings, NotTried},
		{"list", "warnings", doesNotActOnWarnings, Violated},
		{"pull", "media type", rejectsWrongType, NotTried},
		{"pull-digest", "corrupt manifest", verifiesManifest, NotTried},
		{"pull", "corrupt blob", verifiesBlob, NotTried},
		{"pull", "cut blob", resumesBlob, Observed},
		{"push", "minimum of chunks", respectsMinChunk, NotTried},
		{"push", "chunk accepted in part", chunksInOrder, NotTried},
		{"push", "chunk accepted in part", resumesUpload, Observed},
		{"push", "refused upload", cancelsUploads, NotTried},
		{"attach", "attach with other content at the tag", reportsForeignTag, NotTried},
	} {
		t.Run(c.task+" "+c.requirement.Name, func(t *testing.T) {
			t.Parallel()
			undisturbed := true // the first command; Jobs is 1
			hang := func(ctx context.Context, timeout time.Duration, env, args []string) (execution, error) {
				e, err := inProcess(ctx, timeout, env, args)
				if !undisturbed {
					e.exit, e.late = -1, true
				}
				undisturbed = false
				return e, err
			}
			only := func(scenario string) bool { return scenario == c.scenario }
			report, err := Check(t.Context(), clientOf(t, "impatient", c.task), Config{Jobs: 1, Only: only, run: hang})
			require.NoError(t, err)
			i := slices.IndexFunc(report.Results, func(r Result) bool { return r.Name == c.requirement.Name })
			require.GreaterOrEqual(t, i, 0, "%v", report.Results)
			require.Equal(t, c.want, report.Results[i].Outcome, report.Results[i].Detail)
			switch c.want {
			case NotTried:
				require.Equal(t, killed, report.Results[i].Detail)
			case Observed:
				require.Equal(t, "the command does not end in time", report.Results[i].Detail)
			}
			for _, r := range report.Results {
				require.NotEqual(t, Held, r.Outcome, "%s: %s", r.Name, r.Detail)
			}
		})
	}
}

// Many clients that ignore Retry-After wait a second or two before they repeat a
// request. The scenario tells them from clients that heed it.
func TestClientThatWaitsOnItsOwn(t *testing.T) {
	t.Parallel()
	k := &checker{client: clientOf(t, "impatient", "list"), cfg: Config{run: inProcess}, slots: make(chan struct{}, 1)}
	base, err := k.run(t.Context(), k.client.Tasks[0], func(*world) {})
	require.NoError(t, err)
	s := scenarios[slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == "retry-after" })]
	for _, c := range []struct {
		wait time.Duration
		want Outcome
	}{
		{1200 * time.Millisecond, Violated},
		{2500 * time.Millisecond, Violated},
		{3100 * time.Millisecond, Held},
	} {
		j := &judgement{base: base, task: "list"}
		j.run, err = k.run(t.Context(), base.task, func(w *world) { s.arrange(w, base) })
		require.NoError(t, err)
		sent := j.run.requests.Records()
		require.Len(t, sent, 2)
		require.Equal(t, http.StatusTooManyRequests, sent[0].Status)
		sent[1].Start = sent[0].Start.Add(sent[0].Duration + c.wait) // as if the client had waited
		s.judge(j)
		require.Len(t, j.results, 1)
		require.Equal(t, c.want, j.results[0].Outcome, "a wait of %v: %s", c.wait, j.results[0].Detail)
	}
}
