package cmdline

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"debug/elf"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// checkout is the directory of the main module.
const checkout = "../../.."

// buildImage builds the image of ocireg from a checkout into a directory, and
// returns its digest. Env is added to the environment.
func buildImage(t *testing.T, from, dir, platforms string, env ...string) digest.Digest {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./internal/image", "-o", dir, "-version", "0.1.0", "-platforms", platforms)
	cmd.Dir = from
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	words := strings.Fields(string(out))
	require.Len(t, words, 2, "%s", out)
	require.Equal(t, filepath.Join(dir, "ocireg")+":0.1.0", words[0])
	return digest.Digest(words[1])
}

// The image of ocireg is served by ocireg and runs from there: it prints its
// version, and serves with TLS, for which it makes a temporary directory.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the command for an image takes half a minute")
	}
	dir := t.TempDir()
	buildImage(t, checkout, dir, platform)
	for _, tool := range tools {
		if !slices.Contains([]string{"podman", "buildah", "ctr", "docker"}, tool.name) {
			continue // It runs no containers.
		}
		t.Run(tool.name, func(t *testing.T) {
			need(t, append(tool.needs, tool.name, "runc")...)
			c := tool.start(t)
			s := serveDir(t, dir)
			ref := s.ref("ocireg:0.1.0")
			out, err := c.run(ref, "-version")
			if err != nil && count(s.requests(t), 2, "get-blob") == 2 {
				t.Skipf("the image was pulled, but containers do not run here: %s", out)
			}
			require.NoError(t, err)
			require.Regexp(t, `(?m)^ocireg v0\.1\.0 go\S+ `+platform+`$`, out)
			if c.serve != nil {
				serveInContainer(t, c.serve(ref, "--env", "OCIREG_ADDR=127.0.0.1:0", "--env", "OCIREG_TLS=true"))
			}
		})
	}
}

// serveInContainer runs a container that serves HTTPS, asks it, and ends it.
func serveInContainer(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	first, _ := lines.ReadString('\n')
	second, _ := lines.ReadString('\n')
	url, _, _ := strings.Cut(first, " ")
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url + "/v2/")
	if err == nil {
		resp.Body.Close()
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	io.Copy(io.Discard, lines)
	require.NoError(t, cmd.Wait(), "%s", stderr.String())
	require.NoError(t, err, "%s%s", first, stderr.String())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, strings.HasPrefix(url, "https://127.0.0.1:"), first)
	require.True(t, strings.HasPrefix(second, "trust /tmp/"), second)
}

// Two checkouts make the same image, whatever the directory, the caches and the
// environment, and the command in it needs no other file.
func TestImageIsReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the command and the standard library twice takes minutes")
	}
	const platforms = "linux/amd64,linux/arm64"
	other := filepath.Join(t.TempDir(), "copied", "elsewhere")
	copyCheckout(t, other)
	dir := t.TempDir()
	want := buildImage(t, checkout, dir, platforms)
	got := buildImage(t, other, t.TempDir(), platforms,
		"GOCACHE="+t.TempDir(), "GOFLAGS=-buildvcs=false -tags=netgo", "GOAMD64=v3", "TMPDIR="+t.TempDir(), "TZ=Asia/Tokyo", "LANG=C")
	require.Equal(t, want, got)

	store, err := layout.Open(dir, layout.ReadOnly())
	require.NoError(t, err)
	defer store.Close()
	state := content.State{Store: store}
	for _, child := range state.Get(t, "ocireg:0.1.0").Children {
		image := state.Get(t, "ocireg@"+child.Digest.String())
		program := fileOf(t, state.GetBlob(t, "ocireg", image.Layers[0].Digest), "ocireg")
		file, err := elf.NewFile(bytes.NewReader(program))
		require.NoError(t, err)
		for _, p := range file.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type, "it is linked dynamically")
		}
	}
}

// copyCheckout copies the Go files and all others of a checkout, without those of
// Git.
func copyCheckout(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir(checkout, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".git" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(checkout, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
	require.NoError(t, err)
}

// The Compose file and the workflow in docs/image.md have known fields of the right
// types, and the flags and variables there are those of ocireg.
func TestContainerConfigurations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "image.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 2)
	flags := run(t, ocireg, "help", "flags")
	isFlag := func(name string) {
		require.Regexp(t, `(?m)^  `+name+`( |$)`, flags)
	}
	var variables []map[string]string

	var compose struct {
		Services map[string]struct {
			Image          string
			Command        []string
			Environment    map[string]string
			Ports, Volumes []string
		}
	}
	decode(t, blocks[0][1], &compose)
	registry := compose.Services["registry"]
	require.NotEmpty(t, registry.Image)
	require.Len(t, registry.Ports, 2)
	for _, word := range registry.Command {
		if strings.HasPrefix(word, "-") {
			isFlag(word)
		}
	}
	variables = append(variables, registry.Environment)

	var workflow struct {
		Jobs map[string]struct {
			RunsOn   string `yaml:"runs-on"`
			Services map[string]struct {
				Image string
				Env   map[string]string
				Ports []string
			}
			Steps []struct {
				Uses, Run string
				Env       map[string]string
			}
		}
	}
	decode(t, blocks[1][1], &workflow)
	job := workflow.Jobs["test"]
	require.Len(t, job.Services["registry"].Ports, 2)
	require.NotEmpty(t, job.Steps)
	variables = append(variables, job.Services["registry"].Env)
	for _, env := range variables {
		require.Contains(t, env, "OCIREG_CONTROL_TOKEN")
		delete(env, "OCIREG_CONTROL_TOKEN")
		for name := range env {
			isFlag("-" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "OCIREG_")), "_", "-"))
		}
	}
}

// decode decodes YAML, and fails if it has a field that v does not have.
func decode(t *testing.T, text string, v any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(v))
	require.ErrorIs(t, decoder.Decode(v), io.EOF)
}
