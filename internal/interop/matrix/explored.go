package matrix

import (
	"fmt"
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

	// Racy is set if the order of the operation's requests, or whether one is the
	// first of its connection, differs from run to run. Whether net/http repeats a
	// request after a lost connection is then random, so the cells of faults before
	// the response have all outcomes that were seen. The other cells are exact.
	// Where the order differs, the table has to be about all runs, because each
	// sample would have different runs.
	Racy bool

	// Random is set if the outcomes differ from run to run under any fault. All cells
	// have the outcomes that were seen, and of the findings only the kinds are compared.
	Random bool

	// Lacks is the reason why the client has no such operation, or "". The cells of
	// the column are empty then.
	Lacks string

	// Explored and Met, unless they are nil, return the outcomes of another program,
	// in place of Run.
	Explored func(*testing.T) *explore.Matrix
	Met      func(*testing.T) *explore.TrapReport

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
// begin an upload again without cancelling the previous session.
const leftUpload = "upload left open"

// loopbackTimeout is the time of a run over loopback. It is enough for a client
// on a busy machine that heeds a Retry-After of three seconds five times.
const loopbackTimeout = 30 * time.Second

// EveryFault runs explore.EveryFault on the operations, and compares the outcomes
// with the table of the given name and the violations with its list of findings. It
// checks the columns of operations that do not run here as far as it can.
func EveryFault(t *testing.T, docs, name string, ops []Operation) {
	table := OpenTable(t, docs, name)
	list := openFindings(t, docs, name+" findings")
	var cancelled *Table
	if slices.ContainsFunc(ops, func(op Operation) bool { return op.Cancelled }) {
		cancelled = OpenTable(t, docs, cancelling)
	}
	table.checkOperations(t, ops)
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
			m := op.explore(t, runs)
			for _, fault := range m.Faults {
				if !slices.Contains(rows, fault) {
					rows = append(rows, fault)
				}
			}
			if runs < op.all() {
				checkSample(t, table, op, m)
				list.checkSample(t, op.Name, m.Violations)
				return
			}
			seen[op.Name] = m
			if op.Random && !updating() {
				list.checkSample(t, op.Name, m.Violations)
			} else {
				list.check(t, op.Name, op.findings(m.Violations))
			}
			if op.Cancelled {
				checkCancelled(t, cancelled, op.Name, m)
			}
		})
	}
	for _, row := range rows {
		table.fill(row)
		for _, op := range ops {
			switch m := seen[op.Name]; {
			case row == Version:
			case op.Lacks != "":
				table.Check(t, row, op.Name, op.lacking(row))
			case m != nil && op.chance(row):
				table.checkChance(t, row, op.Name, outcomesOf(m, row))
			case m != nil:
				table.Check(t, row, op.Name, summary(m, row, op))
			}
		}
		if !updating() || !table.empty(row) {
			table.Declare(row)
		}
	}
	table.checkCells(t, ops)
	list.checkStale(t, table)
	if cancelled != nil {
		cancelled.checkRows(t, table, ops)
	}
}

// explore explores the operation with at most the given number of runs.
func (op Operation) explore(t *testing.T, runs int) *explore.Matrix {
	if op.Explored != nil {
		return op.Explored(t)
	}
	// The budget is set even for all runs, because -short changes its default. Open
	// uploads are accepted, because the table of ocireg check shows them.
	opts := append([]explore.Option{explore.ReportOnly(), explore.Budget(runs, 0), explore.Accept(leftUpload)}, op.Options...)
	if op.Loopback {
		opts = append(opts, explore.OverLoopback(), explore.Jobs(4), explore.Timeout(loopbackTimeout), explore.Accept(noTimeout))
	}
	if op.Cancelled {
		opts = append(opts, explore.Cancellations())
	}
	return explore.EveryFault(t, op.Setup, op.Run, opts...)
}

// chance reports whether the outcomes of a fault are random.
func (op Operation) chance(fault string) bool {
	switch fault {
	case "requests", "runs":
		return false
	}
	return op.Random || op.Racy && strings.HasSuffix(fault, " before the response")
}

// lacking returns the cell of an operation that the client does not have.
func (op Operation) lacking(row string) string {
	if row == "requests" {
		return op.Lacks
	}
	return "–"
}

// start prepares the operation, and skips the test if the operation is not to
// run. It returns the number of runs to make.
func (op Operation) start(t *testing.T, table *Table) (runs int) {
	t.Helper()
	if op.Lacks != "" {
		t.Skip(op.Lacks)
	}
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
		t.Skipf("the table is not about version %s", version)
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

// outcomesOf returns the outcomes of a fault, in their order.
func outcomesOf(m *explore.Matrix, fault string) []string {
	return slices.DeleteFunc(slices.Clone(outcomes), func(o string) bool {
		return !slices.ContainsFunc(m.Cells, func(c explore.Cell) bool { return c.Fault == fault && outcomeOf(c) == o })
	})
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
// lacks. Over loopback, two outcomes prove nothing on a slow machine: a killed
// program may have been about to end, and a slow machine may delay a request that
// otherwise comes before Retry-After.
func checkSample(t *testing.T, table *Table, op Operation, m *explore.Matrix) {
	t.Helper()
	for _, c := range m.Cells {
		want, seen := table.cells[[2]string{c.Fault, op.Name}], outcomeOf(c)
		if seen == beyond || op.Loopback && strings.Contains(c.Fault, "Retry-After") && strings.Contains(want, string(explore.Violated)) {
			continue
		}
		require.Contains(t, want, seen, "%s, table %s, %s, %s: %s: %s",
			table.file, table.name, c.Fault, op.Name, c.Rule, c.Error)
	}
}

// fill writes a dash into the empty cells of a row. They are in the columns of
// operations that other packages run.
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
