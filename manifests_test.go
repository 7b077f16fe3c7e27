package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

const (
	imageType = ocispec.MediaTypeImageManifest
	indexType = ocispec.MediaTypeImageIndex
)

// Pulling manifests: the bytes and the media type are those of the push.
func TestManifestIsServedAsItWasPushed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := "\n\t" + t.image("app") + "\r\n "
		a := t.want(201, t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType+"; charset=utf-8"))
		require.Equal(t, "/v2/app/manifests/"+string(sum(m)), a.Header().Get("Location"))
		require.Equal(t, string(sum(m)), a.Header().Get("Docker-Content-Digest"))
		require.Equal(t, "0", a.Header().Get("Content-Length"))

		for _, reference := range []string{"v1", string(sum(m))} {
			for _, method := range []string{"GET", "HEAD"} {
				a := t.want(200, t.call(method, "/v2/app/manifests/"+reference, ""))
				require.Equal(t, imageType, a.Header().Get("Content-Type"))
				require.Equal(t, string(sum(m)), a.Header().Get("Docker-Content-Digest"))
				require.Equal(t, strconv.Itoa(len(m)), a.Header().Get("Content-Length"))
				require.Equal(t, `"`+string(sum(m))+`"`, a.Header().Get("ETag"))
				require.Equal(t, method == "GET", a.Body.String() == m)
				require.Equal(t, method == "HEAD", a.Body.Len() == 0)
			}
		}
	})
}

// "The registry SHOULD ignore parameters on the Content-Type header."
func TestParametersOfTheContentTypeAreIgnored(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for _, parameters := range []string{"", ";", "; charset=utf-8", ";charset=\"utf-8\"; x=y", "; charset", "; =", "; a=1; a=2", " "} {
			a := t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType+parameters)
			require.Equal(t, 201, a.Code, "%q: %s", parameters, a.Body)
			require.Equal(t, imageType, t.wantPulled("/v2/app/manifests/v1", m).Header().Get("Content-Type"))
		}
	})
}

// RFC 9110, section 13: conditional requests.
func TestManifestIsNotSentIfTheClientHasIt(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		etag := `"` + string(sum(m)) + `"`
		for header, status := range map[string]int{
			etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, string(sum(m)): 200,
		} {
			for _, method := range []string{"GET", "HEAD"} {
				a := t.want(status, t.call(method, "/v2/app/manifests/v1", "", "If-None-Match", header))
				require.Equal(t, etag, a.Header().Get("ETag"), header)
				require.Equal(t, status == 200 && method == "GET", a.Body.Len() > 0, header)
			}
		}
		t.want(200, t.call("GET", "/v2/app/manifests/v1", "", "If-Match", etag))
		t.wantError(412, t.call("GET", "/v2/app/manifests/v1", "", "If-Match", `"x"`), registry.CodeManifestInvalid)
	})
}

func TestManifestIsPushedByDigest(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			d := string(algorithm.FromString(m))
			a := t.want(201, t.call("PUT", "/v2/app/manifests/"+d, m, "Content-Type", imageType))
			require.Equal(t, d, a.Header().Get("Docker-Content-Digest"))
			require.Equal(t, "/v2/app/manifests/"+d, a.Header().Get("Location"))
			require.Empty(t, a.Header().Values("OCI-Tag"))
			require.Equal(t, d, t.wantPulled("/v2/app/manifests/"+d, m).Header().Get("Docker-Content-Digest"))
		}
		require.JSONEq(t, `{"name":"app","tags":[]}`, t.call("GET", "/v2/app/tags/list", "").Body.String())
	})
}

func TestManifestOfAnotherDigestIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for _, d := range []digest.Digest{sum("x"), digest.SHA384.FromString("x"), digest.SHA512.FromString(m + "x")} {
			t.wantError(400, t.call("PUT", "/v2/app/manifests/"+string(d)+"?tag=v1", m, "Content-Type", imageType), registry.CodeDigestInvalid)
			t.wantError(404, t.call("GET", "/v2/app/manifests/"+string(d), ""), registry.CodeManifestUnknown)
		}
		t.wantError(404, t.call("GET", "/v2/app/manifests/"+string(sum(m)), ""), registry.CodeManifestUnknown)
		t.wantError(404, t.call("GET", "/v2/app/manifests/v1", ""), registry.CodeManifestUnknown)
	})
}

func TestManifestReferenceMustBeOne(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for _, reference := range []string{".v1", "-v1", "v%201", "v+1", "%C3%A9", strings.Repeat("v", 129), "v%00"} {
			t.wantError(400, t.call("PUT", "/v2/app/manifests/"+reference, m, "Content-Type", imageType), registry.CodeManifestInvalid)
			t.wantError(404, t.call("GET", "/v2/app/manifests/"+reference, ""), registry.CodeManifestUnknown)
			t.wantError(404, t.call("DELETE", "/v2/app/manifests/"+reference, ""), registry.CodeManifestUnknown)
		}
		upper := "sha256:" + strings.ToUpper(sum("x").Encoded())
		for _, reference := range []string{"sha256:", "sha256:xyz", "sha256:0123", ":", "sha1:", "V1:v2", upper} {
			for _, method := range []string{"PUT", "GET", "DELETE"} {
				t.wantError(400, t.call(method, "/v2/app/manifests/"+reference, m, "Content-Type", imageType), registry.CodeDigestInvalid)
			}
		}
	})
}

// end-7b: the parameters tag.
func TestManifestGetsTheTagsInParameters(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		path := "/v2/app/manifests/" + string(sum(m))
		tags := make([]string, 50)
		for i := range tags {
			tags[i] = fmt.Sprintf("v%02d", i)
		}
		a := t.want(201, t.call("PUT", path+"?tag="+strings.Join(tags, "&tag="), m, "Content-Type", imageType))
		require.Equal(t, strings.Join(tags, ", "), strings.Join(a.Header().Values("OCI-Tag"), ", "))
		for _, tag := range tags {
			t.wantPulled("/v2/app/manifests/"+tag, m)
		}
		// An invalid tag fails the whole request.
		a = t.want(201, t.call("PUT", path+"?tag=a&tag=b&tag=a", m, "Content-Type", imageType))
		require.Equal(t, []string{"a, b"}, a.Header().Values("OCI-Tag"))
		t.wantError(400, t.call("PUT", path+"?tag=good&tag=-bad", m, "Content-Type", imageType), registry.CodeManifestInvalid)
		t.want(404, t.call("GET", "/v2/app/manifests/good", ""))
		// The parameters are only for pushes by digest.
		a = t.want(201, t.call("PUT", "/v2/app/manifests/v1?tag=v2", m, "Content-Type", imageType))
		require.Empty(t, a.Header().Values("OCI-Tag"))
		t.want(404, t.call("GET", "/v2/app/manifests/v2", ""))
	})
}

// Pushing Manifests: a registry should limit the size, and expect 4 megabytes.
func TestManifestSizeIsLimited(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options []registry.Option
		limit   int
	}{{nil, 4 << 20}, {[]registry.Option{registry.WithManifestLimit(1000)}, 1000}} {
		h := inMemory(t, tt.options...)
		m := h.image("app")
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		for _, size := range []int{tt.limit, tt.limit + 1, 2 * tt.limit} {
			content := []byte(m + strings.Repeat(" ", size-len(m)))
			for name, body := range map[string]io.Reader{"known": bytes.NewReader(content), "chunked": unknownLength{bytes.NewReader(content)}} {
				r, err := http.NewRequest("PUT", server.URL+"/v2/app/manifests/"+name, body)
				require.NoError(t, err)
				r.Header.Set("Content-Type", imageType)
				a, err := server.Client().Do(r)
				require.NoError(t, err)
				text, err := io.ReadAll(a.Body)
				a.Body.Close()
				require.NoError(t, err)
				if size <= tt.limit {
					require.Equal(t, 201, a.StatusCode, string(text))
					continue
				}
				require.Equal(t, 413, a.StatusCode)
				require.Contains(t, string(text), fmt.Sprintf("larger than %d bytes", tt.limit))
				require.Equal(t, 404, h.call("GET", "/v2/app/manifests/"+strconv.Itoa(size), "").Code)
			}
		}
	}
}

func TestManifestIsPushedOnACondition(t *testing.T) {
	overStores(t, func(t *registryTest) {
		one, two := t.image("app"), t.image("app", annotated("2"))
		etag := func(m string) string { return `"` + string(sum(m)) + `"` }
		put := func(reference, m string, header ...string) int {
			a := t.call("PUT", "/v2/app/manifests/"+reference, m, append(header, "Content-Type", imageType)...)
			if a.Code != 201 {
				t.wantError(412, a, registry.CodeManifestInvalid)
			}
			return a.Code
		}
		// A tag.
		require.Equal(t, 412, put("v1", one, "If-Match", "*"), "there is none")
		require.Equal(t, 412, put("v1", one, "If-Match", etag(one)))
		require.Equal(t, 201, put("v1", one, "If-None-Match", "*"), "there is none")
		require.Equal(t, 412, put("v1", two, "If-None-Match", "*"))
		require.Equal(t, 412, put("v1", two, "If-None-Match", etag(one)))
		require.Equal(t, 412, put("v1", two, "If-None-Match", `"x", W/`+etag(one)), "the comparison is weak")
		require.Equal(t, 412, put("v1", two, "If-Match", etag(two)))
		require.Equal(t, 412, put("v1", two, "If-Match", "W/"+etag(one)), "the comparison is strong")
		t.wantPulled("/v2/app/manifests/v1", one)
		require.Equal(t, 201, put("v1", two, "If-Match", `"x", `+etag(one)))
		require.Equal(t, 201, put("v1", one, "If-Match", "*"))
		require.Equal(t, 201, put("v1", two, "If-None-Match", etag(two)))
		t.wantPulled("/v2/app/manifests/v1", two)
		// A digest.
		three := t.image("app", annotated("3"))
		require.Equal(t, 412, put(string(sum(three)), three, "If-Match", "*"))
		require.Equal(t, 201, put(string(sum(three)), three, "If-None-Match", "*"))
		require.Equal(t, 412, put(string(sum(three)), three, "If-None-Match", "*"))
		// Each of several tags.
		require.Equal(t, 412, put(string(sum(three))+"?tag=v9&tag=v1", three, "If-None-Match", "*"))
		t.want(404, t.call("GET", "/v2/app/manifests/v9", ""))
		require.Equal(t, 201, put(string(sum(three))+"?tag=v8&tag=v9", three, "If-None-Match", "*"))
	})
}

// If several clients push a new tag with If-None-Match, exactly one succeeds.
func TestOneOfManyConditionalWritersWins(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const writers = 8
		manifests := make([]string, writers)
		for i := range manifests {
			manifests[i] = t.image("app", annotated(strconv.Itoa(i)))
		}
		for round := range 5 {
			tag := fmt.Sprintf("/v2/app/manifests/v%d", round)
			var won atomic.Int32
			var winner string
			var all sync.WaitGroup
			for _, m := range manifests {
				all.Go(func() {
					if a := t.call("PUT", tag, m, "Content-Type", imageType, "If-None-Match", "*"); a.Code == 201 {
						won.Add(1)
						winner = m
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, won.Load())
			t.wantPulled(tag, winner)
		}
	})
}

// Deleting tags, Deleting Manifests.
func TestDeletingATagLeavesTheManifest(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		t.pushImage("app", "v2")
		t.want(202, t.call("DELETE", "/v2/app/manifests/v1", ""))
		t.wantError(404, t.call("GET", "/v2/app/manifests/v1", ""), registry.CodeManifestUnknown)
		t.wantError(404, t.call("DELETE", "/v2/app/manifests/v1", ""), registry.CodeManifestUnknown)
		t.wantPulled("/v2/app/manifests/v2", m)
		t.want(202, t.call("DELETE", "/v2/app/manifests/v2", ""))
		t.wantPulled("/v2/app/manifests/"+string(sum(m)), m)
		require.JSONEq(t, `{"name":"app","tags":[]}`, t.call("GET", "/v2/app/tags/list", "").Body.String())
	})
}

func TestDeletingAManifestDeletesItsTags(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m, other := t.pushImage("app", "v1"), t.pushImage("app", "v3", annotated("3"))
		t.pushImage("app", "v2")
		t.pushImage("elsewhere", "v1")
		t.want(202, t.call("DELETE", "/v2/app/manifests/"+string(sum(m)), ""))
		for _, reference := range []string{"v1", "v2", string(sum(m))} {
			t.wantError(404, t.call("GET", "/v2/app/manifests/"+reference, ""), registry.CodeManifestUnknown)
			t.wantError(404, t.call("DELETE", "/v2/app/manifests/"+reference, ""), registry.CodeManifestUnknown)
		}
		require.JSONEq(t, `{"name":"app","tags":["v3"]}`, t.call("GET", "/v2/app/tags/list", "").Body.String())
		t.wantPulled("/v2/app/manifests/v3", other)
		t.wantPulled("/v2/elsewhere/manifests/v1", m)
		t.wantError(404, t.call("DELETE", "/v2/nowhere/manifests/"+string(sum(m)), ""), registry.CodeNameUnknown)
		t.wantError(404, t.call("DELETE", "/v2/nowhere/manifests/v1", ""), registry.CodeNameUnknown)
	})
}

func TestManifestsOfAllKinds(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const (
			dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
			dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
			schema1     = "application/vnd.docker.distribution.manifest.v1+json"
			artifact    = "application/vnd.oci.artifact.manifest.v1+json"
		)
		image := t.pushImage("app", "image")
		child := toJSON(t, describe(imageType, image))
		config, layer := toJSON(t, describe("a/config", "{}")), toJSON(t, describe("a/layer", "layer"))
		for _, tt := range []struct{ mediaType, content string }{
			{imageType, `{"schemaVersion":2,"config":` + config + `,"layers":[]}`},
			{imageType, `{"schemaVersion":2,"config":` + config + `}`},
			{indexType, `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[` + child + `]}`},
			{indexType, `{"schemaVersion":2,"manifests":[]}`},
			{dockerImage, `{"schemaVersion":2,"mediaType":"` + dockerImage + `","config":` + config + `,"layers":[` + layer + `]}`},
			{dockerList, `{"schemaVersion":2,"mediaType":"` + dockerList + `","manifests":[` + child + `]}`},
			{schema1, `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + string(sum("not there")) + `"}]}`},
			{schema1, `not even JSON`},
			{artifact, `{"mediaType":"` + artifact + `","artifactType":"a/b","blobs":[` + layer + `]}`},
			{"application/vnd.example.unknown+json", `{"any":["thing"],"layers":[` + toJSON(t, describe("a/b", "not there")) + `]}`},
			{"application/vnd.Example.CamelCase+json", `{"mediaType":"application/vnd.Example.CamelCase+json"}`},
		} {
			path := "/v2/app/manifests/" + string(sum(tt.content))
			a := t.call("PUT", path, tt.content, "Content-Type", tt.mediaType)
			require.Equal(t, 201, a.Code, "%s: %s", tt.content, a.Body)
			require.Equal(t, tt.mediaType, t.wantPulled(path, tt.content).Header().Get("Content-Type"))
		}
	})
}

// Clients should send a Content-Type. Without one, the manifest itself has the
// media type.
func TestManifestWithoutContentType(t *testing.T) {
	overStores(t, func(t *registryTest) {
		image := t.image("app")
		for _, tt := range []struct{ content, mediaType string }{
			{image, imageType},
			{strings.Replace(image, `"mediaType":"`+imageType+`",`, "", 1), imageType},
			{`{"schemaVersion":2,"manifests":[]}`, indexType},
			{`{"schemaVersion":1,"fsLayers":[]}`, "application/vnd.docker.distribution.manifest.v1+json"},
			{`{"mediaType":"application/vnd.example+json"}`, "application/vnd.example+json"},
		} {
			path := "/v2/app/manifests/" + string(sum(tt.content))
			t.want(201, t.call("PUT", path, tt.content))
			require.Equal(t, tt.mediaType, t.wantPulled(path, tt.content).Header().Get("Content-Type"))
		}
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", `{"schemaVersion":2}`), registry.CodeManifestInvalid)
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", image, "Content-Type", "a b"), registry.CodeManifestInvalid)
	})
}

func TestInvalidManifestIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		good := t.image("app")
		for _, tt := range []struct{ mediaType, content string }{
			{imageType, ""},
			{imageType, " "},
			{imageType, "{"},
			{imageType, "null"},
			{imageType, "[]"},
			{imageType, good + "{}"},
			{imageType, `{"schemaVersion":2}`},
			{imageType, strings.Replace(good, `"schemaVersion":2`, `"schemaVersion":1`, 1)},
			{imageType, strings.Replace(good, imageType, indexType, 1)},
			{imageType, strings.Replace(good, `"sha256:`, `"sha256:x`, 1)},
			{imageType, strings.Replace(good, `"size":2`, `"size":-1`, 1)},
			{imageType, strings.Replace(good, `"layers":`, `"manifests":`, 1)},
			{indexType, good},
			{indexType, strings.Replace(good, imageType, indexType, 1)},
			{"application/vnd.example+json", `{"mediaType":"application/vnd.other+json"}`},
			{"application/vnd.example+json", `junk`},
		} {
			a := t.call("PUT", "/v2/app/manifests/v1", tt.content, "Content-Type", tt.mediaType)
			require.Equal(t, 400, a.Code, "%s: %s", tt.mediaType, tt.content)
			t.wantError(400, a, registry.CodeManifestInvalid)
			t.want(404, t.call("GET", "/v2/app/manifests/v1", ""))
		}
	})
}

// A registry may reject a manifest with missing blobs with
// MANIFEST_BLOB_UNKNOWN (section Push). This registry does.
func TestManifestOfWhatIsMissingIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		layers := func(l ...ocispec.Descriptor) func(*ocispec.Manifest) {
			return func(m *ocispec.Manifest) { m.Layers = append(m.Layers, l...) }
		}
		m := t.image("app", layers(describe("a/b", "one"), describe("a/b", "two")), func(m *ocispec.Manifest) { m.Config.Digest = sum("three") })
		a := t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType)
		t.wantError(400, a, registry.CodeManifestBlobUnknown, registry.CodeManifestBlobUnknown, registry.CodeManifestBlobUnknown)
		for _, missing := range []string{"one", "two", "three"} {
			require.Contains(t, a.Body.String(), `"detail":{"digest":"`+string(sum(missing))+`"}`)
		}
		t.want(404, t.call("GET", "/v2/app/manifests/v1", ""))

		// Blobs in another repository do not count.
		t.pushBlob("other", "one")
		t.pushBlob("app", "two")
		m = t.image("app", layers(describe("a/b", "one"), describe("a/b", "two")))
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType), registry.CodeManifestBlobUnknown)

		index := toJSON(t, ocispec.Index{Versioned: versioned, Manifests: []ocispec.Descriptor{describe(imageType, m), describe(imageType, t.pushImage("app", "v2"))}})
		a = t.wantError(400, t.call("PUT", "/v2/app/manifests/v3", index, "Content-Type", indexType), registry.CodeManifestBlobUnknown)
		require.Contains(t, a.Body.String(), string(sum(m)))

		// Non-distributable layers and the subject need not exist.
		for _, mediaType := range []string{
			"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
			"application/vnd.oci.image.layer.nondistributable.v1.tar",
			"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		} {
			m = t.image("app", layers(describe(mediaType, "not there")), subjectOf("not there"))
			t.want(201, t.call("PUT", "/v2/app/manifests/foreign", m, "Content-Type", imageType))
		}
	})
}

var versioned = func() (v ocispec.Index) {
	v.SchemaVersion = 2
	return v
}().Versioned

func TestSparseManifestsAreAcceptedIfAskedFor(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := `{"schemaVersion":2,"config":` + toJSON(t, describe("a/b", "c")) + `,"layers":[` + toJSON(t, describe("a/b", "l")) + `]}`
		t.want(201, t.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType))
		index := toJSON(t, ocispec.Index{Versioned: versioned, Manifests: []ocispec.Descriptor{describe(imageType, "x")}})
		t.want(201, t.call("PUT", "/v2/app/manifests/v2", index, "Content-Type", indexType))
		t.wantPulled("/v2/app/manifests/v1", m)
		t.wantPulled("/v2/app/manifests/v2", index)
		t.wantError(400, t.call("PUT", "/v2/app/manifests/v1", "junk", "Content-Type", imageType), registry.CodeManifestInvalid)
	}, registry.WithSparseManifests())
}

func TestAnythingIsAManifestIfAskedFor(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithAnyManifest())
	for i, tt := range []struct{ contentType, content, served string }{
		{"", "", "application/octet-stream"},
		{"", "junk", "application/octet-stream"},
		{"a b;c", "junk", "a b"},
		{imageType, "{", imageType},
		{imageType, `{"mediaType":"` + indexType + `","schemaVersion":"two"}`, imageType},
		{indexType, `{"manifests":[{"digest":"sha256:nonsense"}]}`, indexType},
		{imageType, `{"config":{"digest":"` + string(sum("not there")) + `"},"layers":[]}`, imageType},
		{"text/plain", "\xff\x00", "text/plain"},
	} {
		path := "/v2/app/manifests/v" + strconv.Itoa(i)
		var header []string
		if tt.contentType != "" {
			header = []string{"Content-Type", tt.contentType}
		}
		h.want(201, h.call("PUT", path, tt.content, header...))
		require.Equal(t, tt.served, h.wantPulled(path, tt.content).Header().Get("Content-Type"))
	}
	// The digest must still match.
	h.wantError(400, h.call("PUT", "/v2/app/manifests/"+string(sum("x")), "junk"), registry.CodeDigestInvalid)
}

// Pushing Manifests with Subject.
func TestSubjectIsConfirmed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		plain := t.pushImage("app", "v1")
		for _, s := range []string{plain, "not there"} {
			m := t.image("app", subjectOf(s))
			for _, reference := range []string{string(sum(m)), "v2"} {
				a := t.want(201, t.call("PUT", "/v2/app/manifests/"+reference, m, "Content-Type", imageType))
				require.Equal(t, string(sum(s)), a.Header().Get("OCI-Subject"))
			}
		}
		d := describe(imageType, plain)
		index := toJSON(t, ocispec.Index{Versioned: versioned, Subject: &d, Manifests: []ocispec.Descriptor{}})
		a := t.want(201, t.call("PUT", "/v2/app/manifests/v3", index, "Content-Type", indexType))
		require.Equal(t, string(sum(plain)), a.Header().Get("OCI-Subject"))
		a = t.want(201, t.call("PUT", "/v2/app/manifests/v1", plain, "Content-Type", imageType))
		require.Empty(t, a.Header().Get("OCI-Subject"))
		// Without the API, the response must not have OCI-Subject, so that the
		// client maintains the list itself.
		a = t.over(registry.Without(registry.ListReferrers)).call("PUT", "/v2/app/manifests/v3", index, "Content-Type", indexType)
		t.want(201, a)
		require.Empty(t, a.Header().Get("OCI-Subject"))
	})
}
