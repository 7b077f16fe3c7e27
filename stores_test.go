package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// The stores with which overStores runs each test.
var stores = []struct {
	name string
	open func(t testing.TB) registry.Store
}{
	{"memstore", func(testing.TB) registry.Store { return memstore.New() }},
	{"layout", func(t testing.TB) registry.Store {
		s, err := layout.Open(tempdir.New(t))
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}},
}

func TestRegistryMeetsTheSpec(t *testing.T) {
	t.Parallel()
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			conformance.Registry(t, conformance.Target{Handler: registry.New(s.open(t)), ManifestLimit: 4 << 20})
		})
	}
}

// A registryTest is a registry, its store and the test that uses it. The test
// calls the handler without a network.
type registryTest struct {
	*testing.T
	http.Handler
	store registry.Store
}

// overStores runs the test once for each store, in parallel, with a registry on
// an empty store.
func overStores(t *testing.T, test func(t *registryTest), opts ...registry.Option) {
	t.Helper()
	t.Parallel()
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			store := s.open(t)
			test(&registryTest{t, registry.New(store, opts...), store})
		})
	}
}

// inMemory returns a registry on an empty memstore.
func inMemory(t *testing.T, opts ...registry.Option) *registryTest {
	store := memstore.New()
	return &registryTest{t, registry.New(store, opts...), store}
}

// over returns a registry with other options on the same store.
func (t *registryTest) over(opts ...registry.Option) *registryTest {
	return &registryTest{t.T, registry.New(t.store, opts...), t.store}
}

// call sends a request to the handler and returns the response. The header has
// alternating names and values.
func (t *registryTest) call(method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	t.ServeHTTP(w, r)
	return w
}

// want fails the test unless the response has the status. It returns the
// response.
func (t *registryTest) want(status int, a *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	t.Helper()
	require.Equal(t, status, a.Code, a.Body)
	return a
}

// wantError fails the test unless the response has the status and an error body
// in the form of the spec (section Error Codes) with exactly the given codes.
func (t *registryTest) wantError(status int, a *httptest.ResponseRecorder, codes ...registry.Code) *httptest.ResponseRecorder {
	t.Helper()
	t.want(status, a)
	require.Equal(t, "application/json", a.Header().Get("Content-Type"))
	require.Equal(t, strconv.Itoa(a.Body.Len()), a.Header().Get("Content-Length"))
	var body struct {
		Errors []map[string]any `json:"errors"`
	}
	require.NoError(t, json.Unmarshal(a.Body.Bytes(), &body), a.Body)
	var got []registry.Code
	for _, e := range body.Errors {
		got = append(got, registry.Code(e["code"].(string)))
		require.NotEmpty(t, e["message"])
		for k := range e {
			require.Contains(t, []string{"code", "message", "detail"}, k)
		}
	}
	require.Equal(t, codes, got, a.Body)
	for _, h := range []string{"ETag", "Docker-Content-Digest", "Accept-Ranges"} {
		require.Empty(t, a.Header().Get(h), h)
	}
	return a
}

// wantPulled fails the test unless GET of the path returns the content.
func (t *registryTest) wantPulled(path, content string) *httptest.ResponseRecorder {
	t.Helper()
	a := t.want(200, t.call("GET", path, ""))
	require.Equal(t, content, a.Body.String())
	return a
}

func sum[T ~string | ~[]byte](content T) digest.Digest { return digest.FromBytes([]byte(content)) }

// pushBlob pushes a blob and returns its digest.
func (t *registryTest) pushBlob(repo, content string) digest.Digest {
	t.Helper()
	d := sum(content)
	t.want(201, t.call("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(d), content))
	return d
}

// pushImage pushes an image and returns its manifest. The reference is a tag, or
// "" to push the manifest by its digest.
func (t *registryTest) pushImage(repo, reference string, edit ...func(*ocispec.Manifest)) string {
	t.Helper()
	m := t.image(repo, edit...)
	if reference == "" {
		reference = string(sum(m))
	}
	t.want(201, t.call("PUT", "/v2/"+repo+"/manifests/"+reference, m, "Content-Type", ocispec.MediaTypeImageManifest))
	return m
}

// image pushes the blobs of an image and returns a manifest that names them. The
// functions in edit can change the manifest.
func (t *registryTest) image(repo string, edit ...func(*ocispec.Manifest)) string {
	t.Helper()
	t.pushBlob(repo, "{}")
	t.pushBlob(repo, "layer")
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    describe(ocispec.MediaTypeImageConfig, "{}"),
		Layers:    []ocispec.Descriptor{describe(ocispec.MediaTypeImageLayerGzip, "layer")},
	}
	m.SchemaVersion = 2
	for _, e := range edit {
		e(&m)
	}
	return toJSON(t, m)
}

func annotated(value string) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) { m.Annotations = map[string]string{"org.example": value} }
}

func subjectOf(manifest string) func(*ocispec.Manifest) {
	d := describe(ocispec.MediaTypeImageManifest, manifest)
	return func(m *ocispec.Manifest) { m.Subject = &d }
}

func describe(mediaType, content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: sum(content), Size: int64(len(content))}
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// start starts an upload session and returns its Location.
func (t *registryTest) start(repo string) string {
	t.Helper()
	return t.want(202, t.call("POST", "/v2/"+repo+"/blobs/uploads/", "")).Header().Get("Location")
}

// chunk sends a chunk of an upload. The argument first is the offset of its first
// byte in the blob.
func (t *registryTest) chunk(location string, first int, content string) *httptest.ResponseRecorder {
	t.Helper()
	return t.call("PATCH", location, content, "Content-Range", fmt.Sprintf("%d-%d", first, first+len(content)-1))
}

// An unknownLength is a body whose length an HTTP client does not know.
type unknownLength struct{ *bytes.Reader }
