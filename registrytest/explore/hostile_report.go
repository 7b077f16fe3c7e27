package explore

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A TrapReport is the report of [Hostile].
type TrapReport struct {
	Name  string // the name of the test
	Runs  int
	Time  time.Duration
	Traps []TrapResult
}

// A TrapResult is the outcome of one trap.
type TrapResult struct {
	// Trap is the name of the trap. Reference names, separated by semicolons,
	// advisories about clients that stepped into the trap, sections of standards,
	// weaknesses (CWE) and issues. Twin is the legitimate behaviour that resembles the trap.
	Trap, Reference, Twin string

	Outcome TrapOutcome

	// Detail describes the action of the client, or says why the trap was not tried.
	Detail string

	// Requests are the last requests of a client that stepped into the trap.
	Requests []string
}

// A TrapOutcome says how a client coped with a trap.
type TrapOutcome string

// The outcomes of traps.
const (
	Withstood TrapOutcome = "withstood"
	Caught    TrapOutcome = "CAUGHT"     // the client stepped into the trap
	TwinFails TrapOutcome = "TWIN FAILS" // the operation fails with the legitimate twin
	NotTried  TrapOutcome = "not tried"  // the trap does not apply to the operation
)

// String returns a line with the result, followed by a line for each request.
func (x TrapResult) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trap %q: %s: %s", x.Trap, x.Outcome, x.Detail)
	if x.Reference != "" {
		fmt.Fprintf(&b, " (%s)", x.Reference)
	}
	for _, r := range x.Requests {
		fmt.Fprintf(&b, "\n\t%s", r)
	}
	return b.String()
}

// With returns the names of the traps with the outcome.
func (r *TrapReport) With(outcome TrapOutcome) []string {
	var traps []string
	for _, x := range r.Traps {
		if x.Outcome == outcome {
			traps = append(traps, x.Trap)
		}
	}
	return traps
}

// Summary returns the number of traps with each outcome, in a line. [TrapReport.Markdown]
// lists the traps.
func (r *TrapReport) Summary() string {
	untried := fmt.Sprintf("%d not tried", len(r.With(NotTried)))
	if len(r.With(NotTried)) > 0 {
		untried += " (TrapReport.Markdown has the reasons)"
	}
	return fmt.Sprintf("%d traps withstood, %d caught the client, %d twins fail, %s, %d runs",
		len(r.With(Withstood)), len(r.With(Caught)), len(r.With(TwinFails)), untried, r.Runs)
}

// untried returns a sentence that says why no trap was tried, or "" if one was tried.
func (r *TrapReport) untried() string {
	if len(r.With(NotTried)) < len(r.Traps) {
		return ""
	}
	var reasons []string
	for _, x := range r.Traps {
		if !slices.Contains(reasons, x.Detail) {
			reasons = append(reasons, x.Detail)
		}
	}
	if reasons == nil {
		reasons = []string{"the options leave out all traps"}
	}
	return "no trap was tried: " + strings.Join(reasons, "; ")
}

// Markdown returns the report as a table in Markdown, with the reason why a trap was
// not tried.
func (r *TrapReport) Markdown() string {
	var b strings.Builder
	b.WriteString("| Trap | Outcome | Detail |\n|---|---|---|\n")
	for _, x := range r.Traps {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", x.Trap, x.Outcome, strings.NewReplacer("|", `\|`, "\n", " ").Replace(x.Detail))
	}
	return b.String()
}
