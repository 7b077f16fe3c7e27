package cmdline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHelm(t *testing.T) {
	need(t, "helm")
	s := serve(t, nil, "-user", "ci:secret")
	dir := t.TempDir()
	t.Setenv("HELM_REGISTRY_CONFIG", filepath.Join(dir, "config.json"))
	run(t, "helm", "create", filepath.Join(dir, "app"))
	run(t, "helm", "package", filepath.Join(dir, "app"), "--version", "1.2.3+build", "-d", dir)
	run(t, "helm", "registry", "login", s.host, "-u", "ci", "-p", "secret", "--plain-http")
	run(t, "helm", "push", filepath.Join(dir, "app-1.2.3+build.tgz"), "oci://"+s.ref("charts"), "--plain-http")
	// A tag has no +.
	require.Equal(t, []string{"1.2.3_build"}, s.state(t).Tags(t, "charts/app"))
	to := t.TempDir()
	run(t, "helm", "pull", "oci://"+s.ref("charts/app"), "--version", "1.2.3+build", "--plain-http", "-d", to)
	want, err := os.ReadFile(filepath.Join(dir, "app-1.2.3+build.tgz"))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(to, "app-1.2.3+build.tgz"))
	require.NoError(t, err)
	require.Equal(t, want, got)
}
