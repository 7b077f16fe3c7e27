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

// A verdict is a TB that stores the failure of a check.
type verdict struct {
	failure  string
	cleanups []func()
}

func (v *verdict) Helper()          {}
func (v *verdict) Cleanup(f func()) { v.cleanups = append(v.cleanups, f) }
func (v *verdict) Fatalf(format string, args ...any) {
	v.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// check checks the requirement, and returns the failure message or "".
func check(r conformance.Requirement, target conformance.Target) string {
	v := &verdict{}
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

// A direct is a RoundTripper that calls a handler without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	d.ServeHTTP(out, in)
	resp := out.Result()
	resp.Request = r
	if r.Method == "HEAD" {
		resp.Body = http.NoBody
	}
	return resp, nil
}

// directly returns a target whose client calls the handler without a network.
func directly(h http.Handler) conformance.Target {
	return conformance.Target{URL: "http://registry.example.org", Client: &http.Client{Transport: direct{h}}}
}

// checkAll checks all requirements, except those for which skip returns true. It
// returns the failure messages by the name of the requirement.
func checkAll(target conformance.Target, skip func(conformance.Requirement) bool) map[string]string {
	failures := map[string]string{}
	for _, r := range conformance.Requirements() {
		if skip != nil && skip(r) {
			continue
		}
		if failure := check(r, target); failure != "" {
			failures[r.Name] = failure
		}
	}
	return failures
}

// This registry lacks the referrers API. Package registry tests one with all
// features.
func TestRegistryWithoutReferrersMeetsTheSpec(t *testing.T) {
	t.Parallel()
	conformance.Registry(t, conformance.Target{
		Handler:       registry.New(memstore.New(), registry.Without(registry.ListReferrers)),
		ManifestLimit: 4 << 20,
		Without:       []registry.Feature{registry.ListReferrers},
	})
}

func TestRegistryBehindAURLMeetsTheSpec(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(memstore.New()))
	t.Cleanup(server.Close)
	target := conformance.Target{URL: server.URL, Client: server.Client(), Repo: "team/scratch"}
	require.Empty(t, checkAll(target, large))

	// The check must push to no repository outside of Target.Repo.
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

// A second run passes although the registry has the content of the first one.
func TestRegistryIsCheckedAgain(t *testing.T) {
	t.Parallel()
	target := directly(registry.New(memstore.New()))
	for range 2 {
		require.Empty(t, checkAll(target, large))
	}
}

// large reports whether the check of a requirement pushes large manifests. Most
// tests here skip such requirements to save time.
func large(r conformance.Requirement) bool {
	switch r.Name {
	case "manifest of 4 megabytes", "manifest size is limited", "oversized manifest is 413",
		"Link leads to the next referrers", "list of referrers is no larger than a manifest",
		"Link keeps the filter":
		return true
	}
	return false
}

// A registry without some features meets the spec if the same features are in
// Target.Without.
func TestRegistryWithoutFeaturesMeetsTheSpec(t *testing.T) {
	t.Parallel()
	for _, f := range []registry.Feature{
		registry.CancelUpload, registry.DeleteBlob, registry.DeleteManifest, registry.DeleteTag, registry.ListReferrers, registry.ListRepositories,
		registry.MountBlob, registry.PostBlob, registry.AnonymousMount, registry.ConditionalReads, registry.ConditionalWrites, registry.ManifestLimit,
		registry.Namespace, registry.Ranges, registry.ReferrersFilter, registry.SHA512, registry.StreamUpload, registry.TagParameters,
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			skip := large
			target := directly(registry.New(memstore.New(), registry.Without(f)))
			if f == registry.ManifestLimit {
				target.ManifestLimit = 4 << 20
				skip = func(r conformance.Requirement) bool { return r.Name != "oversized manifest is 413" }
			}
			target.Without = []registry.Feature{f}
			require.Empty(t, checkAll(target, skip))
			// Without the entry in Target.Without, the check notices that the
			// feature is missing.
			target.Without = nil
			require.True(t, slices.ContainsFunc(conformance.Requirements(), func(r conformance.Requirement) bool {
				return !skip(r) && check(r, target) != ""
			}))
		})
	}
}

func TestRegistryWithOptionsMeetsTheSpec(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]registry.Option{
		"minimum chunk size": registry.WithMinChunk(1000),
		"page size":          registry.WithPageSize(2),
		"sparse manifests":   registry.WithSparseManifests(),
		"warnings":           registry.WithWarnings("old", strings.Repeat(`"\`, 500)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, checkAll(directly(registry.New(memstore.New(), option)), large))
		})
	}
}

// If the preparation of a check fails, the message names the failed step, and
// does not claim that the requirement is violated.
func TestFailureNamesTheStepThatFailed(t *testing.T) {
	t.Parallel()
	for _, broken := range []http.Handler{statusOf("POST", "/blobs/uploads/", 202, 201), without("Location", "POST", "/blobs/uploads/")} {
		failures := checkAll(directly(broken), large)
		require.Contains(t, failures["upload starts with 202 and Location"], "upload starts with 202 and Location")
		require.NotContains(t, failures["upload starts with 202 and Location"], "could not be checked")
		require.Contains(t, failures["blob by digest"], "this could not be checked: starting an upload failed")
	}
}

// A failure message shows the requirement, the request and the response.
func TestFailureShowsTheExchange(t *testing.T) {
	t.Parallel()
	target := directly(statusOf("PATCH", "/", 416, 400))
	failure := checkAll(target, large)["chunk out of order is 416"]
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
	require.Contains(t, checkAll(target, large)["deleting a tag is 202"], `(a registry may lack "delete-tag": see Target.Without)`)
}

func TestUnreachableRegistryFails(t *testing.T) {
	t.Parallel()
	for _, target := range []conformance.Target{{}, {URL: "registry.example.org"}, {URL: "http://127.0.0.1:0"}} {
		for _, r := range conformance.Requirements()[:20] {
			require.NotEmpty(t, check(r, target), "%s of %+v", r.Name, target)
		}
	}
}

// Target.Spec skips requirements of later versions of the spec.
func TestOlderVersionDemandsLess(t *testing.T) {
	t.Parallel()
	h := without("Docker-Content-Digest", "", "/")
	for spec, met := range map[string]bool{"": false, "1.1": true, "1.0": true} {
		target := directly(h)
		target.Spec = spec
		failures := checkAll(target, large)
		require.Equal(t, met, failures["manifest has Docker-Content-Digest"] == "", spec)
	}
	target := directly(registry.New(memstore.New(), registry.Without(registry.ListReferrers, registry.GetUpload)))
	target.Spec = "1.0"
	failures := checkAll(target, large)
	delete(failures, "finished upload is unknown")
	require.Empty(t, failures)
}

func TestShouldCanBeSkipped(t *testing.T) {
	t.Parallel()
	target := directly(request(func(r *http.Request) { r.Header.Del("Range") }))
	require.NotEmpty(t, checkAll(target, large))
	target.SkipShould = true
	require.Empty(t, checkAll(target, large))
}

func TestRequirementsAreComplete(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, r := range conformance.Requirements() {
		require.False(t, names[r.Name], "%s appears twice", r.Name)
		names[r.Name] = true
		require.NotEmpty(t, r.Section, r.Name)
		require.NotEmpty(t, r.Text, r.Name)
		require.Contains(t, []string{"api", "pull", "push", "discovery", "management"}, r.Category, r.Name)
		require.Contains(t, []conformance.Level{conformance.Must, conformance.Should}, r.Level, r.Name)
		require.Contains(t, []string{"1.0", "1.1", "main"}, r.Since, r.Name)
		require.Regexp(t, `^https://(github\.com/opencontainers/(distribution|image)-spec/blob/[0-9a-f]{40}/[a-z-]+\.md|distribution\.github\.io/distribution/spec/api/|www\.rfc-editor\.org/rfc/rfc9110)#[a-z0-9.-]+$`, r.URL(), r.Name)
	}
}
