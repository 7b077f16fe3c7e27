package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
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

// Pulling manifests: a pull returns the bytes and the media type of the push.
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

// The spec says: "The registry SHOULD ignore parameters on the Content-Type
// header."
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

// RFC 9110, section 13: a manifest is not sent if a condition of the request
// does not hold.
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

// A push by digest sets the tags in the parameters tag (end-7b).
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
		// A tag that is given twice is set once. If one tag is not valid, the whole
		// request fails.
		a = t.want(201, t.call("PUT", path+"?tag=a&tag=b&tag=a", m, "Content-Type", imageType))
		require.Equal(t, []string{"a, b"}, a.Header().Values("OCI-Tag"))
		t.wantError(400, t.call("PUT", path+"?tag=good&tag=-bad", m, "Content-Type", imageType), registry.CodeManifestInvalid)
		t.want(404, t.call("GET", "/v2/app/manifests/good", ""))
		// A push by tag ignores the parameters.
		a = t.want(201, t.call("PUT", "/v2/app/manifests/v1?tag=v2", m, "Content-Type", imageType))
		require.Empty(t, a.Header().Values("OCI-Tag"))
		t.want(404, t.call("GET", "/v2/app/manifests/v2", ""))
	})
}

// Pushing Manifests: a registry should limit the size of manifests, and accept
// at least 4 MiB.
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
				require.Equal(t, 404, h.call("GET", "/v2/app/manifests/"+string(sum(content)), "").Code)
			}
		}
	}
}

// Deleting tags: deleting all tags of a manifest leaves the manifest in the
// repository.
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

// Pushing Manifests with Subject: the response to the push of a manifest with a
// subject has OCI-Subject.
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
		// A registry without the referrers API must not send OCI-Subject, because
		// the client then maintains the list of referrers itself.
		a = t.over(registry.Without(registry.ListReferrers)).call("PUT", "/v2/app/manifests/v3", index, "Content-Type", indexType)
		t.want(201, a)
		require.Empty(t, a.Header().Get("OCI-Subject"))
	})
}
