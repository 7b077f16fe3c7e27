package matrix

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/explore"
)

// published are the traps that the tables in docs/clients.md show.
var published = []string{
	"redirect of blobs to another host",
	"redirect of manifests to another host",
	"Link at another host",
	"foreign layer at another host",
	"manifest under another digest",
	"manifest altered, under its digest",
	"blob altered, under its digest",
	"manifest of deeply nested JSON",
	"429 to all requests for signatures",
	"signatures stripped",
	"old signature on another image",
}

// Hostile runs explore.Hostile on the operations, and compares the outcomes with the
// table of the given name. If a client steps into a trap, the test fails, and does not
// write this outcome, because the authors of the client must learn of it first. If
// the environment variable ALL_TRAPS is set, Hostile logs the outcomes of all traps
// instead. With go test -short, it tries the operations whose Short is not 0.
func Hostile(t *testing.T, docs, name string, ops []Operation) {
	table := OpenTable(t, docs, name)
	table.checkOperations(t, ops)
	all := os.Getenv("ALL_TRAPS") != ""
	for _, op := range ops {
		t.Run(op.Name, func(t *testing.T) {
			op.start(t, table)
			for _, x := range op.meet(t, all) {
				if all {
					t.Log(x)
					continue
				}
				require.NotEqual(t, explore.Caught, x.Outcome, "%v", x)
				table.Check(t, x.Trap, op.Name, trapWord(x.Outcome))
			}
		})
	}
	if all {
		table.declared = table.rows // Otherwise an update would sort the rows.
		return
	}
	for _, row := range table.rowsOf(published) {
		table.Declare(row)
	}
	table.CheckDeclared(t)
	table.checkTraps(t)
}

// meet lets the operation meet the traps of the table, or all.
func (op Operation) meet(t *testing.T, all bool) []explore.TrapResult {
	if op.Met != nil {
		return slices.DeleteFunc(op.Met(t).Traps, func(x explore.TrapResult) bool { return !all && !slices.Contains(published, x.Trap) })
	}
	opts := append([]explore.Option{explore.ReportOnly()}, op.Options...)
	if op.Loopback {
		opts = append(opts, explore.OverLoopback())
	}
	if !all {
		opts = append(opts, explore.OnlyTraps(published...))
	}
	return explore.Hostile(t, op.Setup, op.Run, opts...).Traps
}

// checkTraps checks that all traps exist, and that the cells have outcomes of
// traps, even the cells of operations that other packages run.
func (table *Table) checkTraps(t *testing.T) {
	t.Helper()
	words := []string{trapWord(explore.NotTried), trapWord(explore.TwinFails), trapWord(explore.Withstood)}
	for _, row := range published {
		for _, col := range table.cols {
			require.Contains(t, words, table.cells[[2]string{row, col}], "%s, table %s, %s, %s: the cell has no known outcome", table.file, table.name, row, col)
		}
	}
	t.Run("traps", func(t *testing.T) { trapsExist(t, published) })
}

// rowsOf returns the rows, after the row of the versions if the table has one.
func (table *Table) rowsOf(rows []string) []string {
	if slices.Contains(table.rows, Version) {
		return append([]string{Version}, rows...)
	}
	return rows
}

func trapWord(o explore.TrapOutcome) string {
	switch o {
	case explore.NotTried:
		return "–"
	case explore.TwinFails:
		return "twin fails"
	}
	return string(o)
}
