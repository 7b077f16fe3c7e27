package registry_test

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// WithAnyManifest and WithSparseManifests apply only to repositories that match
// one of their patterns.
func TestLaxnessOfSomeRepositories(t *testing.T) {
	sparse := `{"schemaVersion":2,"config":` + toJSON(t, describe("a/b", "c")) + `,"layers":[]}`
	overStores(t, func(t *registryTest) {
		put := func(repo, m string) *httptest.ResponseRecorder {
			return t.call("PUT", "/v2/"+repo+"/manifests/v1", m, "Content-Type", imageType)
		}
		for _, repo := range []string{"junk", "junk/a", "junk/a/b", "fixtures/x"} {
			t.want(201, put(repo, "junk"))
			t.want(201, put(repo, sparse))
		}
		t.wantError(400, put("sparse/a", "junk"), registry.CodeManifestInvalid)
		t.want(201, put("sparse/a", sparse))
		for _, repo := range []string{"app", "junkyard", "fixtures", "fixtures/x/y", "sparse/a/b"} {
			t.wantError(400, put(repo, "junk"), registry.CodeManifestInvalid)
			t.wantError(400, put(repo, sparse), registry.CodeManifestBlobUnknown)
		}
		t.wantPulled("/v2/junk/a/manifests/v1", sparse)
	}, registry.WithAnyManifest("junk/**"), registry.WithAnyManifest("fixtures/*"), registry.WithSparseManifests("sparse/*", "none"))
}

func TestPatternsOfLaxnessAreNotEmpty(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(){
		"WithSparseManifests": func() { registry.WithSparseManifests("junk", "") },
		"WithAnyManifest":     func() { registry.WithAnyManifest("") },
	} {
		require.PanicsWithValue(t, "registry: a pattern given to "+name+" is empty; name repositories, such as junk/**, or give no pattern to match all", make)
	}
}
