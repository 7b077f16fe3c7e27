package cmdline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// runnable is an image of ocireg itself, which says how it is used.
func runnable(t *testing.T) registrytest.Content {
	t.Helper()
	program, err := os.ReadFile(ocireg)
	require.NoError(t, err)
	return registrytest.Image(
		registrytest.FS(fstest.MapFS{"ocireg": {Data: program, Mode: 0o755}}),
		registrytest.ImageConfig(ocispec.ImageConfig{Entrypoint: []string{"/ocireg"}, Cmd: []string{"-h"}}))
}

// An image that is pulled runs, where the machine lets containers run.
func TestRunPodman(t *testing.T) {
	need(t, "podman", "runc")
	if os.Geteuid() != 0 {
		t.Skip("needs to be root")
	}
	s := serve(t, map[string]registrytest.Content{"team/app:v1": runnable(t)})
	root := shortDir(t)
	out, err := try(t, "podman", "--storage-driver", "vfs", "--root", filepath.Join(root, "root"), "--runroot", filepath.Join(root, "run"),
		"--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		"run", "--rm", "--tls-verify=false", "--network", "none", "--ulimit", "host", "--security-opt", "seccomp=unconfined", s.ref("team/app:v1"))
	// It was pulled then.
	if err != nil && strings.Contains(out, "Writing manifest") {
		t.Skipf("containers do not run here: %s", out)
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "Usage: ocireg")
}

// umoci knows no registries. What it reads and writes are the layouts that
// ocireg serves, while it serves them.
func TestUmoci(t *testing.T) {
	need(t, "umoci")
	s := serve(t, map[string]registrytest.Content{"team/app:v1": registrytest.Image(registrytest.Files(map[string]string{"etc/motd": "hello"}))})
	dir := filepath.Join(s.dir, "team", "app")
	require.Equal(t, "v1", strings.TrimSpace(run(t, "umoci", "list", "--layout", dir)))

	bundle := filepath.Join(t.TempDir(), "bundle")
	run(t, "umoci", "unpack", "--rootless", "--image", dir+":v1", bundle)
	got, err := os.ReadFile(filepath.Join(bundle, "rootfs", "etc", "motd"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	// A tag and an image that it makes are there to be pulled.
	run(t, "umoci", "tag", "--image", dir+":v1", "v2")
	run(t, "umoci", "config", "--image", dir+":v1", "--tag", "v3", "--config.label", "org.example.key=value")
	state := s.state(t)
	require.Equal(t, []string{"v1", "v2", "v3"}, state.Tags(t, "team/app"))
	need(t, "skopeo")
	require.Contains(t, run(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+s.ref("team/app:v3")), "org.example.key")
}
