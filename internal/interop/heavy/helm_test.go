package heavy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	helm "helm.sh/helm/v3/pkg/registry"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// chart returns a packed Helm chart, like that of helm package.
func chart(t tester, version string) []byte {
	t.Helper()
	yaml := "apiVersion: v2\nname: app\nversion: " + version + "\n"
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

// helmClient returns Helm's registry client for the registry, without a login.
// Its transport retries, as Helm's does by default.
func helmClient(t tester, reg *registrytest.Server, more ...helm.ClientOption) *helm.Client {
	t.Helper()
	options := append([]helm.ClientOption{
		helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")),
		helm.ClientOptWriter(io.Discard),
		helm.ClientOptHTTPClient(&http.Client{Transport: retry.NewTransport(reg.Transport())}),
	}, more...)
	if !overTLS(reg) {
		options = append(options, helm.ClientOptPlainHTTP())
	}
	client, err := helm.NewClient(options...)
	require.NoError(t, err)
	return client
}

// helmLogin logs in like the command helm registry login.
func helmLogin(reg *registrytest.Server, client *helm.Client, as auth.Credentials) error {
	return client.Login(reg.Host(), helm.LoginOptBasicAuth(as.Username, as.Password), helm.LoginOptPlainText(!overTLS(reg)))
}

// The version of a chart may have a +, which tags may not. Helm pushes
// 1.2.3+build as 1.2.3_build, and turns the tag back into the version when it
// lists. It lists only versions, the newest first. Resolve accepts only the tag.
func TestHelm(t *testing.T) {
	t.Parallel()
	everywhere(t, 2, func(t *testing.T, reg *registrytest.Server, as auth.Credentials) {
		client := helmClient(t, reg)
		if as.Username != "" {
			require.NoError(t, helmLogin(reg, client, as))
		}
		want, provenance := chart(t, "1.2.3+build"), []byte("-----BEGIN PGP SIGNED MESSAGE-----")
		pushed, err := client.Push(want, reg.Ref("charts/app:1.2.3+build"), helm.PushOptProvData(provenance))
		require.NoError(t, err)
		stored := reg.Get(t, "charts/app:1.2.3_build")
		require.Equal(t, pushed.Manifest.Digest, stored.Digest.String())
		require.Equal(t, string(want), string(reg.GetBlob(t, "charts/app", digest.Digest(pushed.Chart.Digest))))
		require.Equal(t, string(provenance), string(reg.GetBlob(t, "charts/app", digest.Digest(pushed.Prov.Digest))))
		config := reg.GetBlob(t, "charts/app", digest.Digest(pushed.Config.Digest))

		desc, err := client.Resolve(reg.Ref("charts/app:1.2.3_build"))
		require.NoError(t, err)
		require.Equal(t, stored.Digest, desc.Digest)
		for _, ref := range []string{"charts/app:1.2.3+build", "charts/app@" + pushed.Manifest.Digest} {
			pulled, err := client.Pull(reg.Ref(ref), helm.PullOptWithProv(true))
			require.NoError(t, err)
			require.Equal(t, string(want), string(pulled.Chart.Data))
			require.Equal(t, string(provenance), string(pulled.Prov.Data))
			require.Equal(t, string(config), string(pulled.Config.Data))
			require.Equal(t, string(stored.Manifest), string(pulled.Manifest.Data))
		}

		for _, version := range []string{"1.10.0", "1.9.0"} {
			_, err := client.Push(chart(t, version), reg.Ref("charts/app:"+version))
			require.NoError(t, err)
		}
		reg.Push(t, "charts/app:latest", content.Image())
		tags, err := client.Tags(reg.Ref("charts/app"))
		require.NoError(t, err)
		require.Equal(t, []string{"1.10.0", "1.9.0", "1.2.3+build"}, tags)
		require.Greater(t, reg.Requests().Op(registry.ListTags).Status(http.StatusOK).Len(), 1)
	})
}

// TestHelmLogin checks that Helm reports a wrong password, and a user who may not push.
func TestHelmLogin(t *testing.T) {
	t.Parallel()
	for name, who := range map[string]*auth.Auth{"Basic": auth.Basic(), "Bearer": auth.Bearer()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, who)
			reader := who.User("reader", "pull **")
			wrong := reader
			wrong.Password += "x"
			client := helmClient(t, reg)
			require.Error(t, helmLogin(reg, client, wrong))
			require.NoError(t, helmLogin(reg, client, reader))
			_, err := client.Push(chart(t, "1.2.3"), reg.Ref("charts/app:1.2.3"))
			require.Error(t, err)
			require.Empty(t, reg.Tags(t, "charts/app"))
		})
	}
}
