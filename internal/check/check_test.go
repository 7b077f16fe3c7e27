package check

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/lint"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "client" {
		c := &client{mutant: os.Args[2], config: os.Getenv("DOCKER_CONFIG"), out: os.Stdout}
		if err := c.main(os.Args[3], os.Args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, "client:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(tempdir.Main(m))
}

func digestString(s string) digest.Digest { return digest.Digest(s) }

// commands are the command lines of the test client for each task, without the program.
var commands = map[string]string{
	"pull":        "pull {ref} {dir}",
	"pull-digest": "pull {repo}@{digest} {dir}",
	"push":        "push {layout} {to}",
	"copy":        "copy {ref} {to}",
	"list":        "list {repo}",
	"delete":      "delete {repo}@{referrer}",
	"attach":      "attach {ref} {file}",
	"referrers":   "referrers {ref}",
}

// clientOf returns the test client as a Client with the tasks. The parameter mutant
// names the bug of the test client.
func clientOf(t *testing.T, mutant string, tasks ...string) Client {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	c := Client{Name: "client"}
	for _, task := range tasks {
		c.Tasks = append(c.Tasks, Task{task, append([]string{exe, "client", mutant}, strings.Fields(commands[task])...)})
	}
	return c
}

// inProcess runs the test client in this process, which takes a tenth of the
// time of a new process.
func inProcess(_ context.Context, _ time.Duration, env, args []string) (execution, error) {
	var out bytes.Buffer
	c := &client{mutant: args[2], out: &out}
	for _, v := range env {
		if dir, ok := strings.CutPrefix(v, "DOCKER_CONFIG="); ok {
			c.config = dir
		}
	}
	if err := c.main(args[3], args[4:]); err != nil {
		fmt.Fprintln(&out, "client:", err)
		return execution{output: out.String(), exit: 1}, nil
	}
	return execution{output: out.String()}, nil
}

// The client without a bug violates nothing. Every requirement is tried, except
// one about uploads in a single POST, which the client does not send.
func TestRightClient(t *testing.T) {
	t.Parallel()
	var all []string
	for task := range commands {
		all = append(all, task)
	}
	slices.Sort(all)
	report, err := Check(t.Context(), clientOf(t, "right", all...), Config{Jobs: 20, run: inProcess})
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, report.WriteText(&text))
	require.Empty(t, append(report.Violations(Must), report.Violations(Should)...), "%s", text.String())
	var untried []string
	for _, g := range report.untried() {
		untried = append(untried, g.Name)
	}
	require.Equal(t, []string{"a single POST that is not supported is followed by a PUT"}, untried)
}

// Each rule of package lint belongs either to a requirement in rules or to notLinted.
func TestLintRules(t *testing.T) {
	have := slices.Clone(notLinted)
	for _, r := range rules {
		have = append(have, r.lint)
	}
	require.ElementsMatch(t, lint.Rules(), have)
}

// A stub imitates a registry that asks for credentials and lists one tag per page.
type stub struct{ auth *auth.Auth }

func (s stub) Auth() *auth.Auth              { return s.auth }
func (s stub) Credentials() auth.Credentials { return s.auth.User("ci") }
func (s stub) Options() []registry.Option {
	return append(s.auth.Options(), registry.WithPageSize(1))
}

// With Imitate, the registry of a run behaves like the imitated one, and the client
// gets its credentials. A scenario that contradicts the imitated registry is not tried.
func TestImitation(t *testing.T) {
	t.Parallel()
	check := func(mutant, task string) (*Report, error) {
		return Check(t.Context(), clientOf(t, mutant, task), Config{Jobs: 20, run: inProcess, Like: "a registry like stub", Imitate: func() Imitation { return stub{auth.Basic()} }})
	}
	report, err := check("right", "list")
	require.NoError(t, err)
	require.Empty(t, report.Violations(Must))
	require.Empty(t, report.Violations(Should))
	require.Contains(t, report.title(), ", against a registry like stub")
	outcomes := make(map[string]Result)
	for _, r := range report.Results {
		outcomes[r.Name] = r
	}
	require.Equal(t, NotTried, outcomes[listsAllTags.Name].Outcome)
	require.Contains(t, outcomes[listsAllTags.Name].Detail, "a registry like stub cannot play this scenario: ")
	require.Equal(t, Held, outcomes[keepsAuthorization.Name].Outcome)
	require.Equal(t, Held, outcomes[followsRedirects.Name].Outcome)

	report, err = check("leaks credentials", "list")
	require.NoError(t, err)
	require.Len(t, report.Violations(Must), 1)
	require.Equal(t, keepsAuthorization, report.Violations(Must)[0].Requirement)

	failing := clientOf(t, "right", "list")
	failing.Tasks[0].Args[3] = "fail"
	_, err = Check(t.Context(), failing, Config{run: inProcess, Like: "a registry like stub", Imitate: func() Imitation { return stub{auth.Basic()} }})
	require.ErrorContains(t, err, "the command for list fails against a registry like stub, so it cannot be judged")
}

// Check finds the same violations if the client runs in separate processes.
func TestProcesses(t *testing.T) {
	t.Parallel()
	only := func(scenario string) bool {
		return slices.Contains([]string{"requests", "credentials", "tags in pages"}, scenario)
	}
	report, err := Check(t.Context(), clientOf(t, "leaks credentials", "list"), Config{Only: only})
	require.NoError(t, err)
	require.Equal(t, 3, report.Runs)
	require.Empty(t, report.Violations(Should))
	violated := report.Violations(Must)
	require.Len(t, violated, 1)
	require.Equal(t, keepsAuthorization, violated[0].Requirement)
	require.Contains(t, violated[0].Command, "client 'leaks credentials' list 127.0.0.1:")
	require.NotEmpty(t, violated[0].Requests)
}

// A command that crashes is in the report with the run that shows it. The requirements
// of the scenario are not tried, because a crash is not a clean failure.
func TestCrash(t *testing.T) {
	t.Parallel()
	only := func(scenario string) bool { return scenario == "type parameters" }
	report, err := Check(t.Context(), clientOf(t, "panics", "pull"), Config{Only: only})
	require.NoError(t, err)
	require.Len(t, report.Crashes, 1)
	c := report.Crashes[0]
	require.Equal(t, []string{"pull", "type parameters", "it printed a panic: panic: the type has parameters"}, []string{c.Task, c.Scenario, c.Detail})
	require.Contains(t, c.Command, "client panics pull 127.0.0.1:")
	require.NotEmpty(t, c.Requests)
	require.Equal(t, []Result{{Requirement: ignoresTypeParameters, Task: "pull", Outcome: NotTried, Detail: "the command crashed"}}, report.Results)

	crashing := clientOf(t, "right", "list")
	crashing.Tasks[0].Args[3] = "panic"
	_, err = Check(t.Context(), crashing, Config{})
	require.ErrorContains(t, err, "so it cannot be judged: it crashed: it printed a panic: panic: as it should")
}

// A command that does not end is killed together with its child process, which
// keeps the command's output open.
func TestCommandIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no process groups")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := execute(ctx, time.Minute, environment(t.TempDir(), nil), []string{exe, "client", "right", "hang", "parent", l.Addr().String()})
		done <- err
	}()
	child, err := l.Accept()
	require.NoError(t, err)
	defer child.Close()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	_, err = child.Read(make([]byte, 1))
	require.Error(t, err, "the child must end, which closes its connection")

	e, err := execute(t.Context(), time.Nanosecond, nil, []string{exe, "client", "right", "hang", "child", l.Addr().String()})
	if err == nil { // The child may not have started.
		require.True(t, e.late)
	}
}

// A command that fails undisturbed, sends no request or does not exist is not judged.
// Check returns the error of the context if that is cancelled.
func TestCommandsThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	c := clientOf(t, "right", "list")
	c.Tasks[0].Args[3] = "fail"
	_, err := Check(t.Context(), c, Config{})
	require.ErrorContains(t, err, "the command for list fails against a registry that does nothing unusual, so it cannot be judged: its exit code is 1")
	require.ErrorContains(t, err, "| client: as it should")

	exe, _ := os.Executable()
	_, err = Check(t.Context(), Client{Name: "x", Tasks: []Task{{"help", []string{exe, "-test.list", "^$"}}}}, Config{})
	require.ErrorContains(t, err, "it sent no request to the registry")

	_, err = Check(t.Context(), Client{Name: "x", Tasks: []Task{{"pull", []string{filepath.Join(t.TempDir(), "missing")}}}}, Config{})
	require.ErrorContains(t, err, "pull: starting the command")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Check(ctx, clientOf(t, "right", "list"), Config{})
	require.ErrorIs(t, err, context.Canceled)
}

// hang waits forever. As the parent, it waits for a child process, which connects
// to the address and waits, too.
func hang(who, address string) error {
	if who == "child" {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(exe, "client", "right", "hang", "child", address)
	child.Stdout = os.Stdout // The child keeps the output of the command open.
	return child.Run()
}

// The command line in a report can be pasted into a shell.
func TestCommandLine(t *testing.T) {
	require.Equal(t, `sh -c 'a "$(b)" '\''c'\''' '' docker://127.0.0.1:1/a@sha256:b --x=y,z`,
		commandLine([]string{"sh", "-c", `a "$(b)" 'c'`, "", "docker://127.0.0.1:1/a@sha256:b", "--x=y,z"}))
	require.Equal(t, `sh -c 'a {home}/b $(c)' {ref} {dir}/layout:v1 '{a,b}'`,
		Task{Args: []string{"sh", "-c", "a {home}/b $(c)", "{ref}", "{dir}/layout:v1", "{a,b}"}}.String())
}

// Check finds the version even if the client's command for it fails with Env,
// whose files do not exist yet.
func TestVersionWithoutFiles(t *testing.T) {
	t.Parallel()
	k := &checker{client: Client{Env: []string{"CONFIG={home}/x"}, Version: []string{"c", "version"}}}
	k.cfg.run = func(_ context.Context, _ time.Duration, env, _ []string) (execution, error) {
		if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "CONFIG=/") }) {
			return execution{output: "there is no x for 1.2", exit: 1}, nil
		}
		return execution{output: "c 1.3"}, nil
	}
	version, err := k.version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "c 1.3", version)
}

func TestVersionLine(t *testing.T) {
	for output, want := range map[string]string{
		"\ncrane\nv0.22.1 \n": "v0.22.1",
		"level=error msg=\"stat /a.b/storage.conf\"\npodman version 4.3.1\n": "podman version 4.3.1",
		"0.22\nx":                 "0.22",
		"\n built from source \n": "built from source",
		"":                        "",
	} {
		require.Equal(t, want, versionLine(output))
	}
}

// Texts in reports use the singular for a count of one.
func TestCountsOfOne(t *testing.T) {
	t.Parallel()
	only := func(scenario string) bool { return scenario == "warnings" || scenario == "redirects" }
	report, err := Check(t.Context(), clientOf(t, "no warnings", "list"), Config{Only: only, run: inProcess})
	require.NoError(t, err)
	var details []string
	for _, r := range report.Results {
		details = append(details, r.Detail)
	}
	require.Contains(t, details, "1 request at the other host")
	require.Contains(t, details, "the output does not have the warning that 1 response had")
	require.Equal(t, "client: 1 command ran", (&Report{Client: "client", Runs: 1}).title())
	require.Equal(t, "client: 2 commands ran", (&Report{Client: "client", Runs: 2}).title())
}

// A report has the same content in all formats, and each format is well formed.
func TestReports(t *testing.T) {
	t.Parallel()
	r := &Report{Client: "a|b", Version: "1.0", Runs: 3, Results: []Result{
		{Requirement: keepsAuthorization, Task: "pull", Outcome: Violated, Detail: "it <leaks>\x1b", Command: "a pull", Requests: []string{"GET / 200"}},
		{Requirement: keepsAuthorization, Task: "list", Outcome: Held},
		{Requirement: reportsWarnings, Task: "pull", Outcome: Violated, Detail: "none"},
		{Requirement: listsAllTags, Task: "pull", Outcome: NotTried, Detail: "the command lists no tags"},
		{Requirement: resumesBlob, Task: "pull", Outcome: Observed, Detail: "the command fails"},
	}, Crashes: []Crash{{"pull", "warnings", "a signal|it", "a pull", []string{"GET /v2/ 200"}}}}
	var text, markdown, junit, strict, object bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	require.NoError(t, r.WriteMarkdown(&markdown))
	require.NoError(t, r.WriteJUnit(&junit, false))
	require.NoError(t, r.WriteJUnit(&strict, true))
	require.NoError(t, r.WriteJSON(&object))
	require.Contains(t, text.String(), "Crashes: 1 command\n  CRASHED   pull, in the scenario warnings: a signal|it\n                $ a pull\n                GET /v2/ 200\n\n")
	require.Contains(t, text.String(), "MUST: 0 held, 1 violated, 0 not tried\n  VIOLATED  Authorization stays at the registry's host (API)\n")
	require.Contains(t, text.String(), "            pull: it <leaks> \n                $ a pull\n                GET / 200\n            held by list\n")
	require.Contains(t, text.String(), "  tags of all pages are listed: the command lists no tags\n")
	require.Contains(t, markdown.String(), `## a\|b (1.0): 3 commands ran`)
	require.Contains(t, markdown.String(), "### Crashes: 1 command\n\n| Command | Scenario | How it ended |\n|---|---|---|\n| pull | warnings | **crashed**: a signal\\|it |\n")
	require.Contains(t, markdown.String(), "| Authorization stays at the registry's host | **violated** by pull: it &lt;leaks> <br>held by list |")
	var s suite
	require.NoError(t, xml.Unmarshal(junit.Bytes(), &s))
	require.Equal(t, []int{6, 2, 1}, []int{s.Tests, s.Failures, s.Skipped})
	require.Equal(t, "crash: warnings", s.Cases[0].Name)
	require.NoError(t, xml.Unmarshal(strict.Bytes(), &s))
	require.Equal(t, 3, s.Failures)
	var o struct{ Results, Crashes []map[string]any }
	require.NoError(t, json.Unmarshal(object.Bytes(), &o))
	require.Len(t, o.Results, 5)
	require.Len(t, o.Crashes, 1)
	require.Equal(t, "a signal|it", o.Crashes[0]["detail"])
	require.Equal(t, "https://github.com/opencontainers/distribution-spec/blob/"+specCommit+"/spec.md#api", o.Results[0]["url"])
	require.Equal(t, "https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3", waitsForRetryAfter.URL())
}
