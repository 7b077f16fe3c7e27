package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// How a registry without a capability answers differs from that of a registry
// that has everything in what the documentation of Without says.
func TestWithoutACapability(t *testing.T) {
	t.Parallel()
	const content = "layer"
	m := `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`
	long := `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],"annotations":{"a":"` + strings.Repeat("a", 5000) + `"}}`
	sha512 := digest.SHA512.FromString(content)
	for _, test := range []struct {
		feature       registry.Feature
		method, path  string
		body          string
		header        []string
		with, without int
		absent        string // a field of the response that is there if the feature is
	}{
		{registry.AnonymousMount, "POST", "/v2/new/blobs/uploads/?mount=" + string(sum(content)), "", nil, 201, 202, ""},
		{registry.ConditionalReads, "GET", "/v2/app/manifests/v1", "", []string{"If-None-Match", `"` + string(sum(m)) + `"`}, 304, 200, "Etag"},
		{registry.ConditionalReads, "GET", "/v2/app/blobs/" + string(sum(content)), "", []string{"If-Match", `"x"`}, 412, 200, ""},
		{registry.ConditionalWrites, "PUT", "/v2/app/manifests/v1", m, []string{"Content-Type", indexType, "If-None-Match", "*"}, 412, 201, ""},
		{registry.ManifestLimit, "PUT", "/v2/app/manifests/v2", long, []string{"Content-Type", indexType}, 413, 201, ""},
		{registry.Namespace, "GET", "/v2/app/manifests/v1?ns=docker.io", "", nil, 200, 200, "Oci-Namespace"},
		{registry.Ranges, "GET", "/v2/app/blobs/" + string(sum(content)), "", []string{"Range", "bytes=1-2"}, 206, 200, "Accept-Ranges"},
		{registry.Ranges, "GET", "/v2/app/blobs/" + string(sum(content)), "", []string{"Range", "bytes=1-2", "If-None-Match", `"x"`}, 206, 200, "Accept-Ranges"},
		{registry.ReferrersFilter, "GET", "/v2/app/referrers/" + string(sum(m)) + "?artifactType=a/b", "", nil, 200, 200, "Oci-Filters-Applied"},
		{registry.SHA512, "POST", "/v2/app/blobs/uploads/?digest=" + string(sha512), content, nil, 201, 400, ""},
		{registry.SHA512, "POST", "/v2/app/blobs/uploads/?digest-algorithm=sha512", "", nil, 202, 400, ""},
		{registry.StreamUpload, "PATCH", "", content, nil, 202, 400, ""},
		{registry.StreamUpload, "PATCH", "", content, []string{"Content-Range", "0-4"}, 202, 202, ""},
		{registry.TagParameters, "PUT", "/v2/app/manifests/" + string(sum(m)) + "?tag=v3", m, []string{"Content-Type", indexType}, 201, 201, "Oci-Tag"},
	} {
		t.Run(test.feature.String(), func(t *testing.T) {
			t.Parallel()
			for _, has := range []bool{true, false} {
				opts, status := []registry.Option{registry.WithManifestLimit(4096)}, test.with
				if !has {
					opts, status = append(opts, registry.Without(test.feature)), test.without
				}
				h := inMemory(t, opts...)
				h.pushBlob("app", content)
				h.want(201, h.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", indexType))
				path := test.path
				if path == "" {
					path = h.start("app")
				}
				a := h.want(status, h.call(test.method, path, test.body, test.header...))
				if test.absent != "" {
					require.Equal(t, has, a.Header().Get(test.absent) != "", "%s: %v", test.absent, a.Header())
				}
				if test.method == http.MethodGet && !has && strings.Contains(path, "/blobs/") {
					require.Equal(t, content, a.Body.String())
				}
			}
		})
	}
}

func TestFeatureNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "mount-blob", registry.Feature(registry.MountBlob).String())
	require.Equal(t, "range", registry.Feature(registry.Ranges).String())
	require.Equal(t, "tag parameters", registry.Feature(registry.TagParameters).String())
	require.PanicsWithValue(t, "registry: a feature given to Without is nil", func() {
		registry.New(registry.UnimplementedStore{}, registry.Without(nil))
	})
}
