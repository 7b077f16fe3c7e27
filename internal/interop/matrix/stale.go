package matrix

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

// homes are the directories of the tests of clients, by the beginnings of their
// columns in the tables of [EveryFault] and [Hostile].
var homes = map[string]string{
	"containerd":           "explore",
	"go-containerregistry": "explore",
	"Helm 4":               "explore",
	"oras-go":              "explore",
	"regclient":            "explore",

	"containers/image": "heavy",
	"Helm":             "heavy",
	"notation-go":      "heavy",

	"cosign": "cmdline",
	"crane":  "cmdline",
	"helm":   "cmdline",
	"oras":   "cmdline",
	"podman": "cmdline",
	"regctl": "cmdline",
	"skopeo": "cmdline",
}

// homeOf returns the directory of the tests of a column, or "".
func homeOf(col string) string {
	client := ""
	for name := range homes {
		if strings.HasPrefix(col, name+" ") && len(name) > len(client) {
			client = name
		}
	}
	return homes[client]
}

// libraries are the directories of the tests of clients in the other tables.
var libraries = map[string]string{
	"containerd":           "interop",
	"containerd 1.x":       "interop",
	"crane":                "interop",
	"go-containerregistry": "interop",
	"oras-go":              "interop",
	"regclient":            "interop",

	"containers/image": "heavy",
}

// checkOperations checks that the table has a column for each of the operations, and
// no further columns for clients whose tests are in the current directory.
func (table *Table) checkOperations(t *testing.T, ops []Operation) {
	t.Helper()
	var names []string
	for _, op := range ops {
		names = append(names, op.Name)
	}
	table.checkHomes(t, names, homeOf)
}

// checkClients checks that the table has a column for each of the clients, and no
// further columns for clients whose tests are in the current directory.
func (table *Table) checkClients(t *testing.T, clients []Factory) {
	t.Helper()
	var names []string
	for _, client := range clients {
		names = append(names, client.Name)
	}
	table.checkHomes(t, names, func(col string) string { return libraries[col] })
}

func (table *Table) checkHomes(t *testing.T, names []string, home func(col string) string) {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	here := filepath.Base(dir)
	for _, name := range names {
		require.Equal(t, here, home(name), "the home of %s in package matrix", name)
	}
	stale := func(col string) bool { return home(col) == here && !slices.Contains(names, col) }
	if updating() {
		table.cols = slices.DeleteFunc(table.cols, stale)
		return
	}
	for _, col := range table.cols {
		require.NotEmpty(t, home(col), "%s, table %s: no client has the name of the column %s", table.file, table.name, col)
		require.False(t, stale(col), "%s, table %s: the column %s is not tested any more", table.file, table.name, col)
	}
	require.Subset(t, table.cols, names, "%s, table %s: a column is missing", table.file, table.name)
}

// counted matches an outcome with the number of its runs.
var counted = regexp.MustCompile(`^\d+ (.+)$`)

// checkCells checks that all rows are faults, and all cells outcomes, even the cells
// of operations that other packages run.
func (table *Table) checkCells(t *testing.T, ops []Operation) {
	t.Helper()
	if updating() {
		return
	}
	var faults []string
	for _, row := range table.rows {
		switch row {
		case Version, "requests", "runs":
			continue
		}
		faults = append(faults, row)
		for _, col := range table.cols {
			cell := table.cells[[2]string{row, col}]
			for word := range strings.SplitSeq(strings.ReplaceAll(cell, " or ", ", "), ", ") {
				if m := counted.FindStringSubmatch(word); m != nil {
					word = m[1]
				}
				require.Contains(t, append(outcomes, "–"), word, "%s, table %s, %s, %s: the cell has no known outcome", table.file, table.name, row, col)
			}
		}
	}
	for _, op := range ops {
		form := regexp.MustCompile(`^\d+$`)
		switch {
		case op.Lacks != "":
			form = regexp.MustCompile(`^–$`)
		case op.Runs > 0:
			form = regexp.MustCompile(`^\d+, seed \d+$`)
		}
		require.Regexp(t, form, table.cells[[2]string{"runs", op.Name}], "%s, table %s: the runs of %s", table.file, table.name, op.Name)
	}
	require.Subset(t, documentedFaults(t, table.file), faults, "%s, table %s: a row has the name of no fault", table.file, table.name)
}

// documentedFaults returns the faults that docs/exploring.md has, which are those of
// package explore, as its tests check.
func documentedFaults(t *testing.T, docs string) (faults []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(docs), "exploring.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n### Faults\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n### ")
	for line := range strings.Lines(section) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			faults = append(faults, m[1])
		}
		_, more, _ := strings.Cut(first, " and so on, for ")
		for _, status := range regexp.MustCompile(`\d+`).FindAllString(more, -1) {
			faults = append(faults, status+" once", status+" twice", status+" for good")
		}
	}
	return faults
}

// kindsExist fails the test if package explore does not have a kind of violation.
func kindsExist(t *testing.T, kinds []string) {
	t.Helper()
	explore.EveryFault(t, nil, ping, explore.Accept(kinds...), explore.ReportOnly(), explore.Budget(1, 0))
}

// trapsExist fails the test if package explore does not have a trap.
func trapsExist(t *testing.T, traps []string) {
	t.Helper()
	explore.Hostile(t, nil, ping, explore.ReportOnly(), explore.OnlyTraps(traps...))
}

// ping is an operation of one request.
func ping(t *explore.T, reg *registrytest.Server) error {
	resp, err := reg.Client().Get(reg.URL + "/v2/")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// SameFaults checks that the columns of a library and of a program that uses it, each
// about all runs, have cells under the same faults, because the program sends the same
// requests as the library.
func SameFaults(t *testing.T, docs, library, libraryColumn, program, programColumn string) {
	t.Helper()
	faults := func(name, col string) (faults []string) {
		table := OpenTable(t, docs, name)
		for _, row := range table.rows {
			if cell := table.cells[[2]string{row, col}]; cell != "–" && cell != "" && row != Version {
				faults = append(faults, row)
			}
		}
		return faults
	}
	if !updating() {
		require.ElementsMatch(t, faults(library, libraryColumn), faults(program, programColumn), "%s: %s and %s", docs, libraryColumn, programColumn)
	}
}
