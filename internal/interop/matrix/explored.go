package matrix

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

// An Operation is an operation of a client that [EveryFault] or [Hostile] tries.
type Operation struct {
	// Name is the name of the client and its command, such as "crane push".
	Name string

	Setup func(*explore.T, *registrytest.Server)
	Run   func(*explore.T, *registrytest.Server) error

	// Options are further options for package explore.
	Options []explore.Option

	// Loopback is set if the client can only connect to a port of the machine,
	// and so runs in real time.
	Loopback bool

	// Start, unless it is nil, prepares the operation. It may skip the test. It
	// returns the version of the client's program, or "".
	Start func(*testing.T) string

	// Cancelled is set if the operation takes a context. EveryFault then cancels
	// the context at each request, for the table of cancellations.
	Cancelled bool

	// Concurrent is set if the order of the operation's requests differs from run
	// to run. Whether net/http repeats a request after a lost connection is then
	// random, so outcomes of faults before the response are not compared. The
	// other outcomes are compared if the table is about all runs, but not if it
	// is about a sample, which has other runs each time.
	Concurrent bool

	// Runs is the number of runs in the sample of faults that the table is about,
	// or 0 if the table is about all faults.
	Runs int

	// Short is the number of runs with go test -short, or 0 to skip the operation.
	Short int
}

// noTimeout is the kind of violation that EveryFault accepts over loopback, where
// a slow machine may keep a client longer than a run lasts.
const noTimeout = "no timeout"

// leftUpload is the kind of violation that EveryFault accepts, because most clients
// begin an upload again without cancelling the session before.
const leftUpload = "upload left open"

// loopbackTimeout is the time of a run over loopback. It is enough for a client
// on a busy machine that heeds a Retry-After of three seconds five times.
const loopbackTimeout = 30 * time.Second

// EveryFault runs explore.EveryFault on the operations, and compares the outcomes
// with the table of the given name and the violations with its list of findings.
func EveryFault(t *testing.T, docs, name string, ops []Operation) {
	table := OpenTable(t, docs, name)
	list := openFindings(t, docs, name+" findings")
	var cancelled *Table
	if slices.ContainsFunc(ops, func(op Operation) bool { return op.Cancelled }) {
		cancelled = OpenTable(t, docs, cancelling)
	}
	rows := slices.Clone(table.rows)
	for _, fixed := range []string{"runs", "requests"} {
		if !slices.Contains(rows, fixed) {
			rows = append([]string{fixed}, rows...)
		}
	}
	seen := make(map[string]*explore.Matrix)
	for _, op := range ops {
		t.Run(op.Name, func(t *testing.T) {
			runs := op.start(t, table)
			// The budget is set even for all runs, because -short changes its default. Open
			// uploads are accepted, because the table of ocireg check shows them.
			opts := append([]explore.Option{explore.ReportOnly(), explore.Budget(runs, 0), explore.Accept(leftUpload)}, op.Options...)
			if op.Loopback {
				opts = append(opts, explore.OverLoopback(), explore.Jobs(4), explore.Timeout(loopbackTimeout), explore.Accept(noTimeout))
			}
			if op.Cancelled {
				opts = append(opts, explore.Cancellations())
			}
			m := explore.EveryFault(t, op.Setup, op.Run, opts...)
			for _, fault := range m.Faults {
				if !slices.Contains(rows, fault) {
					rows = append(rows, fault)
				}
			}
			if runs < op.all() || op.Concurrent && !updating() {
				if op.Runs == 0 || !op.Concurrent {
					checkSample(t, table, op, m)
				}
				list.checkSample(t, op.Name, m.Violations)
				return
			}
			seen[op.Name] = m
			list.check(t, op.Name, findings(op.Name, m.Violations))
			if op.Cancelled {
				checkCancelled(t, cancelled, op.Name, m)
			}
		})
	}
	for _, row := range rows {
		table.fill(row)
		for _, op := range ops {
			if m := seen[op.Name]; m != nil && row != Version {
				table.Check(t, row, op.Name, summary(m, row, op))
			}
		}
		if !updating() || !table.empty(row) {
			table.Declare(row)
		}
	}
	if cancelled != nil {
		cancelled.checkOperations(t, table)
	}
}

// start prepares the operation, and skips the test if the operation is not to
// run. It returns the number of runs to make.
func (op Operation) start(t *testing.T, table *Table) (runs int) {
	t.Helper()
	runs = op.all()
	if testing.Short() && !updating() {
		runs = min(op.Short, runs)
	}
	if runs == 0 {
		t.Skip("not in the sample")
	}
	if op.Start == nil {
		return runs
	}
	if version := op.Start(t); version != "" && !table.IsOf(op.Name, version) {
		t.Skipf("%s is another version than that of the table", version)
	}
	return runs
}

// all returns the number of runs that the table is about, or a large number if it
// is about all faults.
func (op Operation) all() int {
	if op.Runs == 0 {
		return 1 << 30
	}
	return op.Runs
}

// outcomes lists the outcomes in the order in which a summary has them.
var outcomes = []string{
	string(explore.Unaffected), string(explore.Retried), string(explore.Resumed), string(explore.Failed), beyond,
	string(explore.NotFired), string(explore.NoEffect), string(explore.Violated),
}

// beyond is the outcome, in the table, of a program that was killed when the time
// of its run was over.
const beyond = "beyond 30 s"

func outcomeOf(c explore.Cell) string {
	if c.Outcome == explore.Failed && strings.Contains(c.Note, noTimeout) {
		return beyond
	}
	return string(c.Outcome)
}

// summary returns the text for a cell of the table: the outcomes of a fault at
// all requests, or a number for the rows "requests" and "runs".
func summary(m *explore.Matrix, fault string, op Operation) string {
	switch {
	case fault == "requests":
		return fmt.Sprint(len(m.Requests))
	case fault == "runs" && op.Runs > 0:
		return fmt.Sprintf("%d, seed %d", len(m.Cells)+1, m.Seed)
	case fault == "runs":
		return fmt.Sprint(len(m.Cells) + 1)
	}
	counts := make(map[string]int)
	for _, c := range m.Cells {
		if c.Fault == fault {
			counts[outcomeOf(c)]++
		}
	}
	var words []string
	for _, o := range outcomes {
		if n := counts[o]; n > 0 && len(counts) == 1 {
			words = append(words, o)
		} else if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, o))
		}
	}
	if len(words) == 0 {
		return "–"
	}
	return strings.Join(words, ", ")
}

// checkSample fails the test if a run of a sample has an outcome that the table
// lacks. Over loopback, two outcomes prove nothing on a slow machine: a program
// that was killed may have been about to end, and a request after Retry-After may
// have been meant to be earlier.
func checkSample(t *testing.T, table *Table, op Operation, m *explore.Matrix) {
	t.Helper()
	for _, c := range m.Cells {
		want, seen := table.cells[[2]string{c.Fault, op.Name}], outcomeOf(c)
		chance := op.Concurrent && strings.HasSuffix(c.Fault, " before the response")
		if chance || seen == beyond || op.Loopback && strings.Contains(c.Fault, "Retry-After") && strings.Contains(want, string(explore.Violated)) {
			continue
		}
		require.Contains(t, want, seen, "%s, table %s, %s, %s: %s: %s",
			table.file, table.name, c.Fault, op.Name, c.Rule, c.Error)
	}
}

// fill writes a dash into the empty cells of a row, which other packages leave.
func (table *Table) fill(row string) {
	for _, col := range table.cols {
		if key := [2]string{row, col}; table.cells[key] == "" && row != Version {
			table.cells[key] = "–"
		}
	}
}

// empty reports whether all cells of a row are empty or dashes.
func (table *Table) empty(row string) bool {
	for _, col := range table.cols {
		if cell := table.cells[[2]string{row, col}]; cell != "" && cell != "–" {
			return false
		}
	}
	return true
}

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
	require.GreaterOrEqual(t, len(lines), 2, "%s: the list after %q has no head", l.file, l.mark)
	return before + l.mark, lines, "\n\n" + after
}

// check fails the test unless the list has exactly these findings about the operation.
func (l *list) check(t *testing.T, op string, seen []string) {
	t.Helper()
	if !updating() {
		require.ElementsMatch(t, l.lines[op], seen, "%s does not say what was seen; set REGISTRYTEST_UPDATE=1", l.file)
	}
	l.lines[op] = seen
}

// checkSample fails the test if a run of a sample has a kind of violation that
// the list lacks. The rules are not compared, because they depend on the sample.
func (l *list) checkSample(t *testing.T, op string, violations []explore.Violation) {
	t.Helper()
	for _, v := range violations {
		begin := fmt.Sprintf("| %s | %s | ", op, v.Kind)
		require.True(t, slices.ContainsFunc(l.lines[op], func(line string) bool { return strings.HasPrefix(line, begin) }), "%s does not have %v", l.file, v)
	}
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

// findings returns a row for each kind of violation, with a rule that shows it.
func findings(operation string, violations []explore.Violation) (lines []string) {
	type key struct{ kind, words, faults string }
	ops := make(map[key][]string)
	for _, v := range violations {
		_, words, _ := strings.Cut(v.Rule, " ")
		faults := v.Faults[0]
		if n := len(v.Faults) - 1; n > 0 {
			faults += fmt.Sprintf("; %d more", n)
		}
		k := key{v.Kind, words, faults}
		for _, request := range v.Requests {
			op, _, _ := strings.Cut(request, " ")
			ops[k] = append(ops[k], op)
		}
	}
	for k, ops := range ops {
		slices.Sort(ops)
		lines = append(lines, fmt.Sprintf("| %s | %s | `%s %s` | %s |", operation, k.kind, strings.Join(slices.Compact(ops), ","), k.words, k.faults))
	}
	slices.Sort(lines)
	return lines
}
