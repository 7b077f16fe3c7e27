package registry_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/memstore"
)

// FuzzConditions sends If-Match or If-None-Match with each method for manifests.
// It checks that several lines of the field are one list (RFC 9110, section
// 5.3), that HEAD and GET have the same status, and that a condition fails for
// DELETE exactly if it fails for PUT (section 13.1).
func FuzzConditions(f *testing.F) {
	for _, s := range []string{"*", "$IMAGE", "W/$IMAGE", "\"x\"\n$IMAGE", "\"x\", $IMAGE", "$IMAGE\n\"x\"", "", "\n", ",", "\"x", "x\n*", "\"x,\"\n$IMAGE"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, value string, match bool) {
		name := "If-None-Match"
		if match {
			name = "If-Match"
		}
		// Each request goes to a new registry.
		send := func(method, reference string, lines ...string) int {
			store := memstore.New()
			h := &registryTest{t, registry.New(store), store}
			image := h.pushImage("app", "v1")
			names := strings.NewReplacer("$IMAGE", `"`+string(sum(image))+`"`)
			body := ""
			if method == "PUT" {
				body = image
			}
			r := httptest.NewRequest(method, "/v2/app/manifests/"+strings.ReplaceAll(reference, "$IMAGE", string(sum(image))), strings.NewReader(body))
			r.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
			for _, line := range lines {
				// A server does not pass control characters on to a handler.
				line = strings.Map(func(c rune) rune {
					if c < ' ' || c == 0x7f {
						return ' '
					}
					return c
				}, names.Replace(line))
				r.Header[name] = append(r.Header[name], strings.TrimSpace(line))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		lines := strings.Split(value, "\n")
		for _, reference := range []string{"v1", "$IMAGE"} {
			status := map[string]int{}
			for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
				status[method] = send(method, reference, lines...)
				require.Equal(t, status[method], send(method, reference, strings.Join(lines, ", ")), "%s %s: %q in one line", method, reference, lines)
			}
			require.Equal(t, status["GET"], status["HEAD"], reference)
			require.Equal(t, status["PUT"] == 412, status["DELETE"] == 412, reference)
			require.Contains(t, []int{200, 304, 412}, status["GET"])
			require.Contains(t, []int{201, 412}, status["PUT"])
			require.Contains(t, []int{202, 412}, status["DELETE"])
		}
	})
}

// FuzzQuery lists, pulls and pushes with any query. The response to a malformed
// query is 400. An empty n counts as absent. A plus sign in a media type stays a
// plus sign. No query makes a header field of the response malformed.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "n=", "n=&last=v0", "n=1", "n=-1", "n=%31", "n=a", "n=99999999999999999999", "%zz", "n=1;last=a", "artifactType=application/spdx+json",
		"artifactType=application/spdx%2Bjson", "artifactType=a/b", "artifactType=a+b", "ns=%00", "ns=a%0d%0ab:c", "ns=docker.io", "ns=%ff", "tag=a&tag=b", "tag=a;tag=b", "last=%ff", "n",
	} {
		f.Add(s)
	}
	control := regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`) // not permitted in a field: RFC 9110, section 5.5
	f.Fuzz(func(t *testing.T, query string) {
		store := memstore.New()
		h := &registryTest{t, registry.New(store, registry.WithPageSize(1)), store}
		subject := h.pushImage("app", "v1")
		h.pushImage("app", "v2", subjectOf(subject), func(m *ocispec.Manifest) { m.ArtifactType = "application/spdx+json" })
		h.pushImage("app", "v3", subjectOf(subject), func(m *ocispec.Manifest) { m.ArtifactType = "a/b" })
		send := func(method, path, query string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "/", nil)
			r.URL = &url.URL{Path: path, RawQuery: query}
			if method == "PUT" {
				r = httptest.NewRequest(method, "/", strings.NewReader(subject))
				r.URL = &url.URL{Path: path, RawQuery: query}
				r.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			for name, values := range w.Header() {
				for _, v := range values {
					require.False(t, control.MatchString(v), "%s: %q", name, v)
				}
			}
			return w
		}
		values, err := url.ParseQuery(query)
		referrers := "/v2/app/referrers/" + string(sum(subject))
		for _, target := range [][2]string{
			{"GET", "/v2/"}, {"GET", "/v2/_catalog"}, {"GET", "/v2/app/tags/list"}, {"GET", referrers}, {"GET", "/v2/app/manifests/v1"},
			{"HEAD", "/v2/app/manifests/v1"}, {"GET", "/v2/app/blobs/" + string(sum("layer"))}, {"PUT", "/v2/app/manifests/" + string(sum(subject))},
		} {
			w := send(target[0], target[1], query)
			if err != nil {
				require.Equal(t, http.StatusBadRequest, w.Code, "%s %s?%s", target[0], target[1], query)
			}
			require.Less(t, w.Code, 500)
		}
		if err != nil {
			return
		}
		if values.Get("n") == "" && values.Has("n") {
			without := url.Values{}
			for name, v := range values {
				if name != "n" {
					without[name] = v
				}
			}
			for _, path := range []string{"/v2/_catalog", "/v2/app/tags/list", referrers} {
				require.Equal(t, send("GET", path, without.Encode()).Body.String(), send("GET", path, query).Body.String(), path)
			}
		}
		if strings.Contains(query, "artifactType=") {
			escaped := strings.ReplaceAll(query, "+", "%2B")
			want, got := send("GET", referrers, escaped), send("GET", referrers, query)
			require.Equal(t, want.Code, got.Code)
			require.Equal(t, want.Body.String(), got.Body.String())
		}
	})
}

// FuzzMediaType pushes a manifest with any unknown media type, in Content-Type or
// in the property mediaType. The registry accepts exactly the types in the form of
// RFC 6838, section 4.2, and serves the manifest with that type.
func FuzzMediaType(f *testing.F) {
	for _, s := range []string{"a/b", "a\x00b/c", "a b", "é/x", "a/b; q=1", "foo", "*/*", "application/*", "", "A/B", " a/b ", "a/b\r\nc: d", "+a/b"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	const name = `[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}`
	form := regexp.MustCompile(`^` + name + `/` + name + `$`)
	f.Fuzz(func(t *testing.T, mediaType string, header bool) {
		store := memstore.New()
		h := &registryTest{t, registry.New(store), store}
		content, contentType := map[string]string{}, mediaType
		if header {
			pushed, _, _ := strings.Cut(mediaType, ";")
			mediaType = strings.TrimSpace(pushed)
		} else {
			mediaType, contentType = strings.ToValidUTF8(mediaType, "?"), ""
			content["mediaType"] = mediaType
		}
		if manifest.Known(manifest.Canonical(mediaType)) {
			return // Manifests of known media types have more rules, which this test does not cover.
		}
		body, err := json.Marshal(content)
		require.NoError(t, err)
		r := httptest.NewRequest("PUT", "/v2/app/manifests/v1", strings.NewReader(string(body)))
		if header {
			r.Header["Content-Type"] = []string{contentType}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !form.MatchString(mediaType) {
			h.wantError(400, w, registry.CodeManifestInvalid)
			return
		}
		h.want(201, w)
		require.Equal(t, mediaType, h.wantPulled("/v2/app/manifests/v1", string(body)).Header().Get("Content-Type"))
	})
}
