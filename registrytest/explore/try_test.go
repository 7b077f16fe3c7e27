package explore

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// Try with the rule of a violation judges the run as the exploration did: the
// violation has the same kind, and Accept permits it. Different results after a
// forged response that the client cannot detect are no violation with Try, either.
func TestTryJudgesAlike(t *testing.T) {
	t.Parallel()
	for kind, run := range map[string]func(*T, *registrytest.Server) error{
		wrongDigest:  get,
		wrongContent: operations["pull"].run(client{bug: "checks no digest"}),
	} {
		m := EveryFault(t, getting, run, ReportOnly(), Budget(1<<20, 0))
		found := false
		for _, v := range m.Violations {
			found = found || v.Kind == kind
			again := EveryFault(t, getting, run, ReportOnly(), Try(v.Rule))
			require.True(t, slices.ContainsFunc(again.Violations, func(w Violation) bool { return w.Kind == v.Kind && w.Text == v.Text }), "%s: %s", v, again)
			again = EveryFault(t, getting, run, ReportOnly(), Try(v.Rule), Accept(v.Kind))
			require.Empty(t, again.Violations, "%s", v)
		}
		require.True(t, found, "%s", m)
	}

	lists := operations["tags"].run(client{})
	m := EveryFault(t, operations["tags"].setup, lists, Budget(1<<20, 0))
	for _, c := range m.Cells {
		if c.Fault == "stale listing" {
			again := EveryFault(t, operations["tags"].setup, lists, Try(c.Rule))
			require.Equal(t, c.Outcome, again.Cells[0].Outcome)
			return
		}
	}
	t.Error("no run has a stale listing")
}
