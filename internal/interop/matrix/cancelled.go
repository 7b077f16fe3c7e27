package matrix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/explore"
)

// cancelling is the name, in a matrix, of the fault of [explore.Cancellations].
const cancelling = "cancelled"

// checkCancelled compares the runs that were cancelled with the row of the
// operation in the table of cancellations.
func checkCancelled(t *testing.T, table *Table, op string, m *explore.Matrix) {
	t.Helper()
	cancelled, ended, says := 0, 0, 0
	var on []string // the requests at which the client did not end with an error
	for _, c := range m.Cells {
		if c.Fault != cancelling {
			continue
		}
		cancelled++
		switch c.Outcome {
		case explore.Failed:
			ended++
			if strings.Contains(c.Error, "context canceled") {
				says++
			}
		default:
			request, _, _ := strings.Cut(c.Request, " ")
			on = append(on, request)
		}
	}
	table.Check(t, op, "requests", fmt.Sprint(cancelled))
	table.Check(t, op, "ended with an error", fmt.Sprint(ended))
	table.Check(t, op, "the error says so", fmt.Sprint(says))
	went := "–"
	if len(on) > 0 {
		slices.Sort(on)
		went = strings.Join(slices.Compact(on), ", ")
	}
	table.Check(t, op, "went on at", went)
}

// checkOperations fails the test if a row is about an operation that is no column
// of the other table.
func (table *Table) checkOperations(t *testing.T, other *Table) {
	t.Helper()
	require.Subset(t, other.cols, table.rows, "%s, table %s, has a stale row", table.file, table.name)
}
