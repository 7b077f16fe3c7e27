package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/crash"
	"github.com/ocireg/registry/internal/field"
)

// maxOutput is the largest number of bytes of a command's output that an execution keeps.
const maxOutput = 1 << 20

// An execution is the result of a command that ran.
type execution struct {
	output string // standard output and standard error, in the order of arrival
	exit   int    // the exit code, or -1 if a signal ended the command
	late   bool   // the command was killed after the timeout
	crash  string // how the command crashed, or ""
}

// execute runs a command in the environment env. It returns an error if the
// command does not exist or cannot be started. Before it returns, execute kills
// all processes in the command's process group, on systems that have such groups.
// A process that left the group, for example with setsid, may still run.
func execute(ctx context.Context, timeout time.Duration, env, args []string) (execution, error) {
	runCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(runCtx, args[0], args[1:]...)
	if errors.Is(cmd.Err, exec.ErrDot) {
		cmd.Err = nil // The user means the command in the current directory.
	}
	cmd.Env = env
	groupChildren(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = time.Second // for children that left the process group and keep the output open
	var output capped
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return execution{}, fmt.Errorf("starting the command: %w", err)
	}
	err := cmd.Wait()
	_ = killGroup(cmd) // ends children that outlive the command
	e := execution{output: output.String(), exit: cmd.ProcessState.ExitCode()}
	switch {
	case ctx.Err() != nil:
		return e, context.Cause(ctx)
	case runCtx.Err() != nil && err != nil:
		e.late = true
	}
	e.crash = crash.Of(cmd.ProcessState, e.output, e.late)
	return e, nil
}

// commandLine quotes the words for a shell and joins them into a line. It does not
// quote a placeholder, which means nothing to a shell.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(braces.ReplaceAllString(word, ""), special) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// special reports whether a shell may treat a character specially.
func special(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/.:@_-+,=%", c))
}

// A capped is a buffer that keeps the first maxOutput bytes and drops the rest.
type capped struct {
	mu   sync.Mutex
	text []byte
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p[:min(len(p), maxOutput-len(c.text))]...)
	return len(p), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// environment returns the environment of a command whose home directory is home,
// with the variables in more. It drops variables of this process that could point
// a client to credentials, a configuration or a proxy.
func environment(home string, more []string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		upper := strings.ToUpper(name)
		switch {
		case strings.HasSuffix(upper, "_PROXY"), strings.HasPrefix(upper, "XDG_"), strings.HasPrefix(upper, "DOCKER_"):
		case strings.HasPrefix(upper, "REGISTRY_"), strings.HasPrefix(upper, "REGCTL_"), strings.HasPrefix(upper, "CONTAINERS_"):
		case slices.Contains([]string{"HOME", "USERPROFILE", "TMPDIR", "TMP", "TEMP"}, upper):
		default:
			env = append(env, v)
		}
	}
	env = append(env,
		"HOME="+home,
		"USERPROFILE="+home,
		"DOCKER_CONFIG="+dockerConfig(home),
		"XDG_CONFIG_HOME="+home+"/.config",
		"XDG_CACHE_HOME="+home+"/.cache",
		"XDG_DATA_HOME="+home+"/.local/share",
		"XDG_RUNTIME_DIR="+home+"/run",
		"TMPDIR="+home+"/tmp", "TMP="+home+"/tmp", "TEMP="+home+"/tmp",
		"NO_PROXY=*", "no_proxy=*",
	)
	return append(env, more...)
}

func dockerConfig(home string) string { return home + "/.docker" }

// version runs the client's command for its version. It returns the first line of
// the output with a version number, or the first line that is not empty.
func (k *checker) version(ctx context.Context) (string, error) {
	home, remove, err := makeHome()
	if err != nil {
		return "", err
	}
	defer remove()
	values := map[string]string{"home": home}
	// Env may name files that exist only after the setup of a task. If the
	// command fails with Env, it runs again without.
	var e execution
	for _, env := range [][]string{expand(k.client.Env, values), nil} {
		if e, err = k.cfg.run(ctx, k.cfg.Timeout, environment(home, env), expand(k.client.Version, values)); err != nil || e.exit == 0 {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", k.client.Name, err)
	}
	return versionLine(e.output), nil
}

func versionLine(output string) string {
	var first string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if versionNumber.MatchString(line) {
			first = line // The lines before may be a log.
			break
		}
		first = cmp.Or(first, line)
	}
	return field.Printable(field.Shorten(first, 100))
}

var versionNumber = regexp.MustCompile(`(^|[^.\w]|\bv)\d+\.\d+`)

// makeHome creates a home directory for one run. The function remove deletes it.
func makeHome() (home string, remove func(), err error) {
	home, err = os.MkdirTemp("", "ocireg-check-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(home) }
	for _, dir := range []string{dockerConfig(home), home + "/run", home + "/tmp"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			remove()
			return "", nil, err
		}
	}
	return home, remove, nil
}
