package registry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// For each capability in the table, the test checks the response of a registry
// with the capability, and the response of a registry without it.
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
		absent        string // a field that only the response of a registry with the feature has
	}{
		{registry.AnonymousMount, "POST", "/v2/new/blobs/uploads/?mount=" + string(sum(content)), "", nil, 201, 202, ""},
		{registry.ConditionalReads, "GET", "/v2/app/manifests/v1", "", []string{"If-None-Match", `"` + string(sum(m)) + `"`}, 304, 200, "Etag"},
		{registry.ConditionalReads, "GET", "/v2/app/blobs/" + string(sum(content)), "", []string{"If-Match", `"x"`}, 412, 200, ""},
		{registry.ConditionalWrites, "PUT", "/v2/app/manifests/v1", m, []string{"Content-Type", indexType, "If-None-Match", "*"}, 412, 201, ""},
		{registry.CrossOrigin, "HEAD", "/v2/app/manifests/v1", "", []string{"Origin", "http://evil.example"}, 200, 403, "Etag"},
		{registry.CrossOrigin, "PUT", "/v2/app/manifests/v2", m, []string{"Origin", "null"}, 201, 403, ""},
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

// With Without(SchemaVersion), the registry accepts manifests without
// schemaVersion: tests often marshal the types of image-spec without setting it.
func TestWithoutSchemaVersion(t *testing.T) {
	overStores(t, func(t *registryTest) {
		lax := t.over(registry.Without(registry.SchemaVersion))
		for _, version := range []string{`"schemaVersion":0`, `"SchemaVersion":2`} {
			m := strings.Replace(t.image("app"), `"schemaVersion":2`, version, 1)
			a := t.wantError(400, t.put(m, imageType), registry.CodeManifestInvalid)
			require.Contains(t, a.Body.String(), "registry.Without(registry.SchemaVersion)", "the message names the option that permits it")
			t.want(201, lax.put(m, imageType))
			t.want(201, lax.put(strings.Replace(indexOf(t), `"schemaVersion":2`, version, 1), indexType))
		}
		// The registry still makes all other checks.
		m := strings.Replace(t.image("app", subjectOf("x")), `"schemaVersion":2`, `"schemaVersion":3`, 1)
		t.wantError(400, lax.put(m, imageType), registry.CodeManifestInvalid)
		missing := `{"config":` + toJSON(t, describe("a/b", "absent")) + `}`
		t.wantError(400, lax.put(missing, imageType), registry.CodeManifestBlobUnknown)
	})
}

// Without BlobIsolation, all repositories share their blobs, as in the registry
// of go-containerregistry.
func TestWithoutBlobIsolation(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("from")
		t.wantError(400, t.put(m, imageType), registry.CodeManifestBlobUnknown, registry.CodeManifestBlobUnknown)
		shared := t.over(registry.Without(registry.BlobIsolation))
		layer := "/blobs/" + string(sum("layer"))
		shared.wantPulled("/v2/nowhere"+layer, "layer")
		shared.want(200, shared.call("HEAD", "/v2/app"+layer, ""))
		require.Equal(t, [][]string{{"from"}}, t.names("/v2/_catalog", "repositories"), "a pull creates no repository")
		shared.want(201, shared.put(m, imageType))
		// The push mounted the layer in app, so a registry with BlobIsolation
		// finds it there too.
		t.wantPulled("/v2/app"+layer, "layer")
		shared.wantError(404, shared.call("GET", "/v2/app/blobs/"+string(sum("absent")), ""), registry.CodeBlobUnknown)
		shared.want(202, shared.call("DELETE", "/v2/new"+layer, ""))
		for _, repo := range []string{"app", "from", "new"} {
			shared.want(404, shared.call("GET", "/v2/"+repo+layer, ""))
		}
		shared.want(404, shared.call("DELETE", "/v2/app"+layer, ""))
	})
}

// Without BlobIsolation, a client can read only blobs of repositories that it
// may pull from.
func TestSharedBlobsOfHiddenRepositories(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.Without(registry.BlobIsolation), registry.WithAuthorizer(func(r *registry.Request, repo string, a registry.Action) error {
		if repo == "secret" && a == registry.ActionPull {
			return registry.Errorf(registry.CodeDenied, "no")
		}
		return nil
	}))
	d := h.pushBlob("secret", "x")
	h.want(404, h.call("GET", "/v2/app/blobs/"+string(d), ""))
}

func TestWithoutRelativeLocations(t *testing.T) {
	t.Parallel()
	full := inMemory(t)
	full.pushImage("app", "v1")
	full.pushImage("app", "v2")
	for _, start := range []func(*httptest.Server){(*httptest.Server).Start, (*httptest.Server).StartTLS} {
		server := httptest.NewUnstartedServer(full.over(registry.Without(registry.RelativeLocations)))
		start(server)
		defer server.Close()
		resp, err := server.Client().Post(server.URL+"/v2/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		location := resp.Header.Get("Location")
		require.True(t, strings.HasPrefix(location, server.URL+"/v2/app/blobs/uploads/"), location)
		resp, err = server.Client().Get(server.URL + "/v2/app/tags/list?n=1")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, "<"+server.URL+`/v2/app/tags/list?last=v1&n=1>; rel="next"`, resp.Header.Get("Link"))
	}
}

func TestPathPrefix(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithPathPrefix("/registry/v2"))
	const base = "/registry/v2/v2/"
	h.want(200, h.call("GET", base, ""))
	for _, path := range []string{"/v2/", "/registry/", "/registry/v2/", "/registry/v2v2/", "/", "/token"} {
		h.want(404, h.call("GET", path, ""))
	}
	location := h.want(202, h.call("POST", base+"app/blobs/uploads/", "")).Header().Get("Location")
	require.True(t, strings.HasPrefix(location, base+"app/blobs/uploads/"), location)
	location = h.want(202, h.call("PATCH", location, "x")).Header().Get("Location")
	location = h.want(201, h.call("PUT", location+"?digest="+string(sum("x")), "")).Header().Get("Location")
	require.Equal(t, base+"app/blobs/"+string(sum("x")), location)
	h.wantPulled(location, "x")
	for _, tag := range []string{"v1", "v2"} {
		a := h.want(201, h.call("PUT", base+"app/manifests/"+tag, indexOf(h), "Content-Type", indexType))
		h.wantPulled(a.Header().Get("Location"), indexOf(h))
	}
	a := h.call("GET", base+"app/tags/list?n=1", "")
	require.Equal(t, `<`+base+`app/tags/list?last=v1&n=1>; rel="next"`, a.Header().Get("Link"))

	for _, bad := range []string{"", "/", "registry", "/registry/", "/a//b", "/a/../b"} {
		require.Panics(t, func() { registry.WithPathPrefix(bad) }, bad)
	}
}

// Without CrossOrigin, web pages of the registry's own host may send requests,
// and pages of other hosts may not. This also protects responses of a
// middleware.
func TestWithoutCrossOrigin(t *testing.T) {
	t.Parallel()
	middleware := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Op == registry.GetToken {
				return nil
			}
			return next(w, r)
		}
	})
	h := inMemory(t, middleware, registry.Without(registry.CrossOrigin))
	push := "/v2/app/blobs/uploads/?digest=" + string(sum("x"))
	for _, c := range []struct {
		method, path string
		origins      []string
		want         int
	}{
		{"POST", push, nil, 201},
		{"POST", push, []string{"http://example.com"}, 201}, // httptest.NewRequest uses this host
		{"POST", push, []string{"https://Example.com"}, 201},
		{"POST", push, []string{"http://example.com:5000"}, 403},
		{"POST", push, []string{"http://example.com.evil.example"}, 403},
		{"POST", push, []string{"http://evil.example/example.com"}, 403},
		{"POST", push, []string{"http://user@example.com"}, 403},
		{"POST", push, []string{"example.com"}, 403},
		{"POST", push, []string{""}, 403},
		{"POST", push, []string{"null"}, 403},
		{"POST", push, []string{"http://example.com", "http://evil.example"}, 403},
		{"POST", push, []string{"http://example.com, http://evil.example"}, 403},
		{"GET", "/v2/", []string{"http://evil.example"}, 403},
		{"GET", "/token", []string{"http://evil.example"}, 403},
		{"GET", "/token", nil, 200},
		{"OPTIONS", "/v2/app/manifests/v1", []string{"http://evil.example"}, 403},
		{"DELETE", "/v2/app/manifests/v1", []string{"http://evil.example"}, 403},
	} {
		var header []string
		for _, o := range c.origins {
			header = append(header, "Origin", o)
		}
		w := h.want(c.want, h.call(c.method, c.path, "x", header...))
		if c.want == 403 {
			h.wantError(403, w, registry.CodeDenied)
		}
	}
}
