package explore

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/lint"
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
	require.Equal(t, 3, v.Runs, "three runs: the fault once at each of two requests, and always")
	require.Len(t, v.Requests, 2)
	require.Contains(t, v.String(), "wrong manifest: get-manifest once corrupt=238: the operation succeeded, but the result \"0\" is 477 bytes")
	again := EveryFault(t, getting, bad, ReportOnly(), Try(v.Rule), Accept(early))
	require.Equal(t, 2, again.Runs)
	require.Len(t, again.Violations, 1)
	require.Equal(t, v.Text, again.Violations[0].Text)

	two := EveryFault(t, getting, bad, ReportOnly(), Try("get-manifest once corrupt=9 and get-manifest after=1 once status=200 body=own"))
	require.Equal(t, Violated, two.Cells[0].Outcome)
}

// One bug is one violation, even if many runs show it. The run with the rule of
// the violation has the same text.
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
		"neither read to the end nor closed (408 once; 54 runs show it, with 27 faults, at 2 requests)", v.String())
	again := EveryFault(t, getting, run, ReportOnly(), Try(v.Rule), Accept(early))
	require.Len(t, again.Violations, 1)
	require.Equal(t, v.Text, again.Violations[0].Text)
}

// Each rule of package lint that a client breaks is one violation, whichever
// faults show it, and whatever the numbers in its text.
func TestAlikeChecks(t *testing.T) {
	t.Parallel()
	stubborn := func(t *T, reg *registrytest.Server) error {
		c, blob := client{}.at(reg), "abcdef"
		header := http.Header{"Content-Type": {"application/octet-stream"}, "Content-Range": {"0-5"}}
		resp, err := c.do(t.Context(), "POST", "/v2/"+repo+"/blobs/uploads/", nil, nil, 202)
		if err != nil {
			return err
		}
		at := resp.Header.Get("Location")
		resp.Body.Close()
		for range 3 {
			if resp, err = c.do(t.Context(), "PATCH", at, []byte(blob), header, 202); err == nil {
				resp.Body.Close()
				break
			}
		}
		if err == nil {
			resp, err = c.do(t.Context(), "DELETE", resp.Header.Get("Location"), nil, nil, 204)
		}
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	x := &explorer{t: t, run: stubborn, config: config{runs: 1 << 20, server: func(*T) []registrytest.Option {
		return []registrytest.Option{lint.Linter{Rules: []lint.Rule{lint.ChunkOrder, lint.UploadOpen}}}
	}}}
	cells := slices.DeleteFunc(x.begin(t), func(c cell) bool {
		return !slices.Contains([]string{"lost response", "408 for good", "lost session", "delivered twice", "500 twice"}, c.fault)
	})
	list, _ := x.shrinkAll(cells, x.runAll(cells, time.Now()))
	rules := make(map[string]int)
	for _, v := range list {
		_, rule, _ := strings.Cut(v.Text, "breaks the rule ")
		rule, _, _ = strings.Cut(rule, ":")
		rules[rule] += v.Runs
	}
	require.Len(t, list, 3, "the finding for a lost response has a text of its own: %v", list)
	require.Equal(t, map[string]int{"chunk-order": 2, "upload-open": 3}, rules, "%v", list)
	require.Equal(t, general("after 1 more request, 1 byte"), general("after 12 more requests, 3 bytes"))
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
