package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// A verdict is a test that a check fails without failing the real one.
type verdict struct {
	conformance.TB
	failure  string
	cleanups []func()
}

func (v *verdict) Helper()                   {}
func (v *verdict) Cleanup(f func())          { v.cleanups = append(v.cleanups, f) }
func (v *verdict) Logf(string, ...any)       {}
func (v *verdict) failed() bool              { return v.failure != "" }
func (v *verdict) Errorf(f string, a ...any) { v.failure += fmt.Sprintf(f, a...) + "\n" }
func (v *verdict) Fatalf(f string, a ...any) {
	v.Errorf(f, a...)
	runtime.Goexit()
}

// check returns what a requirement has to say against the target, or "".
func check(t testing.TB, r conformance.Requirement, target conformance.Target) string {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range slices.Backward(v.cleanups) {
				f()
			}
		}()
		r.Check(v, target)
	}()
	<-done
	return v.failure
}

// direct is a transport that calls the handler without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	d.ServeHTTP(out, in)
	a := out.Result()
	a.Request = r
	if r.Method == "HEAD" {
		a.Body = http.NoBody
	}
	return a, nil
}

// directly returns a target that is reached without a network.
func directly(h http.Handler) conformance.Target {
	return conformance.Target{URL: "http://registry.example.org", Client: &http.Client{Transport: direct{h}}}
}

// checkAll returns what each requirement that is not met has to say.
func checkAll(t testing.TB, target conformance.Target, skip func(conformance.Requirement) bool) map[string]string {
	failures := map[string]string{}
	for _, r := range conformance.Requirements() {
		if skip != nil && skip(r) {
			continue
		}
		if failure := check(t, r, target); failure != "" {
			failures[r.Name] = failure
		}
	}
	return failures
}

// The registry that has it all is tested by its own package.
func TestRegistryWithoutReferrersMeetsTheSpec(t *testing.T) {
	t.Parallel()
	conformance.Registry(t, conformance.Target{
		Handler:       registry.New(memstore.New(), registry.Without(registry.ListReferrers)),
		ManifestLimit: 4 << 20,
		Without:       []conformance.Feature{conformance.FeatureReferrers},
	})
}

func TestRegistryBehindAURLMeetsTheSpec(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(memstore.New()))
	t.Cleanup(server.Close)
	target := conformance.Target{URL: server.URL, Client: server.Client(), Repo: "team/scratch"}
	require.Empty(t, checkAll(t, target, large))

	// It has kept to its place.
	response, err := server.Client().Get(server.URL + "/v2/_catalog")
	require.NoError(t, err)
	defer response.Body.Close()
	var catalog struct{ Repositories []string }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&catalog))
	require.NotEmpty(t, catalog.Repositories)
	for _, repo := range catalog.Repositories {
		require.True(t, strings.HasPrefix(repo, "team/scratch/"), repo)
	}
}

// A registry can be checked as often as one likes, whatever it has already.
func TestRegistryIsCheckedAgain(t *testing.T) {
	t.Parallel()
	target := directly(registry.New(memstore.New()))
	for range 2 {
		require.Empty(t, checkAll(t, target, large))
	}
}

// large reports whether the check of a requirement takes large manifests,
// which the tests here can do without.
func large(r conformance.Requirement) bool {
	switch r.Name {
	case "manifest of 4 megabytes", "manifest size is limited", "oversized manifest is 413",
		"Link leads to the next referrers", "list of referrers is no larger than a manifest",
		"Link keeps the filter":
		return true
	}
	return false
}

func TestRegistryWithoutFeaturesMeetsTheSpec(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options registry.Option
		without []conformance.Feature
	}{
		{registry.Without(registry.ListReferrers), []conformance.Feature{conformance.FeatureReferrers}},
		{registry.Without(registry.PostBlob), []conformance.Feature{conformance.FeatureSinglePost}},
		{registry.Without(registry.MountBlob), []conformance.Feature{conformance.FeatureMount, conformance.FeatureAnonymousMount}},
		{registry.Without(registry.AnonymousMount), []conformance.Feature{conformance.FeatureAnonymousMount}},
		{registry.Without(registry.DeleteTag), []conformance.Feature{conformance.FeatureDeleteTag}},
		{registry.Without(registry.DeleteManifest), []conformance.Feature{conformance.FeatureDeleteManifest}},
		{registry.Without(registry.DeleteBlob), []conformance.Feature{conformance.FeatureDeleteBlob}},
		{registry.Without(registry.CancelUpload), []conformance.Feature{conformance.FeatureCancelUpload}},
		{registry.Without(registry.ListRepositories), []conformance.Feature{conformance.FeatureCatalog}},
		{registry.WithMinChunk(1000), nil},
		{registry.WithPageSize(2), nil},
		{registry.WithSparseManifests(), nil},
		{registry.WithWarnings("old", strings.Repeat(`"\`, 500)), nil},
	} {
		t.Run(fmt.Sprint(tt.without), func(t *testing.T) {
			t.Parallel()
			target := directly(registry.New(memstore.New(), tt.options))
			target.Without = tt.without
			require.Empty(t, checkAll(t, target, large))
			if tt.without == nil {
				return
			}
			// It is no registry that has everything.
			target.Without = nil
			require.NotEmpty(t, checkAll(t, target, large))
		})
	}
}

// What a check has to prepare may fail as well. It says so, instead of taking
// the blame.
func TestFailureSaysWhatCouldNotBeChecked(t *testing.T) {
	t.Parallel()
	target := directly(statusOf("POST", "/blobs/uploads/", 202, 201))
	failures := checkAll(t, target, large)
	require.NotContains(t, failures["upload starts with 202 and Location"], "could not be checked")
	require.Contains(t, failures["blob by digest"], "this could not be checked: starting an upload failed")
}

// A failure has all that the author of the registry needs.
func TestFailureShowsTheExchange(t *testing.T) {
	t.Parallel()
	target := directly(statusOf("PATCH", "/", 416, 400))
	failure := checkAll(t, target, large)["chunk out of order is 416"]
	for _, line := range []string{
		`^Pushing a blob in chunks: chunk out of order is 416$`,
		"^  MUST: \"If a chunk is uploaded out of order, the registry MUST respond with a `416 Requested Range Not Satisfiable` code.\"$",
		`^  https://github.com/opencontainers/distribution-spec/blob/[0-9a-f]{40}/spec.md#pushing-a-blob-in-chunks$`,
		`^  > PATCH http://registry.example.org/v2/registrytest/[0-9a-f]{12}-1/blobs/uploads/[0-9a-f-]{36}$`,
		`^    Content-Range: 100-199$`,
		`^    \(100 bytes\)$`,
		`^  < 400 Bad Request$`,
		`^    Range: 0-0$`,
		`^    \{"errors":\[\{"code":"BLOB_UPLOAD_INVALID",.*\}\]\}$`,
		`^the status is 400 Bad Request, not 416 Requested Range Not Satisfiable$`,
	} {
		require.Regexp(t, "(?m)"+line, failure)
	}

	target = directly(statusOf("DELETE", "/manifests/", 202, 405))
	require.Contains(t, checkAll(t, target, large)["deleting a tag is 202"], `(a registry may lack "delete tag": see Target.Without)`)
}

func TestUnreachableRegistryFails(t *testing.T) {
	t.Parallel()
	for _, target := range []conformance.Target{{}, {URL: "registry.example.org"}, {URL: "http://127.0.0.1:0"}} {
		for _, r := range conformance.Requirements()[:20] {
			require.NotEmpty(t, check(t, r, target), "%s of %+v", r.Name, target)
		}
	}
}

// A registry is held to the version of the spec that it claims.
func TestOlderVersionDemandsLess(t *testing.T) {
	t.Parallel()
	h := without("Docker-Content-Digest", "", "/")
	for spec, met := range map[string]bool{"": false, "1.1": true, "1.0": true} {
		target := directly(h)
		target.Spec = spec
		failures := checkAll(t, target, large)
		require.Equal(t, met, failures["manifest has Docker-Content-Digest"] == "", spec)
	}
	target := directly(registry.New(memstore.New(), registry.Without(registry.ListReferrers, registry.GetUpload)))
	target.Spec = "1.0"
	failures := checkAll(t, target, large)
	delete(failures, "finished upload is unknown")
	require.Empty(t, failures)
}

func TestShouldCanBeSkipped(t *testing.T) {
	t.Parallel()
	target := directly(request(func(r *http.Request) { r.Header.Del("Range") }))
	require.NotEmpty(t, checkAll(t, target, large))
	target.SkipShould = true
	require.Empty(t, checkAll(t, target, large))
}

func TestRequirementsAreComplete(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, r := range conformance.Requirements() {
		require.False(t, names[r.Name], "%s is there twice", r.Name)
		names[r.Name] = true
		require.NotEmpty(t, r.Section, r.Name)
		require.NotEmpty(t, r.Text, r.Name)
		require.Contains(t, []string{"api", "pull", "push", "discovery", "management"}, r.Category, r.Name)
		require.Contains(t, []conformance.Level{conformance.Must, conformance.Should}, r.Level, r.Name)
		require.Contains(t, []string{"1.0", "1.1", "main"}, r.Since, r.Name)
		require.Regexp(t, `^https://(github\.com/opencontainers/distribution-spec|distribution\.github\.io)/\S+#[a-z0-9-]+$`, r.URL(), r.Name)
	}
}
