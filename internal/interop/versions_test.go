package interop

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
)

// TestVersions compares the table of the clients' versions with the go.mod files.
func TestVersions(t *testing.T) {
	t.Parallel()
	versions := map[string]string{}
	for _, file := range []string{"explore/testdata/helm4/v4.3.2.mod", "heavy/go.mod", "go.mod"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(strings.TrimPrefix(line, "require ")); len(fields) > 1 {
				versions[fields[0]] = fields[1]
			}
		}
	}
	table := matrix.OpenTable(t, docs, "versions")
	modules := [][2]string{
		{"go-containerregistry", "github.com/google/go-containerregistry"},
		{"crane", "github.com/google/go-containerregistry"},
		{"oras-go", "oras.land/oras-go/v2"},
		{"regclient", "github.com/regclient/regclient"},
		{"containerd", "github.com/containerd/containerd/v2"},
		{"containerd 1.x", "github.com/containerd/containerd"},
		{"containers/image", "go.podman.io/image/v5"},
		{"Helm", "helm.sh/helm/v3"},
		{"Helm 4", "helm.sh/helm/v4"},
		{"notation-go", "github.com/notaryproject/notation-go"},
	}
	for _, m := range modules {
		table.Declare(m[0])
		table.Check(t, m[0], "Version", versions[m[1]])
	}
	table.CheckDeclared(t)
}
