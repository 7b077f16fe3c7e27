package auth_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

func getAs(t *testing.T, reg *registrytest.Server, path string, c auth.Credentials) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+path, nil)
	require.NoError(t, err)
	if c.Username != "" {
		r.SetBasicAuth(c.Username, c.Password)
	}
	resp, err := reg.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

func TestUsers(t *testing.T) {
	who := auth.Basic("anonymous pull public/**")
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "team/app:v1", content.Image())
	reg.Push(t, "public/app:v1", content.Image())
	ci, ro := who.User("ci"), who.User("ro", "pull team/*")
	manifest := func(repo string) string { return "/v2/" + repo + "/manifests/v1" }

	require.Equal(t, 401, getAs(t, reg, "/v2/", auth.Credentials{}))
	require.Equal(t, 200, getAs(t, reg, manifest("public/app"), auth.Credentials{}))
	require.Equal(t, 401, getAs(t, reg, manifest("team/app"), auth.Credentials{}))
	require.Equal(t, 200, getAs(t, reg, manifest("team/app"), ro))
	require.Equal(t, 403, getAs(t, reg, manifest("other/app"), ro))
	require.Equal(t, 404, getAs(t, reg, manifest("other/app"), ci))
	require.Equal(t, 2, reg.Requests().User("ro").Len(), "the journal says who it was")

	who.Revoke("ci")
	require.Equal(t, 401, getAs(t, reg, manifest("team/app"), ci))
}

func TestConfigFiles(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	ci := who.User("ci")
	read := func(dir string) (config map[string]map[string]any) {
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &config))
		return config
	}
	entry := read(ci.DockerConfig(t, reg.Host()))["auths"][reg.Host()].(map[string]any)
	require.NotEmpty(t, entry["auth"])
	entry = read(who.DockerConfigIdentity(t, reg.Host(), "ci"))["auths"][reg.Host()].(map[string]any)
	require.NotEmpty(t, entry["identitytoken"])

	if runtime.GOOS == "windows" {
		t.Skip("there is no shell for a credential helper")
	}
	odd := auth.Credentials{Username: "ci", Password: `it's "$odd\`}
	dir := odd.DockerConfigHelper(t, reg.Host())
	require.Equal(t, "registrytest", read(dir)["credHelpers"][reg.Host()])
	helper := exec.Command(filepath.Join(dir, "docker-credential-registrytest"), "get")
	helper.Stdin = strings.NewReader(reg.Host())
	out, err := helper.Output()
	require.NoError(t, err)
	var answer struct{ ServerURL, Username, Secret string }
	require.NoError(t, json.Unmarshal(out, &answer))
	require.Equal(t, odd.Password, answer.Secret)
	require.Equal(t, reg.Host(), answer.ServerURL)
}

// TestSkopeoLogsIn has a client that reads files use the files.
func TestSkopeoLogsIn(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	for name, who := range map[string]*auth.Auth{"Basic": auth.Basic(), "Bearer": auth.Bearer()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, who)
			reg.Push(t, "team/app:v1", content.Image())
			ci := who.User("ci")
			inspect := func(dir string, env ...string) error {
				cmd := exec.Command(skopeo, "inspect", "--raw", "--tls-verify=false", "docker://"+reg.Ref("team/app:v1"))
				cmd.Env = append(os.Environ(), "REGISTRY_AUTH_FILE="+filepath.Join(dir, "config.json"))
				cmd.Env = append(cmd.Env, env...)
				out, err := cmd.CombinedOutput()
				t.Logf("%s", out)
				return err
			}
			require.NoError(t, inspect(ci.DockerConfig(t, reg.Host())))
			dir := ci.DockerConfigHelper(t, reg.Host())
			require.NoError(t, inspect(dir, "PATH="+dir+":"+os.Getenv("PATH")))
			require.Error(t, inspect(auth.NewCredentials("ci").DockerConfig(t, reg.Host())))
			if name == "Bearer" {
				require.NoError(t, inspect(who.DockerConfigIdentity(t, reg.Host(), "ci")))
			}
			require.NotZero(t, reg.Requests().User("ci").Op(registry.GetManifest).Len())
		})
	}
}

// TestUserByCertificate has a client say who it is by its certificate alone.
func TestUserByCertificate(t *testing.T) {
	who := auth.Basic()
	reg := registrytest.NewServer(t, registrytest.WithTLS(registrytest.RequireClientCert), who)
	reg.Push(t, "team/app:v1", content.Image())
	who.User("ci", "pull team/*")
	get := func(name string) int {
		transport := reg.Transport().Clone()
		defer transport.CloseIdleConnections()
		transport.TLSClientConfig.GetClientCertificate = nil // It goes before Certificates.
		transport.TLSClientConfig.Certificates = []tls.Certificate{reg.CA().ClientCert(name)}
		resp, err := (&http.Client{Transport: transport}).Get(reg.URL + "/v2/team/app/manifests/v1")
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, get("ci"))
	require.Equal(t, 401, get("nobody"))
	require.Equal(t, 1, reg.Requests().User("ci").Len())
}
