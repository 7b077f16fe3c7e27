package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// brokenPulls returns registries that violate requirements of pulls.
func brokenPulls() []broken {
	return []broken{
		{"manifests are 203", statusOf("GET", "/manifests/", 200, 203), []string{"manifest by tag and by digest",
			"Content-Type of a manifest has no parameters", "manifest has Docker-Content-Digest", "manifest keeps its Content-Type",
			"HEAD has the header fields of GET"}},
		{"manifests have no Docker-Content-Digest", without("Docker-Content-Digest", "GET", "/manifests/"),
			[]string{"manifest has Docker-Content-Digest",
				"HEAD has the header fields of GET"}},
		{"blobs have no Docker-Content-Digest", without("Docker-Content-Digest", "GET", "/blobs/sha256:"),
			[]string{"blob has Docker-Content-Digest",
				"HEAD has the header fields of GET"}},
		{"HEAD has no Docker-Content-Digest", without("Docker-Content-Digest", "HEAD", "/"),
			[]string{"HEAD has Docker-Content-Digest",
				"HEAD has the header fields of GET"}},
		{"Docker-Content-Digest of a blob is wrong", header("GET", "/blobs/sha256:", "Docker-Content-Digest", string(digest.FromString("wrong"))),
			[]string{"blob has Docker-Content-Digest", "Docker-Content-Digest of a blob matches its content",
				"HEAD has the header fields of GET"}},
		{"Docker-Content-Digest of a pushed manifest is wrong", header("PUT", "/manifests/", "Docker-Content-Digest", string(digest.FromString("wrong"))),
			[]string{"pushed manifest has its digest in Docker-Content-Digest", "manifest by a digest other than sha256"}},
		{"HEAD has no Content-Length", without("Content-Length", "HEAD", "/"), []string{"HEAD has Content-Length"}},
		{"HEAD is not allowed", status("HEAD", "/", 405),
			[]string{"HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD of existing content is 200", "HEAD of absent content is 404",
				"absent repository is 404", "blob of another repository is 404", "deleted blob is 404", "deleted manifest and its tags are 404", "conditional GET of current content is 304",
				"Content-Type of a manifest has no parameters", "manifest keeps its Content-Type",
				"HEAD has the header fields of GET", "content of an unknown digest algorithm is 404"}},
		{"Content-Type of a manifest is JSON", header("GET", "/manifests/", "Content-Type", "application/json"),
			[]string{"manifest keeps its Content-Type", "parameters of the Content-Type are ignored",
				"HEAD has the header fields of GET", "media types are case-insensitive", "tag keeps its Content-Type when the manifest is pushed again"}},
		{"Content-Type of a manifest has a charset", edit("", "/manifests/", func(rec *httptest.ResponseRecorder) {
			rec.Header().Set("Content-Type", rec.Header().Get("Content-Type")+"; charset=utf-8")
		}), []string{"Content-Type of a manifest has no parameters", "parameters of the Content-Type are ignored"}},
		{"manifests are formatted", edit("GET", "/manifests/", func(rec *httptest.ResponseRecorder) {
			var text bytes.Buffer
			if json.Compact(&text, rec.Body.Bytes()) == nil {
				rec.Body = &text
			}
			rec.Header().Del("Content-Length")
		}), []string{"manifest is kept byte by byte"}},
		{"blobs end early", edit("GET", "/blobs/sha256:", func(rec *httptest.ResponseRecorder) {
			if rec.Body.Len() > 100 && rec.Code == 200 {
				rec.Body.Truncate(rec.Body.Len() - 1)
			}
			rec.Header().Del("Content-Length")
		}), []string{"Docker-Content-Digest of a blob matches its content", "anonymous mount finds the blob", "blob by digest", "blob may be pushed again",
			"mount is 201 with the Location of the blob", "single POST ends with 201 and the Location of the blob", "unknown range unit is ignored",
			"upload ends with 201 and the Location of the blob", "each upload has its own session", "upload in chunks ends with 201 and the Location of the blob",
			"upload continues after a chunk out of order", "chunk without Content-Range is appended",
			"HEAD has the Content-Length of GET"}},
		{"blobs are manifests", blobsAsManifests(), []string{"blob in an index is no manifest"}},
		{"last Content-Type counts", lastContentType(), []string{"tag keeps its Content-Type when the manifest is pushed again"}},
		{"blobs are in every repository", sharedBlobs(), []string{"blob of another repository is 404", "deleted blob is 404"}},
		{"last zero bytes are all bytes", request(func(r *http.Request) {
			if strings.HasPrefix(r.Header.Get("Range"), "bytes=-0") {
				r.Header.Del("Range")
			}
		}), []string{"range of zero bytes is 416"}},
		{"last zero bytes are 206", when(func(r *http.Request) bool { return r.Header.Get("Range") == "bytes=-00" }, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Range", "bytes 1000-999/1000")
			w.WriteHeader(206)
		}), []string{"range of zero bytes is 416", "Content-Range of a 206 is true"}},
		{"Content-Length of an error is longer for HEAD", edit("HEAD", "/", func(rec *httptest.ResponseRecorder) {
			if rec.Code >= 400 {
				rec.Header().Set("Content-Length", "1000")
			}
		}), []string{"HEAD has the Content-Length of GET"}},
		{"HEAD has no ETag", without("ETag", "HEAD", "/"), []string{"HEAD has the header fields of GET"}},
		{"content of unknown digest algorithms is 400", statusOf("", "blake3:", 404, 400), []string{"content of an unknown digest algorithm is 404"}},
		{"ranges are ignored", request(func(r *http.Request) { r.Header.Del("Range") }), []string{"one range of a blob is 206", "range beyond the end of a blob is 416",
			"range of zero bytes is 416"}},
		{"end of a range is ignored", request(func(r *http.Request) {
			if s := r.Header.Get("Range"); strings.HasPrefix(s, "bytes=5-") {
				r.Header.Set("Range", "bytes=5-")
			}
		}), []string{"one range of a blob is 206"}},
		{"suffix ranges are unknown", when(func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Range"), "bytes=-") },
			respond(416)), []string{"one range of a blob is 206"}},
		{"first of two ranges is enough", request(func(r *http.Request) {
			first, _, _ := strings.Cut(r.Header.Get("Range"), ",")
			r.Header.Set("Range", first)
		}), []string{"two ranges of a blob are 206 or 200"}},
		{"ranges beyond the end are empty", when(func(r *http.Request) bool { return r.Header.Get("Range") == "bytes=1000-" }, respond(206)),
			[]string{"range beyond the end of a blob is 416"}},
		{"absent manifests are 400", statusOf("GET", "/manifests/", 404, 400),
			[]string{"absent manifest is 404", "absent repository is 404", "deleted manifest and its tags are 404", "deleted tag is 404", "manifest that does not match its digest is refused",
				"HEAD has the header fields of GET", "content of an unknown digest algorithm is 404"}},
		{"absent blobs are 403", statusOf("GET", "/blobs/sha256:", 404, 403),
			[]string{"absent blob is 404", "blob of another repository is 404", "absent repository is 404", "deleted blob is 404",
				"HEAD has the header fields of GET"}},
		{"absent repositories have an empty list of tags", when(path("GET", "/tags/list"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			rec := record(h, r)
			if rec.Code == 404 {
				rec = httptest.NewRecorder()
				fmt.Fprintf(rec, `{"name":%q,"tags":[]}`, strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/"), "/tags/list"))
			}
			replay(w, rec)
		}), []string{"absent repository is 404"}},
	}
}

// sharedBlobs returns a registry that serves a blob of one repository in all
// others.
func sharedBlobs() http.Handler {
	return when(func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/blobs/sha256:") && (r.Method == "GET" || r.Method == "HEAD")
	}, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		rec := record(h, r)
		var catalog struct{ Repositories []string }
		json.Unmarshal(record(h, httptest.NewRequest("GET", "/v2/_catalog", nil)).Body.Bytes(), &catalog)
		for _, from := range catalog.Repositories {
			if rec.Code != 404 {
				break
			}
			rec = record(h, redirected(r, "/v2/"+from+r.URL.Path[strings.LastIndex(r.URL.Path, "/blobs/"):]))
		}
		replay(w, rec)
	})
}

// blobsAsManifests returns a registry that also serves blobs at the URLs of
// manifests.
func blobsAsManifests() http.Handler {
	return when(path("", "/manifests/sha256:"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		rec := record(h, r)
		if rec.Code == 404 && r.Method != "DELETE" {
			rec = record(h, redirected(r, strings.Replace(r.URL.Path, "/manifests/", "/blobs/", 1)))
		}
		replay(w, rec)
	})
}

// lastContentType returns a registry that serves a manifest, under all its tags, with
// the Content-Type of its last push, if that is one of Docker's types.
func lastContentType() http.Handler {
	var types sync.Map
	return when(path("", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		if r.Method == "PUT" {
			types.Store(digest.FromBytes(body(r)).String(), r.Header.Get("Content-Type"))
		}
		rec := record(h, r)
		if mediaType, ok := types.Load(rec.Header().Get("Docker-Content-Digest")); ok && rec.Code == 200 && strings.Contains(mediaType.(string), "docker") {
			rec.Header().Set("Content-Type", mediaType.(string))
		}
		replay(w, rec)
	})
}
