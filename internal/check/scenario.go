package check

import (
	"fmt"
	"slices"

	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest/journal"
)

// A scenario is an unusual behaviour of a registry, with a function that judges
// how the command of a task copes with it.
type scenario struct {
	name         string
	requirements []Requirement

	// applies returns the reason why the scenario does not apply to the command,
	// given its undisturbed run, or "" if it applies.
	applies func(base *run) string

	// arrange prepares the registry of the run, given the undisturbed run.
	arrange func(w *world, base *run)

	judge func(*judgement)
}

// scenarios lists all scenarios in the order of reports.
var scenarios = slices.Concat(httpScenarios, pullScenarios, listScenarios, pushScenarios, referrersScenarios)

// A judgement collects the results of one run.
type judgement struct {
	base, run *run
	task      string
	results   []Result
}

func (j *judgement) add(req Requirement, o Outcome, detail string) *Result {
	j.results = append(j.results, Result{Requirement: req, Task: j.task, Outcome: o, Detail: detail})
	return &j.results[len(j.results)-1]
}

// held adds that the requirement was met. A command that was killed might still have
// violated it, so in this case held adds that the requirement was not tried.
func (j *judgement) held(req Requirement, format string, args ...any) {
	if j.run.late {
		j.notTried(req, killed)
		return
	}
	j.add(req, Held, fmt.Sprintf(format, args...))
}

// killed is the reason why a requirement was not tried if the command did not end.
const killed = "the command was killed, since it did not end in time"

func (j *judgement) notTried(req Requirement, reason string) {
	if req.Level != Note {
		j.add(req, NotTried, reason)
	}
}

func (j *judgement) observed(req Requirement, format string, args ...any) {
	j.add(req, Observed, fmt.Sprintf(format, args...))
}

// failed adds an observation of a command that did not succeed.
func (j *judgement) failed(req Requirement) {
	if j.run.late {
		j.observed(req, "the command does not end in time")
	} else {
		j.observed(req, "the command fails")
	}
}

// violated adds a violation of the requirement, with the records as evidence. For
// a [Note] it adds an observation.
func (j *judgement) violated(req Requirement, records []*journal.Record, format string, args ...any) {
	o := Violated
	if req.Level == Note {
		o = Observed
	}
	r := j.add(req, o, fmt.Sprintf(format, args...))
	r.Requests, r.Command = lines(records, 10), j.run.command
}

// succeeds reports whether the command succeeded. If it failed, succeeds adds a
// violation.
func (j *judgement) succeeds(req Requirement) bool {
	if !j.run.ok() {
		j.violated(req, j.run.requests.Records(), "the command fails: %s%s", j.run.end(), j.said())
		return false
	}
	return true
}

// said returns the last line of the command's output, after a comma, or "".
func (j *judgement) said() string {
	last := lastLine(j.run.output)
	if last == "" {
		return ""
	}
	return ", " + field.Printable(field.Shorten(last, 300))
}

func lastLine(s string) string {
	last, line := "", ""
	for _, c := range s + "\n" {
		if c != '\n' && c != '\r' {
			line += string(c)
			continue
		}
		if line != "" {
			last = line
		}
		line = ""
	}
	return last
}

// lines returns the last of the records as text, at most limit.
func lines(records []*journal.Record, limit int) (texts []string) {
	for _, r := range records[max(0, len(records)-limit):] {
		texts = append(texts, r.String())
	}
	return texts
}

// always implements scenario.applies: the scenario applies to every command.
func always(*run) string { return "" }
