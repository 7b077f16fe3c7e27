package upstream_test

import (
	"net/http"
	"path"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/conformance"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A recorder is a server whose store fetches missing content from an upstream.
type recorder struct {
	*registrytest.Server
	store *upstream.Store
}

// remote returns an upstream with the name. The Store sends requests for it to the
// given server.
func remote(up *registrytest.Server, name string, opts ...upstream.RemoteOption) upstream.StoreOption {
	return upstream.Remote(name, append([]upstream.RemoteOption{upstream.At(up.URL), upstream.RoundTripper(up.Transport())}, opts...)...)
}

// record starts a server whose store fetches missing content and keeps it in the
// given local store.
func record(t *testing.T, local registry.Store, opts ...upstream.StoreOption) recorder {
	t.Helper()
	store, err := upstream.Open(local, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return recorder{registrytest.NewServer(t, registrytest.WithInMemory(), store), store}
}

// get sends a GET request to the server.
func get(t *testing.T, s *registrytest.Server, target string, header ...string) testclient.Response {
	t.Helper()
	return testclient.New(t, s.Client(), s.URL).Get(target, header...)
}

// locals opens each kind of local store in a directory.
var locals = map[string]func(t *testing.T, dir string) registry.Store{
	"tree": func(t *testing.T, dir string) registry.Store {
		l, err := layout.Open(dir)
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	},
}

// answers sends a HEAD and a GET request for each target. It returns the
// responses by method and target.
func answers(t *testing.T, s *registrytest.Server, targets []string) map[string]testclient.Response {
	t.Helper()
	all := make(map[string]testclient.Response)
	c := testclient.New(t, s.Client(), s.URL)
	for _, target := range targets {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			r := c.Do(method, target, "")
			require.NoError(t, r.Err, target)
			r.Header.Del("Date")
			all[method+" "+target] = r
		}
	}
	return all
}

// With a recording, a Store responds byte for byte as before, also for lists and
// missing content, and sends no request to the upstream.
func TestReplay(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t, registrytest.WithInMemory())
	image := content.Image(content.Layers(2))
	index := content.Index(image, content.Image(content.Docker()))
	up.Push(t, "library/app:v1", index)
	up.Push(t, "library/app:v2", content.Image(content.Docker()))
	up.Push(t, "library/app", content.Artifact("application/x.sig", content.Subject(index)))
	up.Push(t, "team/tool:latest", content.Image())
	none := digest.FromString("none")
	targets := []string{
		"/v2/library/app/manifests/v1", "/v2/library/app/manifests/v2", "/v2/app/manifests/v1",
		"/v2/library/app/manifests/" + string(index.Digest), "/v2/library/app/manifests/" + string(image.Digest),
		"/v2/library/app/blobs/" + string(image.Layers[0].Digest), "/v2/library/app/blobs/" + string(image.Config.Digest),
		"/v2/library/app/manifests/none", "/v2/library/app/manifests/" + string(none), "/v2/library/app/blobs/" + string(none),
		"/v2/library/app/tags/list", "/v2/none/none/tags/list", "/v2/none/none/manifests/v1",
		"/v2/library/app/referrers/" + string(index.Digest), "/v2/library/app/referrers/" + string(image.Digest),
		"/v2/team/tool/manifests/latest", "/v2/team/tool/tags/list",
	}
	dir := t.TempDir()
	file := upstream.RecordTo(filepath.Join(dir, upstream.RecordingFile))
	first := record(t, locals["tree"](t, dir), remote(up, "docker.io"), file)
	recorded := answers(t, first.Server, targets)
	require.Equal(t, 200, recorded["GET /v2/library/app/manifests/v1"].Status)
	require.Equal(t, string(index.Manifest), recorded["GET /v2/app/manifests/v1"].Body)
	require.Contains(t, recorded["GET /v2/library/app/referrers/"+string(index.Digest)].Body, "application/x.sig")
	require.Equal(t, 404, recorded["GET /v2/library/app/manifests/none"].Status)
	require.Contains(t, recorded["GET /v2/library/app/manifests/none"].Body, "MANIFEST_UNKNOWN")
	require.Contains(t, recorded["GET /v2/none/none/tags/list"].Body, "NAME_UNKNOWN")
	require.Equal(t, recorded, answers(t, first.Server, targets))
	asked := up.Requests().Len()

	// Changes at the upstream have no effect on recorded tags.
	up.Push(t, "library/app:v1", content.Image())
	up.Push(t, "library/app:none", content.Image())
	require.Equal(t, recorded, answers(t, first.Server, targets))
	online := record(t, locals["tree"](t, dir), remote(up, "docker.io"), file)
	require.Equal(t, recorded, answers(t, online.Server, targets))

	// The upstream is down. The Store is offline, or is given no upstream.
	up.Stop()
	for _, opts := range [][]upstream.StoreOption{
		{file, upstream.Offline()}, {file}, {file, upstream.Offline(), remote(up, "docker.io")},
	} {
		replay := record(t, locals["tree"](t, dir), opts...)
		require.Equal(t, recorded, answers(t, replay.Server, targets))
		require.Empty(t, replay.store.Missed())
		missed := get(t, replay.Server, "/v2/library/app/manifests/v3")
		require.Equal(t, 404, missed.Status)
		require.Contains(t, missed.Body, "not recorded: docker.io/library/app:v3; run with -record")
		require.Contains(t, get(t, replay.Server, "/v2/app/blobs/"+string(digest.FromString("x"))).Body, "not recorded: blob docker.io/library/app@sha256:")
		require.Contains(t, get(t, replay.Server, "/v2/x/y/tags/list").Body, "not recorded: the tags of docker.io/x/y")
		require.Contains(t, get(t, replay.Server, "/v2/x/y/referrers/"+string(none)).Body, "not recorded: the referrers of docker.io/x/y@sha256:")
		require.Len(t, replay.store.Missed(), 4)
	}
	require.Equal(t, asked, up.Requests().Len(), "each answer came from the upstream once")

	// The local store has the images under the same names.
	images := locals["tree"](t, dir)
	got, err := content.Get(t.Context(), images, "team/tool:latest")
	require.NoError(t, err)
	require.Equal(t, content.Image().Digest, got.Digest)
	d, err := images.StatManifest(t.Context(), "library/app", "v1")
	require.NoError(t, err)
	require.Equal(t, index.Digest, d.Digest)
}

// beyond lists the tests of package conformance that TestStoreConformance skips, with
// the reasons.
var beyond = map[string]string{
	"check_and_write_are_one_step":  "the API has no transactions",
	"manifest_is_of_any_media_type": "a registry refuses bytes that are not a manifest",
	"many_tags_are_listed":          "each page is a request, so it takes long",
}

// With PassWrites, a Store passes the tests of package conformance, except those in
// beyond.
func TestStoreConformance(t *testing.T) {
	t.Parallel()
	conformance.Store(t, func(t *testing.T) registry.Store {
		if why := beyond[path.Base(t.Name())]; why != "" {
			t.Skip(why)
		}
		up := registrytest.NewServer(t, registrytest.WithInMemory())
		store, err := upstream.Open(memstore.New(), upstream.PassWrites(), remote(up, "registry.test"))
		require.NoError(t, err)
		return store
	})
}
