package matrix

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/explore"
	"github.com/ocireg/registry/registrytest/fault"
)

// A list is a Markdown table of findings. Each row begins with the name of an operation.
type list struct {
	file, mark string
	lines      map[string][]string // the rows of the list, by operation
}

// openFindings reads the list of findings that follows the comment with the name in
// the file. With REGISTRYTEST_UPDATE it writes the list at the end of the test.
func openFindings(t *testing.T, file, name string) *list {
	t.Helper()
	l := &list{file: file, mark: "<!-- " + name + " -->\n\n", lines: make(map[string][]string)}
	_, lines, _ := l.split(t)
	for _, line := range lines[2:] {
		l.lines[operationOf(line)] = append(l.lines[operationOf(line)], line)
	}
	if updating() {
		t.Cleanup(func() { l.write(t) })
	}
	return l
}

func operationOf(line string) string {
	op, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
	return op
}

// split returns the text before the list, the lines of the list, and the text after it.
func (l *list) split(t *testing.T) (before string, lines []string, after string) {
	t.Helper()
	text, err := os.ReadFile(l.file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), l.mark)
	require.True(t, ok, "%s has no %q", l.file, l.mark)
	body, after, _ := strings.Cut(rest, "\n\n")
	lines = strings.Split(strings.TrimSpace(body), "\n")
	require.GreaterOrEqual(t, len(lines), 2, "%s: the list after %q has no header", l.file, l.mark)
	return before + l.mark, lines, "\n\n" + after
}

// check fails the test unless the list has exactly these findings about the operation.
func (l *list) check(t *testing.T, op string, seen []string) {
	t.Helper()
	if !updating() {
		require.ElementsMatch(t, l.lines[op], seen, "the findings in %s differ from those of the test; REGISTRYTEST_UPDATE=1 updates them", l.file)
	}
	l.lines[op] = seen
}

// checkSample fails the test if a run of a sample has a kind of violation that
// the list lacks. The rules are not compared, because they depend on the sample.
func (l *list) checkSample(t *testing.T, op string, violations []explore.Violation) {
	t.Helper()
	for _, v := range violations {
		begin := fmt.Sprintf("| %s | %s | ", op, v.Kind)
		require.True(t, slices.ContainsFunc(l.lines[op], func(line string) bool { return strings.HasPrefix(line, begin) }), "%s lacks the violation %v", l.file, v)
	}
}

// checkStale fails the test unless each finding is about an operation, a kind of
// violation and faults that exist, and its rule can be read. The operations of the
// list have to be those that the table of the outcomes has violations for.
func (l *list) checkStale(t *testing.T, table *Table) {
	t.Helper()
	if updating() {
		for op := range l.lines {
			if !slices.Contains(table.cols, op) {
				delete(l.lines, op)
			}
		}
		return
	}
	violated := func(fault, op string) bool {
		return strings.Contains(table.cells[[2]string{fault, op}], string(explore.Violated))
	}
	var kinds []string
	for op, lines := range l.lines {
		require.Contains(t, table.cols, op, "%s has a finding about an operation that does not exist", l.file)
		for _, line := range lines {
			cells := strings.Split(strings.Trim(line, "| "), " | ")
			require.Len(t, cells, 4, "%s: %s", l.file, line)
			kinds = append(kinds, cells[1])
			_, err := fault.Parse(strings.Trim(cells[2], "`"))
			require.NoError(t, err, "%s: %s", l.file, line)
			first, _, _ := strings.Cut(cells[3], "; ")
			require.True(t, violated(first, op), "%s, table %s, has no violation of %s under %q: %s", l.file, table.name, op, first, line)
		}
	}
	for _, op := range table.cols {
		require.Equal(t, len(l.lines[op]) > 0, slices.ContainsFunc(table.rows, func(row string) bool { return violated(row, op) }),
			"%s, table %s: the violations of %s and their list differ", l.file, table.name, op)
	}
	t.Run("violations", func(t *testing.T) { kindsExist(t, kinds) })
}

func (l *list) write(t *testing.T) {
	t.Helper()
	writing.Lock()
	defer writing.Unlock()
	before, lines, after := l.split(t)
	var rows []string
	for _, seen := range l.lines {
		rows = append(rows, seen...)
	}
	slices.Sort(rows)
	text := strings.Join(append(lines[:2:2], rows...), "\n")
	require.NoError(t, os.WriteFile(l.file, []byte(before+text+after), 0o666))
}

// findings returns the rows for the violations, each with a rule that shows it.
// Violations that differ only in the operation of the request share a row. A row
// has no number of further faults if the operation is racy or random, because the
// number is then random.
func (op Operation) findings(violations []explore.Violation) (lines []string) {
	type key struct{ kind, words, faults string }
	ops := make(map[key][]string)
	for _, v := range violations {
		_, words, _ := strings.Cut(v.Rule, " ")
		faults := v.Faults[0]
		if n := len(v.Faults) - 1; n > 0 && (op.Racy || op.Random) {
			faults += "; others"
		} else if n > 0 {
			faults += fmt.Sprintf("; %d more", n)
		}
		k := key{v.Kind, words, faults}
		for _, request := range v.Requests {
			name, _, _ := strings.Cut(request, " ")
			ops[k] = append(ops[k], name)
		}
	}
	for k, ops := range ops {
		slices.Sort(ops)
		lines = append(lines, fmt.Sprintf("| %s | %s | `%s %s` | %s |", op.Name, k.kind, strings.Join(slices.Compact(ops), ","), k.words, k.faults))
	}
	slices.Sort(lines)
	return lines
}
