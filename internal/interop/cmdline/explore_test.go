package cmdline

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
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

// The credentials of the tested programs, which use them only if a registry asks for
// credentials.
const user, password = "ci", "secret-of-ci"

// explored lists the programs and tasks of the tables. Their commands are in the
// files of package check.
var explored = []struct{ program, task string }{
	{"crane", "pull"}, {"crane", "push"},
	{"oras", "pull"}, {"oras", "push"},
	{"regctl", "pull"}, {"regctl", "push"},
	{"skopeo", "pull"}, {"skopeo", "push"},
	{"podman", "pull"}, {"podman", "push"},
	{"helm", "pull"}, {"helm", "push"}, {"helm", "login"},
	{"cosign", "attach"}, {"cosign", "verify"},
}

// attached is the artifact type of the referrer that the tests attach to the image.
const attached = "application/vnd.example.file"

// lists are the tasks that list tags or referrers. Only TestHostile runs them.
var lists = []struct{ program, task string }{
	{"crane", "list"}, {"oras", "list"}, {"regctl", "list"}, {"skopeo", "list"}, {"podman", "list"},
	{"oras", "referrers"}, {"regctl", "referrers"},
}

// TestExplored explores programs, for the tables of outcomes and findings in
// docs/clients.md. The programs run over loopback and in real time, so most of
// them get only a sample of the faults.
func TestExplored(t *testing.T) {
	var ops []matrix.Operation
	for _, x := range explored {
		op := operation(x.program, x.task, "")
		op.Runs, op.Short = 60, 3
		switch op.Name {
		case "helm pull", "helm push":
			op.Runs, op.Racy = 0, true
		case "podman push":
			op.Runs, op.Random = 0, true
		case "helm login":
			op.Racy = true
		}
		ops = append(ops, op)
	}
	matrix.EveryFault(t, docs, "explored programs", ops)
	matrix.SameFaults(t, docs, "explored", "Helm pull", "explored programs", "helm pull")
	matrix.SameFaults(t, docs, "explored", "Helm push", "explored programs", "helm push")
}

// TestHostile runs programs against hostile registries, except for traps that need
// host names or TLS, which a run over loopback does not have.
func TestHostile(t *testing.T) {
	var ops []matrix.Operation
	for _, x := range append(explored[:len(explored):len(explored)], lists...) {
		if x.task == "login" {
			continue // Helm gets the credentials of a login as arguments, so no trap applies.
		}
		op := operation(x.program, x.task, password)
		op.Options = []explore.Option{explore.Login(user, password)} // Hostile takes no Accept.
		if x.task == "verify" {
			op.Options = append(op.Options, explore.Verifies())
		}
		ops = append(ops, op)
	}
	matrix.Hostile(t, docs, "hostile programs", ops)
}

// operation returns the operation for the task of a program that package check
// knows. The program has credentials if the password is not "".
func operation(program, task, password string) matrix.Operation {
	client, known := check.Get(program)
	r := runner{client: client, task: task, password: password}
	if program == "cosign" {
		r.signing = new(signing)
	}
	op := matrix.Operation{
		Name:     program + " " + task,
		Loopback: true,
		Start: func(t *testing.T) string {
			require.True(t, known)
			require.NotNil(t, commandOf(client, task))
			need(t, program)
			out, err := exec.Command(client.Version[0], client.Version[1:]...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			if r.signing != nil {
				r.signing.start(t, task)
			}
			return versionPattern.FindString(string(out))
		},
		Run: r.run,
	}
	if task != "push" {
		op.Setup = func(t *explore.T, reg *registrytest.Server) {
			if r.signing != nil && task == "verify" {
				r.signing.setup(t, reg)
				return
			}
			reg.Push(t, "team/app:v1", small())
			reg.Push(t, "team/app", content.Artifact(attached, content.Subject(small())))
			reg.Push(t, "charts/app:1.2.3", check.Chart())
		}
	}
	if r.signs() {
		// A signature contains the time and random numbers, so its digest differs
		// in each run. checkSigned checks the signature instead.
		op.Options = []explore.Option{explore.Accept("wrong content")}
	}
	return op
}

// A runner runs the command for a task of a program.
type runner struct {
	client   check.Client
	task     string
	password string
	signing  *signing // for cosign; otherwise nil
}

func small() content.Content {
	return content.Image(content.Platform(platform), content.LayerSizes(5000))
}

// run runs the command of the task in a new home directory.
func (r runner) run(t *explore.T, reg *registrytest.Server) error {
	home := t.TempDir()
	dir, dockerConfig := filepath.Join(home, "out"), filepath.Join(home, ".docker")
	auths := `{"auths":{}}`
	if r.password != "" {
		auths = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Host(), base64.StdEncoding.EncodeToString([]byte(user+":"+r.password)))
	}
	for _, d := range []string{dir, dockerConfig, filepath.Join(home, "tmp")} {
		require.NoError(t, os.Mkdir(d, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dockerConfig, "config.json"), []byte(auths), 0o600))
	values := strings.NewReplacer("{registry}", reg.Host(), "{ref}", reg.Ref("team/app:v1"), "{digest}", small().Digest.String(), "{repo}", reg.Ref("team/app"),
		"{to}", reg.Ref("team/app:v1"), "{chart}", filepath.Join(home, "app.tgz"), "{layout}", filepath.Join(home, "layout"), "{dir}", dir, "{home}", home)
	if r.task == "push" {
		require.NoError(t, writeLayout(t.Context(), filepath.Join(home, "layout"), small()))
		chart := filepath.Join(home, "app.tgz")
		require.NoError(t, os.WriteFile(chart, check.ChartFile(), 0o600))
		// The manifest of the chart contains the file's time.
		require.NoError(t, os.Chtimes(chart, time.Time{}, time.Unix(1e9, 0)))
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp"), "DOCKER_CONFIG=" + dockerConfig,
		"REGISTRY_AUTH_FILE=" + filepath.Join(dockerConfig, "config.json"), "NO_PROXY=*",
	}
	for _, v := range r.client.Env {
		env = append(env, values.Replace(v))
	}
	command, setup := commandOf(r.client, r.task), r.client.Setup
	if r.signing != nil {
		require.NoError(t, r.signing.writeKeys(home))
		setup = nil
		if r.task == "verify" {
			command = append(slices.Clone(verifyOffline), "--key", "{home}/cosign.pub", "{ref}")
			command = append([]string{"cosign"}, command...)
		}
	}
	for _, args := range setup {
		if _, err := runProgram(t.Context(), env, values, args); err != nil {
			return err
		}
	}
	out, err := runProgram(t.Context(), env, values, command)
	if err != nil {
		return err
	}
	if r.signs() {
		checkSigned(t, reg)
	}
	switch r.task {
	case "pull":
		return addBlobs(t, dir)
	case "list", "referrers":
		found := listed.FindAllString(out, -1)
		slices.Sort(found)
		t.Result("listed", slices.Compact(found))
	}
	return nil
}

// runProgram runs a program and returns its output. If the program fails, the
// error has the last line of the output.
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
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			exit.Stderr = out.Bytes() // Package explore finds a panic there.
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return out.String(), nil
}

// listed matches the tag and digests that a list command prints.
var listed = regexp.MustCompile(`\bv1\b|sha256:[0-9a-f]{64}`)

// addBlobs adds each blob of an image layout, or a chart file, below the
// directory as a result of the run.
func addBlobs(t *explore.T, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/blobs/") && filepath.Ext(path) != ".tgz" {
			return err
		}
		text, err := os.ReadFile(path)
		t.Result(d.Name(), text)
		return err
	})
}
