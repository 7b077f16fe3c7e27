package cmdline

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/check"
	"github.com/ocireg/registry/internal/interop/matrix"
)

// sample lists the scenarios of package check that go test -short tries.
var sample = []string{"requests", "tags in pages", "referrers tag", "attach without the API"}

// knownClients returns the names of the clients that ocireg check knows.
func knownClients() []string { return strings.Split(check.Known(), ", ") }

// The clients that ocireg check knows, and the libraries, meet and violate exactly
// the requirements that docs/clients.md lists.
func TestCheck(t *testing.T) {
	outcomes := matrix.OpenTable(t, docs, "check")
	findings := matrix.OpenTable(t, docs, "check findings")
	outcomes.Declare(matrix.Version)
	for _, r := range check.Requirements() {
		outcomes.Declare(rowOf(r))
	}
	outcomes.CheckDeclared(t)
	var rows, stale []string
	clients := checkedClients(t)
	for _, client := range clients {
		name := client.Name
		t.Run(name, func(t *testing.T) {
			client.start(t)
			cfg := check.Config{Timeout: 20 * time.Second}
			if testing.Short() {
				cfg.Only = func(scenario string) bool { return slices.Contains(sample, scenario) }
			}
			report, err := check.Check(t.Context(), client.Client, cfg)
			require.NoError(t, err)
			var text strings.Builder
			require.NoError(t, report.WriteText(&text))
			t.Log(text.String())
			require.Empty(t, report.Crashes, "report the crash to the authors of the client before you add it here")

			version := versionPattern.FindString(report.Version)
			require.NotEmpty(t, version, "%s", report.Version)
			if !outcomes.IsOf(name, version) {
				t.Skipf("the table is not about version %s", version)
			}
			for _, r := range check.Requirements() {
				if seen := outcome(report, r); seen != "" {
					outcomes.Check(t, rowOf(r), name, seen)
				} else if !testing.Short() {
					outcomes.Check(t, rowOf(r), name, "–")
				}
			}
			for _, v := range slices.Concat(report.Violations(check.Must), report.Violations(check.Should)) {
				row := name + ": " + v.Name
				if slices.Contains(rows, row) {
					continue // Another command has the same violation.
				}
				rows = append(rows, row)
				findings.Check(t, row, "Seen", matrix.Steady(v.Detail))
				findings.Check(t, row, "Command", reproduction(client.Client, v.Task))
			}
			for _, r := range check.Requirements() {
				if row := name + ": " + r.Name; outcome(report, r) != "" && !slices.Contains(rows, row) {
					stale = append(stale, row)
				}
			}
		})
	}
	for _, row := range stale {
		findings.CheckAbsent(t, row)
	}
	checkStale(t, clients, outcomes, findings)
}

// checkStale checks that the tables are about clients, tasks, commands and requirements
// that exist, even if a client is not installed, and that the findings are the
// violations of the other table.
func checkStale(t *testing.T, clients []checked, outcomes, findings *matrix.Table) {
	t.Helper()
	var names []string
	for _, client := range clients {
		names = append(names, client.Name)
	}
	outcomes.CheckColumns(t, names)
	findings.CheckColumns(t, []string{"Seen", "Command"})
	var violated []string
	for _, client := range clients {
		name := client.Name
		var tasks, commands []string
		for _, task := range client.Tasks {
			tasks, commands = append(tasks, task.Name), append(commands, reproduction(client.Client, task.Name))
		}
		for _, r := range check.Requirements() {
			cell := outcomes.Cell(rowOf(r), name)
			if r.Level == check.Note || cell == "–" {
				continue
			}
			for part := range strings.SplitSeq(cell, "; ") {
				outcome, by, some := strings.Cut(part, " by ")
				require.Contains(t, []string{"held", "violated"}, outcome, "%s, %s", r.Name, name)
				if some {
					require.Subset(t, tasks, strings.Split(by, ", "), "%s, %s", r.Name, name)
				}
				if row := name + ": " + r.Name; outcome == "violated" {
					violated = append(violated, row)
					require.Contains(t, commands, findings.Cell(row, "Command"), "%s", row)
				}
			}
		}
	}
	findings.CheckRows(t, violated)
}

func rowOf(r check.Requirement) string { return string(r.Level) + ": " + r.Name }

// outcome returns the text for the cell of a client and a requirement in
// docs/clients.md, or "" if no task tried the requirement.
func outcome(report *check.Report, req check.Requirement) string {
	by := make(map[check.Outcome][]string)
	var observed []string
	for _, r := range report.Results {
		if r.Name != req.Name {
			continue
		}
		by[r.Outcome] = append(by[r.Outcome], r.Task)
		if detail := matrix.Steady(r.Detail); r.Outcome == check.Observed && !slices.Contains(observed, detail) {
			observed = append(observed, detail)
		}
	}
	switch {
	case len(by[check.Observed]) > 0:
		return strings.Join(observed, "; ")
	case len(by[check.Violated]) > 0 && len(by[check.Held]) > 0:
		return "violated by " + strings.Join(by[check.Violated], ", ") + "; held by " + strings.Join(by[check.Held], ", ")
	case len(by[check.Violated]) > 0:
		return "violated"
	case len(by[check.Held]) > 0:
		return "held"
	}
	return ""
}

// commandOf returns the client's command for a task. It still has placeholders.
func commandOf(c check.Client, task string) []string {
	for _, t := range c.Tasks {
		if t.Name == task {
			return t.Args
		}
	}
	return nil
}

// reproduction returns the text for the cell with the command of a violation: the words
// after "ocireg check --", with their placeholders. If the client needs the setup
// or the environment in its file, it is the command that reads the file, and the task.
func reproduction(c check.Client, task string) string {
	if len(c.Setup)+len(c.Env) > 0 {
		return "`ocireg check -client " + c.Name + "`: " + task
	}
	return "`" + check.Task{Args: commandOf(c, task)}.String() + "`"
}
