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

// checkRows fails the test unless the table has a row for each of ops that is
// cancelled and for none of the others, and each row is a column of the other table.
func (table *Table) checkRows(t *testing.T, other *Table, ops []Operation) {
	t.Helper()
	for _, op := range ops {
		if op.Cancelled {
			require.Contains(t, table.rows, op.Name, "%s, table %s", table.file, table.name)
		} else {
			table.CheckAbsent(t, op.Name)
		}
	}
	if updating() {
		table.rows = slices.DeleteFunc(table.rows, func(row string) bool { return !slices.Contains(other.cols, row) })
		return
	}
	require.Subset(t, other.cols, table.rows, "%s, table %s, has a stale row", table.file, table.name)
}
