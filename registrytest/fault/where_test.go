package fault_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// eachStore runs a test with a server on each kind of store.
func eachStore(t *testing.T, test func(t *testing.T, reg *registrytest.Server)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) registry.Store{
		"memory": func(*testing.T) registry.Store { return memstore.New() },
		"layout": func(t *testing.T) registry.Store {
			store, err := layout.Open(t.TempDir())
			require.NoError(t, err)
			t.Cleanup(func() { store.Close() })
			return store
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, registrytest.NewServer(t, registrytest.WithStore(open(t)))) })
	}
}

// TestStates checks, for a list of requests, which conditions on the content of the
// registry each of them meets.
func TestStates(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, reg *registrytest.Server) {
		child := content.Image(content.Layers(1))
		loose := content.Image(content.Layers(1), content.Seed(2))
		signature := content.Artifact("application/signature", content.Subject(child))
		reg.Push(t, "app:all", content.Index(child))
		reg.Push(t, "app:v1", content.Image(content.Layers(2)))
		reg.Push(t, "app", loose)
		reg.Push(t, "app", signature)
		// The index lists the child, and is a referrer of the child: a loop.
		reg.Push(t, "app", content.Index(child, content.Subject(child)))
		// The image-spec had this kind of artifact manifest in a draft.
		attached := content.Random("application/octet-stream", 10, 8)
		reg.PushBlob(t, "app", attached)
		reg.Push(t, "app:draft", content.Raw("application/vnd.oci.artifact.manifest.v1+json", fmt.Appendf(nil,
			`{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"mediaType":"application/octet-stream","digest":%q,"size":10}]}`, attached.Digest)))
		unused := content.Random("application/octet-stream", 10, 7)
		reg.PushBlob(t, "app", unused)
		absent := digest.FromString("absent")
		v1, err := reg.Store.StatManifest(t.Context(), "app", "v1")
		require.NoError(t, err)
		all, err := reg.Store.StatManifest(t.Context(), "app", "all")
		require.NoError(t, err)

		blob := func(repo string, d digest.Digest) string { return "GET /v2/" + repo + "/blobs/" + string(d) }
		manifest := func(d digest.Digest) string { return "GET /v2/app/manifests/" + string(d) }
		mount := func(to, from string, d digest.Digest) string {
			return "POST /v2/" + to + "/blobs/uploads/?mount=" + string(d) + "&from=" + from
		}
		conditions := []fault.Condition{fault.RepoExists, fault.Found, fault.Tagged, fault.Referenced}
		for request, want := range map[string]string{
			"GET /v2/app/tags/list":             "repo-exists",
			"GET /v2/other/tags/list":           "!repo-exists",
			"GET /v2/_catalog":                  "",
			"PATCH /v2/app/blobs/uploads/1":     "repo-exists",
			blob("app", child.Layers[0].Digest): "repo-exists found referenced",
			blob("app", child.Config.Digest):    "repo-exists found referenced",
			blob("app", loose.Layers[0].Digest): "repo-exists found !referenced",
			// A referrer refers to this blob.
			blob("app", signature.Layers[0].Digest):   "repo-exists found referenced",
			blob("app", unused.Digest):                "repo-exists found !referenced",
			blob("app", attached.Digest):              "repo-exists found referenced",
			blob("app", absent):                       "repo-exists !found !referenced",
			blob("other", child.Layers[0].Digest):     "!repo-exists !found !referenced",
			"GET /v2/app/manifests/all":               "repo-exists found tagged !referenced",
			"GET /v2/app/manifests/none":              "repo-exists !found !tagged !referenced",
			"DELETE /v2/app/manifests/none":           "repo-exists !found !tagged !referenced",
			manifest(v1.Digest):                       "repo-exists found tagged !referenced",
			manifest(all.Digest):                      "repo-exists found tagged !referenced",
			manifest(child.Digest):                    "repo-exists found !tagged referenced",
			manifest(loose.Digest):                    "repo-exists found !tagged !referenced",
			manifest(absent):                          "repo-exists !found !tagged !referenced",
			"GET /v2/app/referrers/" + string(absent): "repo-exists !found !tagged !referenced",
			mount("new", "app", child.Config.Digest):  "!repo-exists found referenced",
			mount("new", "app", unused.Digest):        "!repo-exists found !referenced",
			mount("app", "new", unused.Digest):        "repo-exists !found !referenced",
			mount("new", "", unused.Digest):           "!repo-exists found !referenced",
			mount("new", "", child.Config.Digest):     "!repo-exists found referenced",
			mount("new", "", absent):                  "!repo-exists !found !referenced",
		} {
			var rules inject.Rules
			var met []string
			for _, c := range conditions {
				for _, c := range []fault.Condition{c, fault.Not(c)} {
					_, err := rules.Add(fault.On().Where(c).AddHeader("Met", string(c)))
					require.NoError(t, err)
				}
			}
			h := registry.New(reg.Store, registry.WithFaults(rules.Inject), registry.Without(registry.MountBlob, registry.DeleteTag))
			method, target, _ := strings.Cut(request, " ")
			met = direct(t, h, method, target).Values("Met")
			require.Equal(t, want, strings.Join(met, " "), request)
		}
	})
}

// direct sends a request to the handler, and returns the header of the response.
func direct(t *testing.T, h http.Handler, method, target string) http.Header {
	n := registrytest.NewNetwork(t)
	n.Handle("registry.test", h)
	return testclient.New(t, n.Client(), "http://registry.test").Do(method, target, "").Header
}

// A condition with a function appears by its name in messages and in the text of the
// rule.
func TestNamedConditions(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	isLast := func(r *registry.Request) bool { return r.URL.Query().Get("last") != "" }
	in := reg.Fault(t, fault.On(registry.ListRepositories).Where("last page", isLast).Once().Status(503))
	require.Equal(t, `catalog where="last page" once status=503`, in.String())
	c := clientOf(t, reg)
	require.Equal(t, 200, c.Get("/v2/_catalog").Status)
	require.Contains(t, fault.Problem(t, in), `1 × catalog, but not where="last page"`)
	require.Equal(t, 503, c.Get("/v2/_catalog?last=a").Status)
	require.Equal(t, in.String(), reg.Requests().Last().Fault.Name)
	_, err := fault.Parse(in.String())
	require.ErrorContains(t, err, `no condition is called "last page"`)

	// Another rule may have the negation of the first rule's condition.
	reg.Fault(t, fault.On().Where(fault.Not(fault.Found)).Where(fault.Not("last page"), isLast).Status(404))
	require.Equal(t, 404, c.Get("/v2/app/manifests/v1").Status)
}
