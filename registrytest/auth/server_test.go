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
	a := auth.Basic("anonymous pull public/**")
	reg := registrytest.NewServer(t, a)
	reg.Push(t, "team/app:v1", content.Image())
	reg.Push(t, "public/app:v1", content.Image())
	ci, ro := a.User("ci"), a.User("ro", "pull team/*")
	manifest := func(repo string) string { return "/v2/" + repo + "/manifests/v1" }

	require.Equal(t, 401, getAs(t, reg, "/v2/", auth.Credentials{}))
	require.Equal(t, 200, getAs(t, reg, manifest("public/app"), auth.Credentials{}))
	require.Equal(t, 401, getAs(t, reg, manifest("team/app"), auth.Credentials{}))
	require.Equal(t, 200, getAs(t, reg, manifest("team/app"), ro))
	require.Equal(t, 403, getAs(t, reg, manifest("other/app"), ro))
	require.Equal(t, 404, getAs(t, reg, manifest("other/app"), ci))
	require.Equal(t, 2, reg.Requests().User("ro").Len(), "the journal has the user of a request")

	a.Revoke("ci")
	require.Equal(t, 401, getAs(t, reg, manifest("team/app"), ci))
}

func TestConfigFiles(t *testing.T) {
	a := auth.Bearer()
	reg := registrytest.NewServer(t, a)
	ci := a.User("ci")
	read := func(dir string) (config map[string]map[string]any) {
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &config))
		return config
	}
	entry := read(ci.DockerConfig(t, reg.Host()))["auths"][reg.Host()].(map[string]any)
	require.NotEmpty(t, entry["auth"])
	entry = read(a.DockerConfigIdentity(t, reg.Host(), "ci"))["auths"][reg.Host()].(map[string]any)
	require.NotEmpty(t, entry["identitytoken"])

	var secret struct {
		APIVersion, Kind, Type string
		Metadata               map[string]string
		Data                   map[string][]byte
	}
	require.NoError(t, json.Unmarshal(ci.PullSecret("pull", reg.Host()), &secret))
	require.Equal(t, []string{"v1", "Secret", "kubernetes.io/dockerconfigjson", "pull"},
		[]string{secret.APIVersion, secret.Kind, secret.Type, secret.Metadata["name"]})
	text, err := os.ReadFile(filepath.Join(ci.DockerConfig(t, reg.Host()), "config.json"))
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(secret.Data[".dockerconfigjson"]))

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
	var response struct{ ServerURL, Username, Secret string }
	require.NoError(t, json.Unmarshal(out, &response))
	require.Equal(t, odd.Password, response.Secret)
	require.Equal(t, reg.Host(), response.ServerURL)
}

// Skopeo can read the configuration files with credentials.
func TestSkopeoLogsIn(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	for name, a := range map[string]*auth.Auth{"Basic": auth.Basic(), "Bearer": auth.Bearer()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, a)
			reg.Push(t, "team/app:v1", content.Image())
			ci := a.User("ci")
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
			require.Error(t, inspect(auth.Credentials{Username: "ci", Password: "x"}.DockerConfig(t, reg.Host())))
			if name == "Bearer" {
				require.NoError(t, inspect(a.DockerConfigIdentity(t, reg.Host(), "ci")))
			}
			require.NotZero(t, reg.Requests().User("ci").Op(registry.GetManifest).Len())
		})
	}
}

// A client certificate authenticates the user that it names.
func TestUserByCertificate(t *testing.T) {
	a := auth.Basic()
	reg := registrytest.NewServer(t, registrytest.WithTLS(registrytest.RequireClientCert), a)
	reg.Push(t, "team/app:v1", content.Image())
	a.User("ci", "pull team/*")
	get := func(name string) int {
		transport := reg.Transport().Clone()
		defer transport.CloseIdleConnections()
		transport.TLSClientConfig.GetClientCertificate = nil // GetClientCertificate would take precedence over Certificates.
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

// The limits are options of a server. After an Auth in the options, they count
// by user.
func TestLimitsAreOptions(t *testing.T) {
	a := auth.Basic("anonymous pull public/**")
	reg := registrytest.NewServer(t, a, &auth.RateLimit{Limit: 1}, &auth.Quota{Bytes: 10}, auth.Immutable{Tags: []string{"**:v1"}})
	reg.Push(t, "public/app:v1", content.Image())
	ci, other := a.User("ci"), a.User("other")
	require.Equal(t, 200, getAs(t, reg, "/v2/public/app/manifests/v1", ci))
	require.Equal(t, 429, getAs(t, reg, "/v2/public/app/manifests/v1", ci))
	require.Equal(t, 200, getAs(t, reg, "/v2/public/app/manifests/v1", other))
	require.Equal(t, 200, getAs(t, reg, "/v2/public/app/manifests/v1", auth.Credentials{}))

	put := func(body string) int {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", reg.URL+"/v2/public/app/manifests/v1", strings.NewReader(body))
		require.NoError(t, err)
		r.SetBasicAuth(ci.Username, ci.Password)
		r.Header.Set("Content-Type", "application/vnd.test")
		resp, err := reg.Client().Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 409, put(`{"a":1}`), "the tag is immutable")
	require.Equal(t, 403, put(`{"a":1}`), "7 bytes of 10 are used")
}

// The token service may have a host of its own, such as auth.docker.io.
func TestTokenServiceOnAnotherHost(t *testing.T) {
	a := auth.BearerAlways("anonymous pull library/**")
	a.Realm, a.Service = "https://auth.docker.io/token", "registry.docker.io"
	net := registrytest.NewNetwork(t)
	hub := net.Registry("docker.io", a)
	net.Handle("auth.docker.io", a.TokenHandler())
	hub.Push(t, "library/alpine:3", content.Image())

	get := func(url, token string) (*http.Response, map[string]any) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := net.Client().Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		var fields map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&fields))
		return resp, fields
	}
	const manifest = "https://docker.io/v2/library/alpine/manifests/3"
	resp, _ := get(manifest, "")
	require.Equal(t, `Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"`, resp.Header.Get("WWW-Authenticate"))
	_, fields := get("https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/alpine:pull", "")
	resp, _ = get(manifest, fields["token"].(string))
	require.Equal(t, 200, resp.StatusCode)
}
