package external_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/external"
)

// get sends a GET request, and returns the status and the body of the response.
func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	r := testclient.New(t, c, "").Get(url)
	require.NoError(t, r.Err)
	return r.Status, r.Body
}

const testEnv = "REGISTRYTEST_TEST_REGISTRY"

// elsewhere starts a server, and sets the environment variable testEnv to its
// address.
func elsewhere(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
	s := registrytest.NewServer(t, opts...)
	t.Setenv(testEnv, s.Host()+"/some/where")
	return s
}

func TestWithoutAnAddress(t *testing.T) {
	t.Setenv(testEnv, "")
	s := external.NewServer(t, testEnv)
	status, _ := get(t, s.Client(), s.URL+"/v2/")
	require.Equal(t, http.StatusOK, status)
	image := s.Push(t, "team/app:v1", content.Image())
	require.Equal(t, s.Host()+"/team/app:v1", s.Ref("team/app:v1"))
	own := s.InProcess(t)
	require.Equal(t, own.Ref("team/app:v1"), s.Ref("team/app:v1"))
	require.Equal(t, own.Transport(), s.Transport())
	own.Restart()
	require.Equal(t, 1, own.Requests().Len())
	own.CheckTag(t, "team/app:v1", image)
	for mine, its := range map[string]string{s.RegistriesConf("docker.io"): own.RegistriesConf("docker.io"), s.DaemonJSON("docker.io"): own.DaemonJSON("docker.io")} {
		got, err := os.ReadFile(mine)
		require.NoError(t, err)
		want, err := os.ReadFile(its)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestTheSameTestAgainstAnotherRegistry(t *testing.T) {
	other := elsewhere(t, registry.WithPageSize(1))
	for _, subtest := range []string{"One test", "one-TEST/☺"} {
		t.Run(subtest, func(t *testing.T) {
			s := external.NewServer(t, testEnv)
			image := s.Push(t, "team/app:v1", content.Image(content.Layers(3)))
			s.Push(t, "team/app:v2", image)
			index := s.Push(t, "team/app", content.Index(content.Platforms("linux/amd64", "linux/arm64")))
			note := s.Push(t, "team/app", content.Artifact("application/x-note", content.Subject(image)))

			require.Equal(t, other.URL, s.URL)
			host, repo, _ := strings.Cut(s.Ref("team/app"), "/")
			require.Equal(t, other.Host(), host)
			require.True(t, strings.HasPrefix(repo, "some/where/"), repo)
			status, got := get(t, s.Client(), s.URL+"/v2/"+repo+"/manifests/v1")
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, string(image.Manifest), got)

			require.Equal(t, []string{"v1", "v2"}, s.Tags(t, "team/app"))
			require.Equal(t, image.Manifest, s.Get(t, "team/app:v1").Manifest)
			require.Equal(t, index.Digest, s.Get(t, "team/app@"+string(index.Digest)).Digest)
			require.Len(t, s.GetBlob(t, "team/app", image.Layers[1].Digest), int(image.Layers[1].Size))
			referrers := s.Referrers(t, "team/app@"+string(image.Digest))
			require.Len(t, referrers, 1)
			require.Equal(t, note.Digest, referrers[0].Digest)
			s.CheckTag(t, "team/app:v1", image)

			var repos []string
			for name, err := range s.Store.Repositories(context.Background(), "") {
				require.NoError(t, err)
				repos = append(repos, name)
			}
			require.Equal(t, []string{"team/app"}, repos, "other repositories of the registry are not listed")

			ctx := context.Background()
			require.NoError(t, s.Store.DeleteTag(ctx, "team/app", "v2"))
			require.Equal(t, []string{"v1"}, s.Tags(t, "team/app"))
			require.NoError(t, s.Store.DeleteManifest(ctx, "team/app", image.Digest))
			_, err := s.Store.StatManifest(ctx, "team/app", "v1")
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NoError(t, s.Store.MountBlob(ctx, "team/other", image.Layers[0].Digest, "team/app"))
			require.NoError(t, s.Store.DeleteBlob(ctx, "team/app", image.Layers[0].Digest))
			_, err = s.Store.StatBlob(ctx, "team/app", image.Layers[0].Digest)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.ErrorIs(t, s.Store.MountBlob(ctx, "team/third", image.Layers[0].Digest, "team/app"), fs.ErrNotExist)
		})
	}
}

func TestAnotherRegistryThatRefuses(t *testing.T) {
	elsewhere(t, registry.Without(registry.DeleteTag, registry.StartUpload))
	s := external.NewServer(t, testEnv)
	ctx := context.Background()
	require.ErrorIs(t, s.Store.DeleteTag(ctx, "team/app", "v1"), errors.ErrUnsupported)
	require.ErrorContains(t, content.Put(ctx, s.Store, "team/app:v1", content.Image()), "405")
}

func TestAnotherRegistryWithAPassword(t *testing.T) {
	names := make(map[string]bool)
	other := elsewhere(t, registry.WithAuthorizer(func(r *registry.Request, repo string, a registry.Action) error {
		name, password, _ := r.BasicAuth()
		names[name+":"+password] = true
		return nil
	}))
	t.Setenv(testEnv, "http://alice:secret@"+other.Host())
	s := external.NewServer(t, testEnv)
	s.Push(t, "team/app:v1", content.Image())
	require.Equal(t, map[string]bool{"alice:secret": true}, names)
	require.NotContains(t, s.Ref("app"), "secret")
}

// An external.Server lacks exactly those methods of registrytest.Server that do
// not work with a registry elsewhere.
func TestMethodsOfEveryRegistry(t *testing.T) {
	t.Parallel()
	here, everywhere := reflect.TypeFor[*registrytest.Server](), reflect.TypeFor[*external.Server]()
	var missing []string
	for i := range here.NumMethod() {
		name := here.Method(i).Name
		if _, ok := everywhere.MethodByName(name); !ok {
			missing = append(missing, name)
		}
	}
	require.Equal(t, []string{"CA", "CertsDir", "Close", "CloseClientConnections", "Err", "Fault", "Faults", "ForgetUploads", "Handler", "Hold", "Refuse",
		"Requests", "Restart", "Shutdown", "Silence", "Start", "Stop", "Tamper"}, missing)
}

// If the registry runs elsewhere, InProcess skips the test, or fails it if the
// TB has no Skipf.
func TestInProcess(t *testing.T) {
	elsewhere(t)
	tr := faketb.Try(t, func(t *faketb.TB) {
		external.NewServer(t, testEnv).InProcess(t).Restart()
		t.Errorf("InProcess did not end the test")
	})
	require.Empty(t, tr.Errors())
	require.Equal(t, []string{"external: the test needs a registry in this process, but " + testEnv + " has the address of another"}, tr.Skips())
	tr = faketb.Try(t, func(t *faketb.TB) {
		external.NewServer(t, testEnv).InProcess(struct{ registrytest.TB }{t}).Restart()
	})
	require.Len(t, tr.Errors(), 1)
}

func TestAddressesOfAnotherRegistry(t *testing.T) {
	for address, want := range map[string]string{
		"localhost":                     "http://localhost",
		"localhost:5000":                "http://localhost:5000",
		"127.0.0.1:5000/a/b/":           "http://127.0.0.1:5000",
		"[::1]:5000":                    "http://[::1]:5000",
		"registry.example.com":          "https://registry.example.com",
		"registry.example.com:5000/a":   "https://registry.example.com:5000",
		"http://registry.example.com/a": "http://registry.example.com",
	} {
		t.Setenv(testEnv, address)
		require.Equal(t, want, external.NewServer(t, testEnv).URL)
	}
	for _, address := range []string{"/a", "ftp://a", "http://", "http://a b"} {
		t.Setenv(testEnv, address)
		tr := faketb.Try(t, func(t *faketb.TB) { external.NewServer(t, testEnv) })
		require.Len(t, tr.Errors(), 1, address)
		require.Contains(t, tr.Errors()[0], testEnv)
	}
}
