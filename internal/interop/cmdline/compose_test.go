package cmdline

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ocireg/registry/registrytest/content"
)

// snippets returns the Compose file and the GitHub workflow in docs/image.md.
func snippets(t *testing.T) (compose, workflow string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "image.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 2)
	return blocks[0][1], blocks[1][1]
}

// Docker Compose runs the file in docs/image.md: a registry in a container, with
// content, a fault and the control API. The test replaces the host's ports in the
// file with free ones.
func TestComposeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("TestContainerConfigurations checks the file in short mode")
	}
	need(t, "docker-compose", "podman", "runc")
	images := t.TempDir()
	buildImage(t, builder(t), checkout, images, platform)
	c := startStorage(t, "podman")
	ref := serveDir(t, images).ref("ocireg:0.1.0")
	_, err := c.pull(ref)
	require.NoError(t, err)

	project := shortDir(t)
	file, _ := snippets(t)
	changes := strings.NewReplacer("ocireg:0.1.0", ref, "127.0.0.1:5000:", "127.0.0.1::", "127.0.0.1:5001:", "127.0.0.1::")
	require.NoError(t, os.WriteFile(filepath.Join(project, "compose.yaml"), []byte(changes.Replace(file)), 0o600))
	image := content.Image()
	dir := filepath.Join(project, "ci", "images", "app")
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o700))
	require.NoError(t, writeLayout(t.Context(), dir, image))
	require.NoError(t, chmodAll(project))

	t.Setenv("DOCKER_HOST", c.api())
	compose := func(args ...string) (string, error) {
		_, out, err := tryIn(t, project, "docker-compose", args...)
		return strings.TrimSpace(out), err
	}
	defer func() {
		compose("logs")
		_, err := compose("down")
		require.NoError(t, err)
		// CNI leaves this directory of IP addresses behind.
		require.NoError(t, os.RemoveAll("/var/lib/cni/networks/"+filepath.Base(project)+"_default"))
	}()
	all, _, err := tryIn(t, project, "docker-compose", "up", "-d")
	if err != nil && strings.Contains(all, "OCI permission denied") {
		t.Skip("containers do not run here")
	}
	require.NoError(t, err, all)
	registry, err := compose("port", "registry", "5000")
	require.NoError(t, err)
	control, err := compose("port", "registry", "5001")
	require.NoError(t, err)

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ask := func(method, url, host, token string) (status int, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		require.NoError(t, err)
		r.Host = host
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	// The port accepts connections before the program in the container does.
	require.Eventually(t, func() bool {
		resp, err := (&http.Client{Transport: transport}).Get("http://" + registry + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
	blob := "http://" + registry + "/v2/app/blobs/" + string(image.Layers[0].Digest)
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		status, _ := ask("GET", blob, "", "")
		require.Equal(t, want, status)
	}
	status, _ := ask("POST", "http://"+registry+"/v2/app/blobs/uploads/", "", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)

	status, faults := ask("GET", "http://"+control+"/v1/faults", "registry:5001", "secret")
	require.Equal(t, http.StatusOK, status, faults)
	require.Contains(t, faults, `"fired":1`)
	for _, wrong := range [][2]string{{"other:5001", "secret"}, {"registry:5001", "guess"}} {
		status, text := ask("GET", "http://"+control+"/v1/faults", wrong[0], wrong[1])
		require.Equal(t, 4, status/100, text)
	}
}

// chmodAll lets all users read the files below a directory, like the files of a checkout.
func chmodAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o755)
		} else if err == nil {
			return os.Chmod(path, 0o644)
		}
		return err
	})
}

// The Compose file and the workflow in docs/image.md have only known fields, with
// values of the right types. Their flags and variables exist in ocireg.
// Actionlint, if it is installed, accepts the workflow.
func TestContainerConfigurations(t *testing.T) {
	composeFile, workflowFile := snippets(t)
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
	decode(t, composeFile, &compose)
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
	decode(t, workflowFile, &workflow)
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

	if lint, err := exec.LookPath("actionlint"); err == nil {
		file := filepath.Join(t.TempDir(), "test.yml")
		require.NoError(t, os.WriteFile(file, []byte("on: push\n"+workflowFile), 0o600))
		out, err := exec.CommandContext(t.Context(), lint, "-shellcheck=", "-pyflakes=", file).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// decode decodes YAML into v and fails the test if the YAML has a field that v lacks.
func decode(t *testing.T, text string, v any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(v))
	require.ErrorIs(t, decoder.Decode(v), io.EOF)
}
