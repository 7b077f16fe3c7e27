package heavy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	helm "helm.sh/helm/v3/pkg/registry"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
)

// chart is a chart as helm package makes one.
func chart(t *testing.T) []byte {
	t.Helper()
	const yaml = "apiVersion: v2\nname: app\nversion: 1.2.3+build\n"
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(yaml))}))
	_, err := io.WriteString(w, yaml)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

// Helm's versions may have a +, which tags may not: it pushes 1.2.3+build as
// 1.2.3_build, and turns that back when it lists.
func TestHelm(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registry.Option{
		"HTTP":   nil,
		"HTTPS":  {registrytest.WithTLS()},
		"Basic":  {registrytest.WithBasic()},
		"Bearer": {registrytest.WithBearer()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, opts...)
			options := []helm.ClientOption{
				helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")),
				helm.ClientOptWriter(io.Discard),
				helm.ClientOptHTTPClient(&http.Client{Transport: reg.Transport()}),
			}
			if name != "HTTPS" {
				options = append(options, helm.ClientOptPlainHTTP())
			}
			client, err := helm.NewClient(options...)
			require.NoError(t, err)
			if name == "Basic" || name == "Bearer" {
				ci := reg.User(t, "ci")
				require.NoError(t, client.Login(reg.Host(), helm.LoginOptBasicAuth(ci.Username, ci.Password), helm.LoginOptPlainText(true)))
			}
			want := chart(t)
			pushed, err := client.Push(want, reg.Ref("charts/app:1.2.3+build"))
			require.NoError(t, err)
			require.Equal(t, []string{"1.2.3_build"}, reg.Tags(t, "charts/app"))

			pulled, err := client.Pull(reg.Ref("charts/app:1.2.3+build"))
			require.NoError(t, err)
			require.Equal(t, want, pulled.Chart.Data)
			require.Equal(t, pushed.Manifest.Digest, pulled.Manifest.Digest)

			tags, err := client.Tags(reg.Ref("charts/app"))
			require.NoError(t, err)
			require.Equal(t, []string{"1.2.3+build"}, tags)
		})
	}
}
