package cmdline

import (
	"maps"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/check"
	"github.com/ocireg/registry/internal/interop/matrix"
)

// The tables about programs name the versions that install.sh installs. These
// equal the versions of the libraries in the other tables. Skopeo and podman come
// from Debian, and have the same version in all tables.
func TestVersions(t *testing.T) {
	script, err := os.ReadFile("install.sh")
	require.NoError(t, err)
	versions := make(map[string]string)
	for _, m := range regexp.MustCompile(`(\S+)@v([\d.]+)`).FindAllStringSubmatch(string(script), -1) {
		versions[path.Base(m[1])] = m[2]
	}
	for program, module := range map[string]string{
		"crane":  "../go.mod github.com/google/go-containerregistry",
		"regctl": "../go.mod github.com/regclient/regclient",
		"helm":   "../heavy/go.mod helm.sh/helm/v3",
	} {
		require.Equal(t, versionOf(t, module), versions[program], "install.sh, %s", program)
	}
	// Helm prints its version without a final .0, unless its own build made it.
	versions["helm"], _ = strings.CutSuffix(versions["helm"], ".0")
	maps.Copy(versions, map[string]string{"skopeo": "1.9.3", "podman": "4.3.1", "buildah": "1.28.2", "ctr": "1.6.20", "docker": "20.10.24"})
	for _, l := range libraries {
		client, err := check.Parse(l.file)
		require.NoError(t, err)
		versions[client.Name] = versionOf(t, l.module)
	}
	matrix.CheckVersions(t, docs, versions, "tools", "check", "explored programs", "hostile programs")
}

// versionOf returns the version of a module in go.mod, without the leading v.
func versionOf(t *testing.T, module string) string {
	t.Helper()
	file, name, _ := strings.Cut(module, " ")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\t"+name+" v")
	require.True(t, found, "%s does not require %s", file, name)
	return strings.Fields(after)[0]
}
