// Package check judges clients by the OCI Distribution Specification. It starts
// registries, runs the commands of a client against them, and reports which
// requirements of the spec the client met and which it violated.
//
// A [Client] has a command for each task, such as a pull. Check runs the
// command once undisturbed. The requests of this run show the operations that
// the command uses, and so the scenarios that apply to it. Each scenario runs
// the command again, against a registry with an unusual or faulty behaviour, such
// as listing tags in pages.
//
// A scenario is an entry in a table, in the file of its subject. To add a scenario,
// write the entry, and its requirement in requirements.go.
package check

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// A Config configures a call of [Check].
type Config struct {
	// Timeout limits the time of each command. If it is 0, the limit is 30 seconds.
	Timeout time.Duration

	// Jobs is the number of commands that run at the same time. If it is 0, it is
	// the number of processors.
	Jobs int

	// Imitate, unless it is nil, returns the behaviour that the registry of a run
	// imitates, a new value for each run. Like describes the imitated registry,
	// such as "a registry like ecr".
	Imitate func() Imitation
	Like    string

	// Only, unless it is nil, reports whether to try a scenario.
	Only func(scenario string) bool

	// run replaces execute in tests, which run the client in their own process.
	run func(ctx context.Context, timeout time.Duration, env, args []string) (execution, error)
}

// An Imitation is the behaviour of a real registry, such as a *profile.Profile.
type Imitation interface {
	registrytest.Option

	// Auth returns the authentication of the registry, or nil if it has none.
	Auth() *auth.Auth

	// Credentials returns the credentials of a user with all permissions.
	Credentials() auth.Credentials
}

// A Report is the result of [Check].
type Report struct {
	Client  string
	Like    string // the description of the imitated registry, or ""
	Version string // the first line that the client printed about its version, or ""
	Runs    int    // how often commands of tasks ran, without those for Setup and Version
	Results []Result
	Crashes []Crash
}

// A Crash is a command that crashed, which no registry excuses. It shows nothing about
// the requirements of the scenario, so they count as not tried.
type Crash struct {
	Task     string   `json:"task"`
	Scenario string   `json:"scenario"`
	Detail   string   `json:"detail"` // how the command ended
	Command  string   `json:"command"`
	Requests []string `json:"requests"` // the last requests of the command
}

// A Result is the outcome of a requirement for a task of the client.
type Result struct {
	Requirement
	Task    string
	Outcome Outcome

	// Detail describes the action of the client, or says why the requirement was
	// not tried.
	Detail string

	// Requests are the requests that show a violation.
	Requests []string

	// Command is the command line of the run that shows a violation, or "".
	Command string
}

// An Outcome says how a client met a requirement.
type Outcome string

// The outcomes of requirements.
const (
	Held     Outcome = "held"
	Violated Outcome = "violated"
	NotTried Outcome = "not tried" // the requirement does not apply, or the command was killed or crashed
	Observed Outcome = "observed"  // for a [Note]: the spec leaves the choice to the client
)

// Violations returns the results that are violations of requirements of the level.
func (r *Report) Violations(l Level) []Result {
	var violated []Result
	for _, result := range r.Results {
		if result.Level == l && result.Outcome == Violated {
			violated = append(violated, result)
		}
	}
	return violated
}

// A FailedError reports a command that cannot be judged, because it failed
// against a registry without faults.
type FailedError struct {
	Task, Command, Reason, Output string
	Requests                      []string
	Like                          string // the description of the imitated registry, or ""
}

func (e *FailedError) Error() string {
	var b strings.Builder
	at := "a registry that does nothing unusual"
	if e.Like != "" {
		at = e.Like
	}
	fmt.Fprintf(&b, "the command for %s fails against %s, so it cannot be judged: %s\n\t%s", e.Task, at, e.Reason, e.Command)
	for line := range strings.Lines(field.Shorten(e.Output, 2000)) {
		fmt.Fprintf(&b, "\n\t| %s", field.Printable(strings.TrimRight(line, "\r\n")))
	}
	for _, r := range e.Requests {
		fmt.Fprintf(&b, "\n\t%s", r)
	}
	return b.String()
}

// Check checks the client. It returns an error if the client cannot be judged:
// a [FailedError] for each of its commands that fail undisturbed, and other
// errors if, for example, a directory cannot be created.
func Check(ctx context.Context, c Client, cfg Config) (*Report, error) {
	if len(c.Tasks) == 0 {
		return nil, errors.New("the client has no task: give it a command, such as one for pull")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Jobs <= 0 {
		cfg.Jobs = runtime.NumCPU()
	}
	if cfg.run == nil {
		cfg.run = execute
	}
	k := &checker{client: c, cfg: cfg, slots: make(chan struct{}, cfg.Jobs)}
	report := &Report{Client: c.Name, Like: cfg.Like}
	if len(c.Version) > 0 {
		version, err := k.version(ctx)
		if err != nil {
			return nil, err
		}
		report.Version = version
	}

	found := make([]findings, len(c.Tasks))
	errs := make([]error, len(c.Tasks))
	var wg sync.WaitGroup
	for i, task := range c.Tasks {
		wg.Go(func() { found[i], errs[i] = k.task(ctx, task) })
	}
	wg.Wait()
	all := joined(found)
	report.Results, report.Crashes, report.Runs = all.results, all.crashes, k.runs
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return report, errors.Join(errs...)
}

// findings are the results and crashes of runs of commands.
type findings struct {
	results []Result
	crashes []Crash
}

// joined concatenates the findings.
func joined(all []findings) (one findings) {
	for _, f := range all {
		one.results = append(one.results, f.results...)
		one.crashes = append(one.crashes, f.crashes...)
	}
	return one
}

// A checker holds the state of one call of [Check].
type checker struct {
	client Client
	cfg    Config
	slots  chan struct{} // a semaphore: holds a value for each command that runs

	mu   sync.Mutex
	runs int
}

// task runs the command of one task, undisturbed and in each scenario, and
// returns the results.
func (k *checker) task(ctx context.Context, task Task) (findings, error) {
	base, err := k.run(ctx, task, func(*world) {})
	if err != nil {
		return findings{}, fmt.Errorf("%s: %w", task.Name, err)
	}
	if !base.ok() {
		return findings{}, &FailedError{Task: task.Name, Command: base.command, Reason: base.end(), Output: base.output, Requests: lines(base.requests.Records(), 20), Like: k.cfg.Like}
	}
	if base.requests.Len() == 0 {
		return findings{}, &FailedError{Task: task.Name, Command: base.command, Reason: "it sent no request to the registry; {ref}, {registry} and others stand for its address", Output: base.output, Like: k.cfg.Like}
	}
	found := make([]findings, len(scenarios)+1)
	errs := make([]error, len(scenarios))
	if k.cfg.Only == nil || k.cfg.Only("requests") {
		found[0].results = lintResults(base)
	}
	var wg sync.WaitGroup
	for i, s := range scenarios {
		if k.cfg.Only != nil && !k.cfg.Only(s.name) {
			continue
		}
		wg.Go(func() { found[i+1], errs[i] = k.scenario(ctx, s, base) })
	}
	wg.Wait()
	return joined(found), errors.Join(errs...)
}

// scenario runs the task of the undisturbed run once more, in a scenario, and judges it.
func (k *checker) scenario(ctx context.Context, s scenario, base *run) (findings, error) {
	j := &judgement{base: base, task: base.task.Name}
	notTried := func(reason string) findings {
		for _, r := range s.requirements {
			j.notTried(r, reason)
		}
		return findings{results: j.results}
	}
	if reason := s.applies(base); reason != "" {
		return notTried(reason), nil
	}
	var err error
	j.run, err = k.run(ctx, base.task, func(w *world) { s.arrange(w, base) })
	if c := new(contradictionError); errors.As(err, &c) {
		return notTried(c.Error()), nil
	}
	if err != nil {
		return findings{}, fmt.Errorf("%s, %s: %w", base.task.Name, s.name, err)
	}
	if j.run.crash != "" {
		f := notTried("the command crashed")
		f.crashes = []Crash{{j.task, s.name, j.run.crash, j.run.command, lines(j.run.requests.Records(), 10)}}
		return f, nil
	}
	s.judge(j)
	return findings{results: j.results}, nil
}

// Scenarios returns the names of the scenarios. The first is the undisturbed run.
func Scenarios() []string {
	names := []string{"requests"}
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}
