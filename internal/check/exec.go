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

	"github.com/ocireg/registry/internal/field"
)

// maxOutput is the number of bytes of a command's output that are kept.
const maxOutput = 1 << 20

// An execution is a command that ran.
type execution struct {
	output string // standard output and standard error, as they came
	exit   int    // the exit code, or -1
	late   bool   // the command was killed after the timeout
}

// execute runs a command in the environment. It returns an error if the command
// does not exist or cannot be started. The processes in the group of the
// command have ended when it returns; one that left the group, as setsid does, may
// go on.
func execute(ctx context.Context, timeout time.Duration, env, args []string) (execution, error) {
	runCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(runCtx, args[0], args[1:]...)
	if errors.Is(cmd.Err, exec.ErrDot) {
		cmd.Err = nil // The user means the command in this directory.
	}
	cmd.Env = env
	groupChildren(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = time.Second // for children that left the group and hold the output
	var output capped
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return execution{}, fmt.Errorf("starting the command: %w", err)
	}
	err := cmd.Wait()
	_ = killGroup(cmd) // the command's remaining children
	e := execution{output: output.String(), exit: cmd.ProcessState.ExitCode()}
	switch {
	case ctx.Err() != nil:
		return e, context.Cause(ctx)
	case runCtx.Err() != nil && err != nil:
		e.late = true
	}
	return e, nil
}

// commandLine returns the words as a line for a shell.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(word, special) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// special reports whether a character may have a meaning to a shell.
func special(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/.:@_-+,=%", c))
}

// A capped is a buffer that drops the end of a long text.
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

// environment returns the variables for a command whose home is a directory: those
// of this process, without the ones that lead a client to credentials, to a
// configuration or to a proxy.
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

// version returns the first line with a version number that the client's command
// for its version prints, or else its first line.
func (k *checker) version(ctx context.Context) (string, error) {
	home, remove, err := makeHome()
	if err != nil {
		return "", err
	}
	defer remove()
	values := map[string]string{"home": home}
	// The command may fail with Env, whose files exist only after the setup of
	// a task. Then it runs without Env.
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
			first = line // The lines before it may be a log.
			break
		}
		first = cmp.Or(first, line)
	}
	return field.Printable(field.Shorten(first, 100))
}

var versionNumber = regexp.MustCompile(`(^|[^.\w]|\bv)\d+\.\d+`)

// makeHome makes a home directory for one run.
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
