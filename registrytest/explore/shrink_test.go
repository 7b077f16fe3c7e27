package explore

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// A violation has the shortest rule that shows it, and a run with that rule
// reproduces it.
func TestShrink(t *testing.T) {
	t.Parallel()
	bad := func(t *T, reg *registrytest.Server) error {
		for i := range 2 {
			resp, err := reg.Client().Get(reg.URL + "/v2/" + repo + "/manifests/v1")
			if err != nil {
				return err
			}
			content, err := io.ReadAll(resp.Body)
			t.Result(fmt.Sprint(i), content)
			if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %w", resp.Status, err)
			}
		}
		return nil
	}
	m := EveryFault(t, getting, bad, ReportOnly(), Budget(1<<20, 0))
	rules := make(map[string]Violation)
	for _, v := range m.Violations {
		rules[v.Fault] = v
	}
	v := rules["corrupt byte"]
	require.Equal(t, wrongDigest, v.Kind)
	require.Equal(t, "get-manifest once corrupt=238", v.Rule)
	require.Equal(t, 3, v.Runs, "once at the second request, and always")
	require.Len(t, v.Requests, 2)
	require.Contains(t, v.String(), "wrong manifest: get-manifest once corrupt=238: the operation succeeded, but the result \"0\" is 477 bytes")
	again := EveryFault(t, getting, bad, ReportOnly(), Try(v.Rule), Accept(early))
	require.Equal(t, 2, again.Runs)
	require.Len(t, again.Violations, 1)
	require.Equal(t, v.Text, again.Violations[0].Text)

	two := EveryFault(t, getting, bad, ReportOnly(), Try("get-manifest once corrupt=9 and get-manifest after=1 once status=200 body=own"))
	require.Equal(t, Violated, two.Cells[0].Outcome)
}

// One bug is one violation, however many runs show it, and the text is that of the
// run with its rule.
func TestAlike(t *testing.T) {
	t.Parallel()
	run := func(t *T, reg *registrytest.Server) error {
		c := client{bug: "leaves bodies open"}
		return errors.Join(getAs(c, t, reg), getAs(c, t, reg))
	}
	m := EveryFault(t, getting, run, ReportOnly(), Budget(1<<20, 0), Accept(early, wrongDigest))
	require.Len(t, m.Violations, 1, "%s", m)
	v := m.Violations[0]
	require.Equal(t, "body left open: get-manifest once status=408: the client left 1 response with an unread body, "+
		"neither read to the end nor closed (408 once; 50 runs show it, with 25 faults, at 2 requests)", v.String())
	again := EveryFault(t, getting, run, ReportOnly(), Try(v.Rule), Accept(early))
	require.Len(t, again.Violations, 1)
	require.Equal(t, v.Text, again.Violations[0].Text)
}

// A rule of Try has to hit a request.
func TestTryHitsNothing(t *testing.T) {
	t.Parallel()
	for rule, report := range map[string]string{
		"get-blob once status=503":                                 `fault "get-blob once status=503" did not happen as it says`,
		"cancel at get-blob once":                                  `"get-blob once" did not happen as it says`,
		"get-manifest once status=503 and put-manifest once reset": `fault "put-manifest once reset" did not happen as it says`,
	} {
		x := &explorer{t: t, setup: getting, run: get, config: config{try: []string{rule}, reportOnly: true}}
		m, err := x.explore()
		require.ErrorContains(t, err, report)
		require.Len(t, m.Cells, 1)
	}
}
