// Package languages runs tests written in other languages. Each test program starts
// the command ocireg and controls it. Languages that are not installed are skipped.
package languages

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bin is the directory that contains the command ocireg.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "languages")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		build := exec.Command("go", "build", "-o", dir, "./cmd/ocireg")
		build.Dir = filepath.Join("..", "..", "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building ocireg:", err)
			return 1
		}
		return m.Run()
	}())
}

// A language is a programming language with a test program.
type language struct {
	name    string // the language, and the directory of the program
	program string
	needs   []string
	prepare []string // a command that runs once before run, or nil
	run     []string
	says    string // a text that the output contains if all tests pass
}

var languages = []language{
	{
		name: "python", program: "test_pull.py", needs: []string{"python3"},
		run: []string{"python3", "-m", "unittest", "-v", "test_pull"}, says: "Ran 4 tests",
	},
	{
		name: "node", program: "pull.test.mjs", needs: []string{"node", "npm"},
		prepare: []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"},
		run:     []string{"node", "--test"}, says: "# pass 3",
	},
	{
		name: "shell", program: "pull.sh", needs: []string{"sh", "curl", "skopeo", "sha256sum", "diff"},
		run: []string{"sh", "pull.sh"}, says: "layer: OK",
	},
	{
		name: "java", program: "PullTest.java", needs: []string{"java", "javac"},
		run: []string{"java", "PullTest.java", "../pull.golden"},
	},
}

// copied copies the test programs to a new directory.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(".")))
	return dir
}

// command runs a command in a directory and returns its output.
func command(t *testing.T, dir string, args []string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+t.TempDir())
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// start copies and prepares the test program, or skips the test if a tool is missing.
func (l language) start(t *testing.T) (dir string) {
	t.Helper()
	for _, tool := range l.needs {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir = copied(t)
	if l.prepare != nil {
		if out, err := command(t, filepath.Join(dir, l.name), l.prepare); err != nil {
			t.Skipf("%s: %v\n%s", strings.Join(l.prepare, " "), err, out)
		}
	}
	return dir
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			dir := l.start(t)
			out, err := command(t, filepath.Join(dir, l.name), l.run)
			require.NoError(t, err, "%s", out)
			require.Contains(t, out, l.says)

			if testing.Short() {
				return
			}
			// The program fails if the registry gets requests that differ from those
			// in the golden file.
			golden := filepath.Join(dir, "pull.golden")
			text, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(golden, bytes.Replace(text, []byte("manifests/v1"), []byte("manifests/v2"), 1), 0o600))
			out, err = command(t, filepath.Join(dir, l.name), l.run)
			require.Error(t, err, "%s", out)
			require.Contains(t, out, "manifests/v1")
		})
	}
}

func TestProgramsAreShort(t *testing.T) {
	t.Parallel()
	for _, l := range languages {
		text, err := os.ReadFile(filepath.Join(l.name, l.program))
		require.NoError(t, err)
		require.Less(t, bytes.Count(text, []byte("\n")), 60, l.program)
	}
}
