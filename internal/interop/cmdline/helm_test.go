package cmdline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHelm(t *testing.T) {
	certs := t.TempDir()
	tests := []struct {
		name  string
		serve []string
		helm  string
	}{
		{"Basic", []string{"-user", "ci:secret"}, "--plain-http"},
		{"token", []string{"-user", "ci:secret", "-token"}, "--plain-http"},
		{"HTTPS", []string{"-user", "ci:secret", "-tls-dir", certs}, "--ca-file=" + filepath.Join(certs, "ca.crt")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			need(t, "helm")
			s := serve(t, nil, test.serve...)
			dir := t.TempDir()
			t.Setenv("HELM_REGISTRY_CONFIG", filepath.Join(dir, "config.json"))
			run(t, "helm", "create", filepath.Join(dir, "app"))
			run(t, "helm", "package", filepath.Join(dir, "app"), "--version", "1.2.3+build", "-d", dir)
			chart := filepath.Join(dir, "app-1.2.3+build.tgz")
			require.Error(t, fails(try(t, "helm", "push", chart, "oci://"+s.ref("charts"), test.helm)))
			run(t, "helm", "registry", "login", s.host, "-u", "ci", "-p", "secret", test.helm)
			run(t, "helm", "push", chart, "oci://"+s.ref("charts"), test.helm)
			// Helm replaces the + of a version in the tag, where + is not allowed.
			require.Equal(t, []string{"1.2.3_build"}, s.state(t).Tags(t, "charts/app"))
			to := t.TempDir()
			run(t, "helm", "pull", "oci://"+s.ref("charts/app"), "--version", "1.2.3+build", "-d", to, test.helm)
			want, err := os.ReadFile(chart)
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(to, "app-1.2.3+build.tgz"))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}
