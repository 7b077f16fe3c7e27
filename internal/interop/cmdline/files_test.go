package cmdline

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// With only the configuration files from package registrytest in its home
// directory, Skopeo pulls from the test's registry, also under the name docker.io.
// The registry serves HTTP, HTTPS, or HTTPS with client certificates.
func TestSkopeoReadsConfigurationFiles(t *testing.T) {
	need(t, "skopeo")
	for name, opts := range map[string][]registrytest.Option{
		"HTTP":                {},
		"HTTPS":               {registrytest.WithTLS()},
		"client certificates": {registrytest.WithTLS(registrytest.RequireClientCert)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := auth.Basic()
			reg := registrytest.NewServer(t, append(opts, a)...)
			app := reg.Push(t, "library/app:v1", content.Image())
			user := a.User("ci")

			home := t.TempDir()
			containers := filepath.Join(home, ".config", "containers")
			require.NoError(t, os.MkdirAll(containers, 0o700))
			require.NoError(t, os.Symlink(reg.RegistriesConf("docker.io"), filepath.Join(containers, "registries.conf")))
			require.NoError(t, os.Symlink(reg.CertsDir(), filepath.Join(containers, "certs.d")))
			skopeo := func(args ...string) (string, error) {
				cmd := exec.CommandContext(t.Context(), "skopeo", args...)
				cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home,
					"REGISTRY_AUTH_FILE="+filepath.Join(user.DockerConfig(t, reg.Host()), "config.json"))
				out, err := cmd.CombinedOutput()
				t.Logf("%s\n%s", cmd, out)
				return string(out), err
			}
			for _, ref := range []string{reg.Ref("library/app:v1"), "docker.io/library/app:v1"} {
				out, err := skopeo("inspect", "--raw", "docker://"+ref)
				require.NoError(t, err)
				require.Equal(t, string(app.Manifest), out)
			}
			// The flag can name such a file as well, here one for quay.io.
			_, err := skopeo("--registries-conf", reg.RegistriesConf("quay.io"), "inspect", "--raw", "docker://quay.io/library/app:v1")
			require.NoError(t, err)
			require.Equal(t, 3, reg.Requests().Op(registry.GetManifest).Status(200).Len())
		})
	}
}
