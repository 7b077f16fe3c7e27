package registrytest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
)

func TestFilesAreWhatAClientNeeds(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t, registrytest.WithTLS(registrytest.RequireClientCert))
	certFile, keyFile := s.CA().ClientCertFiles("alice/ops")
	requireCanTalk(t, s.URL, s.CA().File(), certFile, keyFile)
}

// requireCanTalk checks that a client with the certificates in these files, and no
// others, can send a request to the server.
func requireCanTalk(t testing.TB, url, caFile, certFile, keyFile string) {
	ca, err := os.ReadFile(caFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}
	status, _ := get(t, &http.Client{Transport: tr}, url+"/v2/")
	require.Equal(t, http.StatusOK, status)
}

func TestCertsDir(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts  []registrytest.Option
		own   string
		files []string
		other string
	}{
		"HTTP": {
			own:   `server = "URL"` + "\n",
			files: []string{"hosts.toml"},
			other: `server = "URL"

[host."URL"]
capabilities = ["pull", "resolve", "push"]
`,
		},
		"HTTPS": {
			opts: []registrytest.Option{registrytest.WithTLS()},
			own: `server = "URL"
ca = "ca.crt"
`,
			files: []string{"ca.crt", "hosts.toml"},
			other: `server = "URL"
ca = "ca.crt"

[host."URL"]
capabilities = ["pull", "resolve", "push"]
ca = "ca.crt"
`,
		},
		"client certificates": {
			opts: []registrytest.Option{registrytest.WithTLS(registrytest.RequireClientCert)},
			own: `server = "URL"
ca = "ca.crt"
client = [["client.cert", "client.key"]]
`,
			files: []string{"ca.crt", "client.cert", "client.key", "hosts.toml"},
			other: `server = "URL"
ca = "ca.crt"
client = [["client.cert", "client.key"]]

[host."URL"]
capabilities = ["pull", "resolve", "push"]
ca = "ca.crt"
client = [["client.cert", "client.key"]]
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.NewServer(t, test.opts...)
			dir := s.CertsDir("docker.io")
			own := hostDir(t, dir, s.Host())
			for path, toml := range map[string]string{own: test.own, filepath.Join(dir, "docker.io"): test.other} {
				var files []string
				entries, err := os.ReadDir(path)
				require.NoError(t, err)
				for _, e := range entries {
					files = append(files, e.Name())
				}
				require.Equal(t, test.files, files)
				got, err := os.ReadFile(filepath.Join(path, "hosts.toml"))
				require.NoError(t, err)
				require.Equal(t, strings.ReplaceAll(toml, "URL", s.URL), string(got))
				if len(files) == 4 {
					requireCanTalk(t, s.URL, filepath.Join(path, "ca.crt"), filepath.Join(path, "client.cert"), filepath.Join(path, "client.key"))
				}
			}
		})
	}
}

// hostDir returns the directory of the host below dir. On Windows, its name has
// underscores instead of the colon.
func hostDir(t testing.TB, dir, host string) string {
	for _, name := range []string{host, strings.ReplaceAll(host, ":", "_") + "_"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("%s has no directory for %s", dir, host)
	return ""
}

func TestRegistriesConf(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t)
	text, err := os.ReadFile(s.RegistriesConf("docker.io", "quay.io/team"))
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(`unqualified-search-registries = ["HOST"]
short-name-mode = "permissive"

[[registry]]
prefix = "HOST"
location = "HOST"
insecure = true

[[registry]]
prefix = "docker.io"
location = "HOST"
insecure = true

[[registry]]
prefix = "quay.io/team"
location = "HOST"
insecure = true
`, "HOST", s.Host()), string(text))

	s = registrytest.NewServer(t, registrytest.WithTLS())
	text, err = os.ReadFile(s.RegistriesConf())
	require.NoError(t, err)
	require.Contains(t, string(text), "insecure = false\n")
	require.NotContains(t, string(text), "docker.io")
}

func TestDaemonJSON(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts     []registrytest.Option
		mirrorOf []string
		want     map[string][]string
	}{
		"HTTP":         {nil, nil, map[string][]string{"insecure-registries": {"HOST"}}},
		"HTTP mirror":  {nil, []string{"docker.io"}, map[string][]string{"insecure-registries": {"HOST"}, "registry-mirrors": {"http://HOST"}}},
		"HTTPS":        {[]registrytest.Option{registrytest.WithTLS()}, nil, map[string][]string{}},
		"HTTPS mirror": {[]registrytest.Option{registrytest.WithTLS()}, []string{"docker.io"}, map[string][]string{"registry-mirrors": {"https://HOST"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.NewServer(t, test.opts...)
			text, err := os.ReadFile(s.DaemonJSON(test.mirrorOf...))
			require.NoError(t, err)
			got := map[string][]string{}
			require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(string(text), s.Host(), "HOST")), &got))
			require.Equal(t, test.want, got)
		})
	}
}

func TestDaemonJSONForAnotherRegistry(t *testing.T) {
	t.Parallel()
	fake := faketb.Try(t, func(t *faketb.TB) { registrytest.NewServer(t).DaemonJSON("quay.io") })
	require.Contains(t, strings.Join(fake.Errors(), "\n"), `Docker pulls from mirrors of docker.io only, not of "quay.io"`)
}

func TestCertsDirOfNetwork(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	n.Registry("docker.io")
	n.Registry("localhost:5000")
	dir := n.CertsDir()
	toml, err := os.ReadFile(filepath.Join(dir, "docker.io", "hosts.toml"))
	require.NoError(t, err)
	require.Equal(t, "server = \"https://docker.io\"\nca = \"ca.crt\"\n", string(toml))
	toml, err = os.ReadFile(filepath.Join(hostDir(t, dir, "localhost:5000"), "hosts.toml"))
	require.NoError(t, err)
	require.Equal(t, "server = \"http://localhost:5000\"\n", string(toml))
}

func TestFilesThatCannotBeWrittenFailTheTest(t *testing.T) {
	t.Parallel()
	tr := faketb.Try(t, func(t *faketb.TB) { registrytest.NewServer(t).CertsDir("a/b") })
	require.Len(t, tr.Errors(), 1)
}
