package explore

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hazards is the report of [Hostile].
type Hazards struct {
	Name  string // the name of the test
	Runs  int
	Time  time.Duration
	Traps []TrapResult
}

// A TrapResult is the outcome of one trap.
type TrapResult struct {
	// Trap is the name of the trap. Reference names, separated by semicolons,
	// advisories about clients that stepped into the trap, or sections of
	// standards. Twin is the legitimate behaviour that resembles the trap.
	Trap, Reference, Twin string

	Outcome Hazard

	// Detail describes the action of the client, or says why the trap was not tried.
	Detail string

	// Requests are the last requests of a client that stepped into the trap.
	Requests []string
}

// A Hazard is the outcome of a trap.
type Hazard string

// The outcomes of traps.
const (
	Withstood Hazard = "withstood"
	Caught    Hazard = "CAUGHT"     // the client stepped into the trap
	TwinFails Hazard = "TWIN FAILS" // the client refuses the legitimate twin as well
	NotTried  Hazard = "not tried"  // the trap does not apply to the operation
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
func (z *Hazards) With(outcome Hazard) []string {
	var traps []string
	for _, x := range z.Traps {
		if x.Outcome == outcome {
			traps = append(traps, x.Trap)
		}
	}
	return traps
}

// Summary returns the number of traps with each outcome, in a line. [Hazards.Markdown]
// has the traps.
func (z *Hazards) Summary() string {
	untried := fmt.Sprintf("%d not tried", len(z.With(NotTried)))
	if len(z.With(NotTried)) > 0 {
		untried += " (Hazards.Markdown has the reasons)"
	}
	return fmt.Sprintf("%d traps withstood, %d caught the client, %d twins fail, %s, %d runs",
		len(z.With(Withstood)), len(z.With(Caught)), len(z.With(TwinFails)), untried, z.Runs)
}

// untried returns a sentence that says why no trap was tried, or "" if one was tried.
func (z *Hazards) untried() string {
	if len(z.With(NotTried)) < len(z.Traps) {
		return ""
	}
	var reasons []string
	for _, x := range z.Traps {
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
func (z *Hazards) Markdown() string {
	var b strings.Builder
	b.WriteString("| Trap | Outcome | Detail |\n|---|---|---|\n")
	for _, x := range z.Traps {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", x.Trap, x.Outcome, strings.NewReplacer("|", `\|`, "\n", " ").Replace(x.Detail))
	}
	return b.String()
}
