package matrix

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Table is one of the tables in docs/clients.md. Its cells hold the outcomes of
// tests, which fail if they see other outcomes. If the environment variable
// REGISTRYTEST_UPDATE is set, the tests write their outcomes to the table instead.
type Table struct {
	file, name string

	mu    sync.Mutex
	first string
	cols  []string
	rows  []string
	cells map[[2]string]string

	// declared are the rows in the order of the file. If it is nil, rows are sorted.
	declared []string
}

// OpenTable reads the table that follows the comment with the name in the file.
func OpenTable(t *testing.T, file, name string) *Table {
	t.Helper()
	table := &Table{file: file, name: name, cells: map[[2]string]string{}}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, lines, _ := table.split(t, string(text))
	for i, line := range lines {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch i {
		case 0:
			table.first, table.cols = cells[0], cells[1:]
		case 1:
		default:
			table.rows = append(table.rows, cells[0])
			for j, cell := range cells[1:] {
				table.cells[[2]string{cells[0], table.cols[j]}] = cell
			}
		}
	}
	if updating() {
		t.Cleanup(func() { table.write(t) })
	}
	return table
}

func updating() bool { return os.Getenv("REGISTRYTEST_UPDATE") != "" }

// split returns the text before the table, its lines, and the text after it.
func (table *Table) split(t *testing.T, text string) (before string, lines []string, after string) {
	t.Helper()
	mark := "<!-- " + table.name + " -->\n\n"
	before, rest, found := strings.Cut(text, mark)
	require.True(t, found, "%s has no %q", table.file, mark)
	body, after, _ := strings.Cut(rest, "\n\n")
	return before + mark, strings.Split(strings.TrimSpace(body), "\n"), "\n\n" + after
}

// Declare adds a row to the declared order of rows, and columns for clients that
// the table does not have yet.
func (table *Table) Declare(row string, clients ...Factory) {
	table.declared = append(table.declared, row)
	for _, client := range clients {
		if !slices.Contains(table.cols, client.Name) {
			table.cols = append(table.cols, client.Name)
		}
	}
}

// CheckDeclared fails the test unless the table has exactly the declared
// rows, in their order.
func (table *Table) CheckDeclared(t *testing.T) {
	t.Helper()
	if !updating() {
		require.Equal(t, table.declared, table.rows, "%s, table %s", table.file, table.name)
	}
}

// Version is the name of the row with the version of each column's client.
const Version = "version"

// IsOf reports whether the outcomes in a column are those of the version. With
// REGISTRYTEST_UPDATE it writes the version to the table and returns true.
func (table *Table) IsOf(col, version string) bool {
	table.mu.Lock()
	defer table.mu.Unlock()
	key := [2]string{Version, col}
	if updating() {
		table.cells[key] = version
	}
	return table.cells[key] == version
}

// Cell returns the text of a cell, or "".
func (table *Table) Cell(row, col string) string {
	table.mu.Lock()
	defer table.mu.Unlock()
	return table.cells[[2]string{row, col}]
}

// CheckColumns fails the test unless the table has exactly these columns, in any order.
func (table *Table) CheckColumns(t *testing.T, cols []string) {
	t.Helper()
	table.mu.Lock()
	defer table.mu.Unlock()
	if updating() {
		table.cols = slices.DeleteFunc(table.cols, func(col string) bool { return !slices.Contains(cols, col) })
		return
	}
	require.ElementsMatch(t, cols, table.cols, "%s, table %s", table.file, table.name)
}

// Check fails the test unless the cell has the outcome seen. With
// REGISTRYTEST_UPDATE it writes the outcome.
func (table *Table) Check(t *testing.T, row, col, seen string) {
	t.Helper()
	table.mu.Lock()
	defer table.mu.Unlock()
	key := [2]string{row, col}
	if !updating() {
		require.Equal(t, table.cells[key], seen, "%s, table %s, %s, %s", table.file, table.name, row, col)
		return
	}
	if !slices.Contains(table.rows, row) {
		table.rows = append(table.rows, row)
	}
	if !slices.Contains(table.cols, col) {
		table.cols = append(table.cols, col)
	}
	table.cells[key] = seen
}

// checkChance fails the test unless the cell has all outcomes seen. It may have
// more. With REGISTRYTEST_UPDATE it adds the outcomes.
func (table *Table) checkChance(t *testing.T, row, col string, seen []string) {
	t.Helper()
	table.mu.Lock()
	defer table.mu.Unlock()
	key := [2]string{row, col}
	have := strings.Split(table.cells[key], " or ")
	if len(seen) == 0 {
		seen = []string{"–"} // No request has the fault.
	}
	if !updating() {
		require.Subset(t, have, seen, "%s, table %s, %s, %s", table.file, table.name, row, col)
		return
	}
	all := slices.DeleteFunc(slices.Clone(outcomes), func(o string) bool { return !slices.Contains(have, o) && !slices.Contains(seen, o) })
	if table.cells[key] = strings.Join(all, " or "); len(all) == 0 {
		table.cells[key] = "–"
	}
	for _, name := range []struct {
		list *[]string
		name string
	}{{&table.rows, row}, {&table.cols, col}} {
		if !slices.Contains(*name.list, name.name) {
			*name.list = append(*name.list, name.name)
		}
	}
}

// CheckRows fails the test unless the table has exactly these rows, in any order.
func (table *Table) CheckRows(t *testing.T, seen []string) {
	t.Helper()
	table.mu.Lock()
	defer table.mu.Unlock()
	if updating() {
		table.rows = slices.Clone(seen)
		return
	}
	require.ElementsMatch(t, table.rows, seen, "%s, table %s", table.file, table.name)
}

// CheckAbsent fails the test if the table has the row.
func (table *Table) CheckAbsent(t *testing.T, row string) {
	t.Helper()
	table.mu.Lock()
	defer table.mu.Unlock()
	if updating() {
		table.rows = slices.DeleteFunc(table.rows, func(r string) bool { return r == row })
		return
	}
	require.NotContains(t, table.rows, row, "%s, table %s", table.file, table.name)
}

// CheckVersions fails the test unless the tables are about these programs, and have
// the given versions. The first word of a column is the name of its program.
func CheckVersions(t *testing.T, docs string, versions map[string]string, names ...string) {
	t.Helper()
	if updating() {
		return // The tests that write the tables write the versions, too.
	}
	for _, name := range names {
		table := OpenTable(t, docs, name)
		for _, col := range table.cols {
			program, _, _ := strings.Cut(col, " ")
			require.Contains(t, versions, program, "%s, table %s: no program has the name of the column %s", table.file, table.name, col)
			require.Equal(t, versions[program], table.cells[[2]string{Version, col}], "%s, table %s: the version of %s", table.file, table.name, col)
		}
	}
}

// writing is held to write a table, because several tables are in one file.
var writing sync.Mutex

func (table *Table) write(t *testing.T) {
	table.mu.Lock()
	defer table.mu.Unlock()
	writing.Lock()
	defer writing.Unlock()
	text, err := os.ReadFile(table.file)
	require.NoError(t, err)
	before, _, after := table.split(t, string(text))
	if slices.Sort(table.rows); table.declared != nil {
		table.rows = table.declared
	}
	var b strings.Builder
	b.WriteString(before)
	fmt.Fprintf(&b, "| %s | %s |\n", table.first, strings.Join(table.cols, " | "))
	fmt.Fprintf(&b, "|%s", strings.Repeat("---|", len(table.cols)+1))
	for _, row := range table.rows {
		fmt.Fprintf(&b, "\n| %s |", row)
		for _, col := range table.cols {
			fmt.Fprintf(&b, " %s |", table.cells[[2]string{row, col}])
		}
	}
	b.WriteString(after)
	require.NoError(t, os.WriteFile(table.file, []byte(b.String()), 0o644))
}
