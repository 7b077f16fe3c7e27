package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// modules maps each program to the module of the client that it uses.
var modules = map[string]string{
	"buildkit":       "github.com/moby/buildkit",
	"containerd1":    "github.com/containerd/containerd",
	"containerd2":    "github.com/containerd/containerd/v2",
	"cue":            "cuelabs.dev/go/oci/ociregistry",
	"ggcr":           "github.com/google/go-containerregistry",
	"ggcr-referrers": "github.com/google/go-containerregistry",
	"cue-tags":       "cuelabs.dev/go/oci/ociregistry",
	"helm3":          "helm.sh/helm/v3",
	"helm4":          "helm.sh/helm/v4",
	"image":          "github.com/containers/image/v5",
	"imgutil":        "github.com/buildpacks/imgutil",
	"oras":           "oras.land/oras-go/v2",
	"oras-rc":        "oras.land/oras-go/v2",
	"regclient":      "github.com/regclient/regclient",
}

// tags are build tags that leave out the parts of containers/image written in C.
const tags = "containers_image_openpgp,exclude_graphdriver_btrfs,containers_image_storage_stub"

// A builder compiles each version of a program once.
type builder struct {
	dir string

	mu   sync.Mutex
	once map[string]*sync.Once
}

func newBuilder(t *testing.T) *builder {
	return &builder{dir: t.TempDir(), once: make(map[string]*sync.Once)}
}

// build compiles a program with a version of its client, and returns the
// path of the binary.
func (b *builder) build(t *testing.T, program, version string) string {
	t.Helper()
	dir := filepath.Join(b.dir, program, version)
	b.mu.Lock()
	once := b.once[dir]
	if once == nil {
		once = new(sync.Once)
		b.once[dir] = once
	}
	b.mu.Unlock()
	binary := filepath.Join(dir, program+".exe")
	once.Do(func() {
		require.NoError(t, os.MkdirAll(dir, 0o777))
		pins := filepath.Join("testdata", program, version)
		copyFile(t, filepath.Join("testdata", program, "main.go"), filepath.Join(dir, "main.go"))
		args := []string{"-mod=readonly"}
		switch _, err := os.Stat(pins + ".mod"); {
		case err == nil:
			copyFile(t, pins+".mod", filepath.Join(dir, "go.mod"))
			copyFile(t, pins+".sum", filepath.Join(dir, "go.sum"))
		case errors.Is(err, fs.ErrNotExist) && *update:
			text := fmt.Sprintf("module client\n\ngo 1.26\n\nrequire %s %s\n", modules[program], version)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o666))
			args = []string{"-mod=mod"}
			defer func() {
				if !t.Failed() {
					copyFile(t, filepath.Join(dir, "go.mod"), pins+".mod")
					copyFile(t, filepath.Join(dir, "go.sum"), pins+".sum")
				}
			}()
		default:
			require.NoError(t, err, "run this test with -update to pin the version")
		}
		args = append(args, "-tags="+tags, "-ldflags=-s -w", "-o", binary, ".")
		cmd := exec.Command("go", append([]string{"build"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false -trimpath", "GOWORK=off")
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "building %s with %s:\n%s", program, version, output)
	})
	require.FileExists(t, binary, "building %s %s failed; the error is in the test that built it first", program, version)
	return binary
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o666))
}
