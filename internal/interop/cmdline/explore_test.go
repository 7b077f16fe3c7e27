package cmdline

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/check"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

const docs = "../../../docs/clients.md"

// The credentials of programs, for registries that ask for some.
const user, password = "ci", "secret-of-ci"

// explored are the programs of the tables, with their tasks in the files of
// package check.
var explored = []struct{ program, task string }{
	{"crane", "pull"}, {"crane", "push"},
	{"oras", "pull"}, {"oras", "push"},
	{"regctl", "pull"}, {"regctl", "push"},
	{"skopeo", "pull"}, {"skopeo", "push"},
	{"podman", "pull"}, {"podman", "push"},
}

// lists are tasks that lists are a trap for.
var lists = []struct{ program, task string }{
	{"crane", "list"}, {"oras", "list"}, {"regctl", "list"}, {"skopeo", "list"}, {"podman", "list"},
	{"oras", "referrers"}, {"regctl", "referrers"},
}

// TestExplored explores programs, for the tables of outcomes and findings in
// docs/clients.md. They run at ports and in real time, so each has a sample of the
// faults.
func TestExplored(t *testing.T) {
	var ops []matrix.Operation
	for _, x := range explored {
		if x.program == "podman" {
			continue // It is slow: on a busy machine a retry does not end in time.
		}
		op := operation(x.program, x.task, "")
		op.Runs, op.Short = 60, 3
		op.Options = []explore.Option{explore.OverLoopback(), explore.Jobs(4), explore.Accept(matrix.OverLoopback...)}
		ops = append(ops, op)
	}
	matrix.EveryFault(t, docs, "explored programs", ops)
}

// TestHostile lets programs meet hostile registries. Traps that need names or TLS
// are left out.
func TestHostile(t *testing.T) {
	var ops []matrix.Operation
	for _, x := range append(explored[:len(explored):len(explored)], lists...) {
		op := operation(x.program, x.task, password)
		op.Options = []explore.Option{explore.OverLoopback(), explore.Login(user, password)}
		ops = append(ops, op)
	}
	matrix.Hostile(t, docs, "hostile programs", ops)
}

// operation returns a task of a program that package check knows, and that has
// credentials if the password is not "".
func operation(program, task, password string) matrix.Operation {
	client, known := check.Get(program)
	op := matrix.Operation{
		Name: program + " " + task,
		Start: func(t *testing.T) string {
			require.True(t, known)
			require.NotNil(t, commandOf(client, task))
			need(t, program)
			out, err := exec.Command(client.Version[0], client.Version[1:]...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			return versionPattern.FindString(string(out))
		},
		Run: func(t *explore.T, reg *registrytest.Server) error { return runTask(t, reg, client, task, password) },
	}
	if task != "push" {
		op.Setup = func(t *explore.T, reg *registrytest.Server) {
			reg.Push(t, "team/app:v1", small())
			reg.Push(t, "team/app", content.Artifact("application/vnd.example.file", content.Subject(small())))
		}
	}
	return op
}

func small() content.Content {
	return content.Image(content.Platform(platform), content.LayerSizes(5000))
}

// runTask runs the command of a task with a home directory of its own.
func runTask(t *explore.T, reg *registrytest.Server, client check.Client, task, password string) error {
	home := t.TempDir()
	dir, dockerConfig := filepath.Join(home, "out"), filepath.Join(home, ".docker")
	auths := `{"auths":{}}`
	if password != "" {
		auths = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Host(), base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	for _, d := range []string{dir, dockerConfig, filepath.Join(home, "tmp")} {
		require.NoError(t, os.Mkdir(d, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dockerConfig, "config.json"), []byte(auths), 0o600))
	values := strings.NewReplacer("{registry}", reg.Host(), "{ref}", reg.Ref("team/app:v1"), "{repo}", reg.Ref("team/app"),
		"{to}", reg.Ref("team/app:v1"), "{layout}", filepath.Join(home, "layout"), "{dir}", dir, "{home}", home)
	if task == "push" {
		require.NoError(t, writeLayout(t.Context(), filepath.Join(home, "layout"), small()))
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp"), "DOCKER_CONFIG=" + dockerConfig,
		"REGISTRY_AUTH_FILE=" + filepath.Join(dockerConfig, "config.json"), "NO_PROXY=*",
	}
	for _, v := range client.Env {
		env = append(env, values.Replace(v))
	}
	for _, args := range client.Setup {
		if _, err := runProgram(t.Context(), env, values, args); err != nil {
			return err
		}
	}
	out, err := runProgram(t.Context(), env, values, commandOf(client, task))
	if err != nil {
		return err
	}
	switch task {
	case "pull":
		return addBlobs(t, dir)
	case "list", "referrers":
		found := listed.FindAllString(out, -1)
		slices.Sort(found)
		t.Result("listed", slices.Compact(found))
	}
	return nil
}

// runProgram runs a program, and returns its output. The error has the last line
// of it.
func runProgram(ctx context.Context, env []string, values *strings.Replacer, args []string) (string, error) {
	var words []string
	for _, arg := range args {
		words = append(words, values.Replace(arg))
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = env
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return out.String(), nil
}

// listed matches the tag and the digests in the output of a list.
var listed = regexp.MustCompile(`\bv1\b|sha256:[0-9a-f]{64}`)

// addBlobs makes the blobs of an image layout the results of a run. A program
// without a layout has none.
func addBlobs(t *explore.T, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/blobs/") {
			return err
		}
		text, err := os.ReadFile(path)
		t.Result(d.Name(), text)
		return err
	})
}
