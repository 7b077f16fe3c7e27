package explore

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Outcome says how the operation ended in a run.
type Outcome string

// The outcomes of runs.
const (
	Unaffected Outcome = "ok"        // the operation succeeded with no more requests than without the fault
	Retried    Outcome = "retried"   // the operation succeeded with more requests
	Resumed    Outcome = "resumed"   // the operation succeeded, and continued in the middle of a blob
	Failed     Outcome = "failed"    // the operation returned an error, and did nothing wrong
	Violated   Outcome = "VIOLATION" // see Matrix.Violations
	NotFired   Outcome = "not fired" // the fault hit no request, since the client sent different ones
	NoEffect   Outcome = "no effect" // the fault changed nothing about the request that it hit
)

// A Matrix has the outcome of each fault at each request. It can be encoded
// with encoding/json.
type Matrix struct {
	Name       string        `json:"name"` // the name of the test
	Seed       uint64        `json:"seed"`
	Runs       int           `json:"runs"`    // the number of runs, with the undisturbed one and those that shrink rules
	Skipped    int           `json:"skipped"` // the planned runs that did not fit into the time of Budget or were given up
	Time       time.Duration `json:"time"`
	Requests   []string      `json:"requests"` // the requests of the undisturbed run
	Faults     []string      `json:"faults"`
	Cells      []Cell        `json:"cells"` // the outcomes, in the order of the faults
	Violations []Violation   `json:"violations"`

	sampled bool // the options or the time left out runs
}

// A Cell is the outcome of one run.
type Cell struct {
	Request  string  `json:"request"`
	Fault    string  `json:"fault"`
	Rule     string  `json:"rule"`
	Outcome  Outcome `json:"outcome"`
	Note     string  `json:"note,omitempty"`  // such as "stored": the operation failed, but the registry has all content
	Error    string  `json:"error,omitempty"` // the error of the operation
	Requests int     `json:"requests"`        // the number of requests that the operation sent
}

// A Violation is something that a client must not do.
type Violation struct {
	Kind    string `json:"kind"`
	Request string `json:"request"`
	Fault   string `json:"fault"`
	Rule    string `json:"rule"` // reproduces the violation, see Try
	Text    string `json:"text"` // describes the mistake of the operation in the run with the rule

	// Runs is the number of runs in the matrix with this violation. Faults and
	// Requests are those of these runs.
	Runs     int      `json:"runs"`
	Faults   []string `json:"faults"`
	Requests []string `json:"requests"`
}

// String returns the violation in a line.
func (v Violation) String() string {
	more := ""
	if v.Runs > 1 {
		more = fmt.Sprintf("; %d runs show it", v.Runs)
		if n := len(v.Faults); n > 1 {
			more += fmt.Sprintf(", with %d faults", n)
		}
		if n := len(v.Requests); n > 1 {
			more += fmt.Sprintf(", at %d requests", n)
		}
	}
	return fmt.Sprintf("%s: %s: %s (%s%s)", v.Kind, v.Rule, v.Text, v.Fault, more)
}

// Summary returns the number of runs and of outcomes in a line.
func (m *Matrix) Summary() string {
	counts := make(map[Outcome]int)
	for _, c := range m.Cells {
		counts[c.Outcome]++
	}
	words := []string{fmt.Sprintf("%d runs in %v", m.Runs, m.Time.Round(time.Millisecond))}
	for _, o := range []Outcome{Unaffected, Retried, Resumed, Failed, NotFired, NoEffect, Violated} {
		if n := counts[o]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, o))
		}
	}
	if m.Skipped > 0 {
		words = append(words, fmt.Sprintf("%d left out", m.Skipped))
	}
	return strings.Join(words, ", ")
}

// String returns the summary, the table and the violations, for people to read.
func (m *Matrix) String() string {
	rows := m.rows()
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", m.Name, m.Summary())
	for i, q := range m.Requests {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, q)
	}
	b.WriteByte('\n')
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for i, v := range m.Violations {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, v)
	}
	return b.String()
}

// Markdown returns the requests and the table of outcomes in Markdown. The text
// does not depend on the time that the runs took.
func (m *Matrix) Markdown() string {
	var b strings.Builder
	for i, q := range m.Requests {
		fmt.Fprintf(&b, "%d. `%s`\n", i+1, q)
	}
	b.WriteByte('\n')
	for i, row := range m.rows() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

// rows returns the table: a row for each fault and a column for each request. A
// cell is empty if there was no run. A run with a pair of faults or a rule of [Try]
// has a row of its own, with the outcome in the first column.
func (m *Matrix) rows() [][]string {
	head := []string{"fault"}
	for i := range m.Requests {
		head = append(head, fmt.Sprint(i+1))
	}
	rows := [][]string{head}
	for _, fault := range m.Faults {
		row := make([]string, len(head))
		row[0] = fault
		for _, c := range m.Cells {
			if i := slices.Index(m.Requests, c.Request); c.Fault == fault && i >= 0 {
				row[i+1] = string(c.Outcome)
			}
		}
		rows = append(rows, row)
	}
	for _, c := range m.Cells {
		if !slices.Contains(m.Faults, c.Fault) {
			row := make([]string, len(head))
			row[0] = c.Rule
			row[1] = string(c.Outcome)
			rows = append(rows, row)
		}
	}
	return rows
}
