package explore

import (
	"fmt"
	"strings"
	"time"
)

// An Outcome is how the operation ended in a run.
type Outcome string

// The outcomes.
const (
	Unaffected Outcome = "ok"        // it succeeded with no more requests than without the fault
	Retried    Outcome = "retried"   // it succeeded with more
	Resumed    Outcome = "resumed"   // it succeeded, and went on from the middle of a blob
	Failed     Outcome = "failed"    // it returned an error, and did nothing wrong
	Violated   Outcome = "VIOLATION" // see Matrix.Violations
	NotFired   Outcome = "not fired" // the fault hit no request, as the client sent others than before
	NoEffect   Outcome = "no effect" // the fault changed nothing about the request that it hit
)

// A Matrix has the outcome of each fault at each request.
type Matrix struct {
	Name       string        `json:"name"` // of the test
	Seed       uint64        `json:"seed"`
	Runs       int           `json:"runs"` // with the undisturbed one
	Time       time.Duration `json:"time"`
	Requests   []string      `json:"requests"` // those of the undisturbed run
	Faults     []string      `json:"faults"`
	Cells      []Cell        `json:"cells"` // in the order of the faults
	Violations []Violation   `json:"violations"`
}

// A Cell is the outcome of one fault at one request.
type Cell struct {
	Request  string  `json:"request"`
	Fault    string  `json:"fault"`
	Rule     string  `json:"rule"`
	Outcome  Outcome `json:"outcome"`
	Note     string  `json:"note,omitempty"`  // "stored": it failed, but the registry has everything
	Error    string  `json:"error,omitempty"` // of the operation
	Requests int     `json:"requests"`        // the number that it sent
}

// A Violation is something that a client must not do.
type Violation struct {
	Kind    string `json:"kind"`
	Request string `json:"request"`
	Fault   string `json:"fault"`
	Rule    string `json:"rule"` // shows it alone
	Text    string `json:"text"`
}

// String returns the violation in a line.
func (v Violation) String() string {
	return fmt.Sprintf("%s: %s; with the rule %q", v.Kind, v.Text, v.Rule)
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
	return strings.Join(words, ", ")
}
