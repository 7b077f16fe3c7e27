package explore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modules maps each directory of tests to the module of the client under test.
var modules = map[string]string{
	"containerd":   "github.com/containerd/containerd/v2",
	"helm4":        "helm.sh/helm/v4",
	"ggcr":         "github.com/google/go-containerregistry",
	"hostile-ggcr": "github.com/google/go-containerregistry",
	"hostile-oras": "oras.land/oras-go/v2",
	"notation":     "github.com/notaryproject/notation-go",
	"oras":         "oras.land/oras-go/v2",
	"regclient":    "github.com/regclient/regclient",
}

// build compiles the tests of a client with a version of the client, and returns
// the path of the test binary. If the client cannot be in one module with the
// registry, build compiles a program instead: main.go, and a file with the code
// that differs between versions.
func build(t *testing.T, client, version string) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	files := []string{"common/common_test.go", client + "/client_test.go"}
	requirement := "\nrequire github.com/ocireg/registry v0.0.0\n"
	replace := fmt.Sprintf("\nreplace github.com/ocireg/registry => %s\n", root)
	command := []string{"go", "test", "-mod=readonly", "-vet=off", "-ldflags=-s -w", "-c"}
	if _, err := os.Stat(filepath.Join("testdata", client, "main.go")); err == nil {
		files = []string{client + "/main.go", fmt.Sprintf("%s/%s.go", client, version)}
		requirement, replace = "", "\n"
		command = []string{"go", "build", "-mod=readonly", "-ldflags=-s -w"}
	}
	for _, file := range files {
		copyFile(t, filepath.Join("testdata", file), filepath.Join(dir, filepath.Base(file)))
	}
	pins := filepath.Join("testdata", client, version)
	if *update {
		text := fmt.Sprintf("module client\n\ngo 1.26\n\nrequire %s %s\n", modules[client], version) + requirement
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text+replace), 0o666))
		run(t, dir, "go", "mod", "tidy")
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		require.NoError(t, err)
		pinned := string(mod)
		if line := strings.TrimSpace(replace); line != "" {
			pinned = strings.Replace(pinned, line+"\n", "", 1)
		}
		require.NoError(t, os.WriteFile(pins+".mod", []byte(pinned), 0o666))
		copyFile(t, filepath.Join(dir, "go.sum"), pins+".sum")
	} else {
		mod, err := os.ReadFile(pins + ".mod")
		require.NoError(t, err, "run this test with -update to pin the version")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(string(mod)+replace), 0o666))
		copyFile(t, pins+".sum", filepath.Join(dir, "go.sum"))
	}
	binary := filepath.Join(dir, "client.exe")
	run(t, dir, append(command, "-o", binary, ".")...)
	return binary
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false -trimpath", "GOWORK=off")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s:\n%s", strings.Join(args, " "), output)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o666))
}
