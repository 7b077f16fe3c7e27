package registry_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// FuzzServeHTTP sends a request twice to a registry with some content. The
// handler must not panic or respond with 500, and the response must have no
// malformed field. All tagged manifests that the registry then serves must have
// the right digest.
//
// In the target, the header and the body, $BLOB, $IMAGE and $SUBJECT stand for
// the digests of existing content, and $UPLOAD for the ID of an upload session.
// In the target, $NEW stands for the digest of the body.
func FuzzServeHTTP(f *testing.F) {
	image := `{"schemaVersion":2,"config":{"digest":"$BLOB","size":5},"layers":[]}`
	for _, seed := range [][4]string{
		{"GET", "/v2/", "", ""},
		{"GET", "/v2/_catalog?n=1&last=a", "", ""},
		{"GET", "/v2/_oci/ext/discover", "", ""},
		{"GET", "/v2/app/_oci/ext/discover?ns=x", "", ""},
		{"GET", "/v2/app/tags/list?n=1", "", ""},
		{"GET", "/v2/app/tags/list?last=v1&n=-1", "", ""},
		{"GET", "/v2/app/manifests/v1", "If-None-Match: \"$IMAGE\"", ""},
		{"HEAD", "/v2/app/manifests/$IMAGE", "Range: bytes=0-", ""},
		{"PUT", "/v2/app/manifests/v2", "Content-Type: application/vnd.oci.image.manifest.v1+json; charset=utf-8\nIf-None-Match: *", image},
		{"PUT", "/v2/app/manifests/v2", "Content-Type: application/vnd.oci.image.index.v1+json\nIf-Match: W/\"x\", \"$IMAGE\"", `{"schemaVersion":2,"manifests":[{"digest":"$IMAGE","size":1}]}`},
		{"PUT", "/v2/app/manifests/$NEW?tag=a&tag=b", "Content-Type: application/vnd.oci.image.manifest.v1+json", image},
		{"PUT", "/v2/app/manifests/v3", "Content-Type: application/vnd.oci.image.manifest.v1+json", strings.Replace(image, `"layers"`, `"subject":{"digest":"$SUBJECT","size":1},"annotations":{"a":"b"},"layers"`, 1)},
		{"PUT", "/v2/app/manifests/v3", "", `{"schemaVersion":1}`},
		{"PUT", "/v2/app/manifests/v3", "Transfer-Encoding: chunked", `{"mediaType":"a/b"}`},
		{"DELETE", "/v2/app/manifests/v1", "", ""},
		{"DELETE", "/v2/app/manifests/$IMAGE", "", ""},
		{"GET", "/v2/app/referrers/$SUBJECT?artifactType=a/b&n=1", "", ""},
		{"GET", "/v2/app/referrers/$SUBJECT?last=$IMAGE", "", ""},
		{"GET", "/v2/app/blobs/$BLOB", "Range: bytes=1-2,4-", ""},
		{"GET", "/v2/app/blobs/$BLOB", "Range: bytes=-3\nIf-Range: \"$BLOB\"", ""},
		{"HEAD", "/v2/app/blobs/$BLOB", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", ""},
		{"DELETE", "/v2/app/blobs/$BLOB", "", ""},
		{"POST", "/v2/app/blobs/uploads/", "", ""},
		{"POST", "/v2/app/blobs/uploads/?digest=$NEW", "", "content"},
		{"POST", "/v2/new/blobs/uploads/?mount=$BLOB&from=app", "", ""},
		{"POST", "/v2/new/blobs/uploads?digest-algorithm=sha512", "", ""},
		{"PATCH", "/v2/app/blobs/uploads/$UPLOAD", "Content-Range: 3-9", "content"},
		{"PATCH", "/v2/app/blobs/uploads/$UPLOAD", "Transfer-Encoding: chunked\nContent-Range: 3-9223372036854775807", "content"},
		{"PUT", "/v2/app/blobs/uploads/$UPLOAD?digest=$NEW", "", "content"},
		{"GET", "/v2/app/blobs/uploads/$UPLOAD", "", ""},
		{"DELETE", "/v2/app/blobs/uploads/$UPLOAD", "", ""},
		{"OPTIONS", "*", "", ""},
		{"PUT", "/v2/app/manifests/$NEW", "", `{"mediaType":"a\u0000b/c"}`},
		{"PUT", "/v2/app/manifests/$NEW", "Content-Type: APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON", `{"schemaVersion":2,"manifests":[{"digest":"$BLOB","size":1}]}`},
		{"PUT", "/v2/app/manifests/$NEW", "Content-Type: application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[],"subject":{"digest":"blake3:$BLOB","size":1},"subject":{}}`},
		{"GET", "/v2/app/referrers/multihash+base58:QmRZ?artifactType=a/b+c", "", ""},
		{"GET", "/v2/app/manifests/v1?ns=%00", "If-Match: \"x\"\nIf-Match: \"$IMAGE\"", ""},
		{"GET", "/v2/app/tags/list?n=%zz;n=1", "", ""},
		{"DELETE", "/v2/app/manifests/v1", "If-Match: \"$IMAGE\"", ""},
		{"PUT", "/v2/app/blobs/uploads/$UPLOAD?digest=$NEW", "Content-Range: 3-2", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], uint8(0))
		f.Add(seed[0], seed[1], seed[2], seed[3], uint8(0xff))
	}
	f.Fuzz(func(t *testing.T, method, target, header, body string, options uint8) {
		var failed error
		opts := []registry.Option{registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { failed = e.Err })), registry.WithManifestLimit(10_000)}
		for i, o := range []registry.Option{
			registry.WithPageSize(1), registry.WithMinChunk(4), registry.WithSparseManifests(), registry.WithAnyManifest(), registry.Without(registry.AnonymousMount),
			registry.Without(registry.ListReferrers, registry.DeleteTag, registry.PostBlob, registry.MountBlob),
			registry.Without(registry.BlobIsolation, registry.SchemaVersion, registry.RelativeLocations),
		} {
			if options&(1<<i) != 0 {
				opts = append(opts, o)
			}
		}
		store := memstore.New()
		full := &registryTest{t, registry.New(store), store}
		h := full.over(opts...)
		subject := full.pushImage("app", "")
		manifest := full.pushImage("app", "v1", subjectOf(subject))
		location := h.start("app")
		h.want(202, h.chunk(location, 0, "abc"))
		names := strings.NewReplacer("$BLOB", string(sum("layer")), "$IMAGE", string(sum(manifest)), "$SUBJECT", string(sum(subject)),
			"$UPLOAD", location[strings.LastIndex(location, "/")+1:])
		body = names.Replace(body)
		target = names.Replace(strings.ReplaceAll(target, "$NEW", string(sum(body))))

		for range 2 {
			path, query, _ := strings.Cut(target, "?")
			r := httptest.NewRequest("GET", "/", strings.NewReader(body))
			r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
			for line := range strings.Lines(names.Replace(header)) {
				k, v, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
				r.Header.Add(k, strings.TrimSpace(v))
			}
			if r.Header.Get("Transfer-Encoding") == "chunked" {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)

			require.Less(t, w.Code, 500, w.Body)
			require.GreaterOrEqual(t, w.Code, 200)
			require.NoError(t, failed)
			for name, values := range w.Header() {
				for _, v := range values {
					require.NotContains(t, v, "\x00", name)
					require.NotContains(t, v, "\n", name)
				}
			}
			if method == "HEAD" {
				require.Zero(t, w.Body.Len())
			} else if w.Code >= 400 {
				var told struct {
					Errors []struct{ Code, Message string }
				}
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &told), w.Body)
				require.NotEmpty(t, told.Errors)
				for _, e := range told.Errors {
					require.NotEqual(t, 500, registry.Code(e.Code).Status(), "%q is a code of the spec", e.Code)
				}
			}
			if w.Code == http.StatusCreated && method == "PUT" || w.Code == http.StatusCreated && method == "POST" {
				full.want(200, full.call("GET", w.Header().Get("Location"), ""))
			}
		}
		full.wantConsistent()
	})
}

// wantConsistent fails the test unless each tagged manifest and each of its
// referrers can be pulled. A tagged manifest must have the right digest, and a
// referrer the size and media type that the list of referrers states.
func (t *registryTest) wantConsistent() {
	t.Helper()
	for _, repo := range slices.Concat(t.names("/v2/_catalog", "repositories")...) {
		for _, tag := range slices.Concat(t.names("/v2/"+repo+"/tags/list", "tags")...) {
			a := t.want(200, t.call("GET", "/v2/"+repo+"/manifests/"+tag, ""))
			require.Equal(t, string(sum(a.Body.Bytes())), a.Header().Get("Docker-Content-Digest"))
			byDigest := t.wantPulled("/v2/"+repo+"/manifests/"+a.Header().Get("Docker-Content-Digest"), a.Body.String())
			require.Equal(t, a.Header().Get("Content-Type"), byDigest.Header().Get("Content-Type"))
			for _, d := range slices.Concat(t.referrers(repo, sum(a.Body.Bytes()), "")...) {
				r := t.want(200, t.call("GET", "/v2/"+repo+"/manifests/"+string(d.Digest), ""))
				require.EqualValues(t, d.Size, r.Body.Len())
				require.Equal(t, d.MediaType, r.Header().Get("Content-Type"))
			}
		}
	}
}
