package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// brokenBlobPushes returns registries that violate requirements of blob pushes.
func brokenBlobPushes() []broken {
	return []broken{
		{"sha512 is unsupported", when(func(r *http.Request) bool { return r.URL.Query().Get("digest-algorithm") == "sha512" }, respond(400)),
			[]string{"digest algorithm other than sha256"}},
		{"upload has a number", sessionNumbers(), []string{"upload has a UUID"}},
		{"pushed blob has no Location", without("Location", "PUT", "/blobs/"),
			[]string{"upload ends with 201 and the Location of the blob", "upload in chunks ends with 201 and the Location of the blob"}},
		{"wrong digest is accepted", trustingUploads(), []string{"blob that does not match its digest is refused", "invalid digest is 400",
			"single POST that does not match its digest is refused"}},
		{"wrong digest is 500", statusOf("PUT", "/blobs/", 400, 500), []string{"blob that does not match its digest is refused", "invalid digest is 400"}},
		{"unknown algorithm is accepted", request(func(r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "digest-algorithm=md4") {
				r.URL.RawQuery = ""
			}
		}), []string{"unsupported algorithm is 400"}},
		{"chunks have no Range", without("Range", "PATCH", "/"), []string{"chunk is 202 with Location and Range", "chunk without Content-Range is appended"}},
		{"Range of a chunk is one too far", edit("PATCH", "/", func(rec *httptest.ResponseRecorder) {
			if end, err := strconv.Atoi(strings.TrimPrefix(rec.Header().Get("Range"), "0-")); err == nil {
				rec.Header().Set("Range", "0-"+strconv.Itoa(end+1))
			}
		}), []string{"chunk is 202 with Location and Range", "chunk without Content-Range is appended"}},
		{"chunk is 204", statusOf("PATCH", "/", 202, 204), []string{"chunk is 202 with Location and Range", "upload in chunks ends with 201 and the Location of the blob",
			"minimum chunk size is announced", "chunk out of order is 416", "upload continues after a chunk out of order", "final chunk out of order is 416",
			"status of an upload is 204 with Location and Range", "chunk without Content-Range is appended", "cancelling an upload is 204",
			"cancelled upload is unknown", "finished upload is unknown",
			"chunk out of order is 416 whatever its length"}},
		{"chunk out of order is 400", statusOf("PATCH", "/", 416, 400), []string{"chunk out of order is 416", "upload continues after a chunk out of order",
			"chunk out of order is 416 whatever its length", "invalid Content-Range is 416"}},
		{"chunks are accepted in any order", request(func(r *http.Request) {
			if r.Method == "PATCH" {
				r.Header.Del("Content-Range")
			}
		}), []string{"chunk out of order is 416", "upload continues after a chunk out of order",
			"chunk out of order is 416 whatever its length", "invalid Content-Range is 416"}},
		{"final chunk is accepted in any order", request(func(r *http.Request) {
			if r.Method == "PUT" {
				r.Header.Del("Content-Range")
			}
		}), []string{"final chunk out of order is 416"}},
		{"upload has no status", status("GET", "/blobs/uploads/", 405), []string{"status of an upload is 204 with Location and Range",
			"upload continues after a chunk out of order", "cancelled upload is unknown", "finished upload is unknown"}},
		{"status of an upload has no Range", without("Range", "GET", "/blobs/uploads/"),
			[]string{"status of an upload is 204 with Location and Range", "upload continues after a chunk out of order"}},
		{"minimum chunk size is not announced", without("OCI-Chunk-Min-Length", "POST", "/", registry.WithMinChunk(101)), []string{"chunk is 202 with Location and Range",
			"minimum chunk size is announced", "upload in chunks ends with 201 and the Location of the blob", "status of an upload is 204 with Location and Range",
			"upload continues after a chunk out of order"}},
		{"chunk of the wrong length is 400", when(func(r *http.Request) bool {
			first, last, ok := field.ChunkRange(r.Header.Get("Content-Range"))
			return r.Method == "PATCH" && ok && last-first+1 != r.ContentLength
		}, respond(400)), []string{"chunk out of order is 416 whatever its length", "invalid Content-Range is 416"}},
		{"invalid Content-Range is 400", when(func(r *http.Request) bool {
			text := r.Header.Get("Content-Range")
			_, _, ok := field.ChunkRange(text)
			return r.Method == "PATCH" && text != "" && !ok
		}, respond(400)), []string{"invalid Content-Range is 416"}},
		{"mount of an invalid digest is 400", when(func(r *http.Request) bool {
			_, err := digest.Parse(r.URL.Query().Get("mount"))
			return r.URL.Query().Has("mount") && err != nil
		}, respond(400)), []string{"mount of an invalid digest starts an upload"}},
		{"cancelling is 202", statusOf("DELETE", "/blobs/uploads/", 204, 202), []string{"cancelling an upload is 204"}},
		{"cancelling does nothing", when(path("DELETE", "/blobs/uploads/"), respond(204)), []string{"cancelled upload is unknown"}},
		{"mount is 202", without("", "", "", registry.Without(registry.MountBlob)), []string{"mount is 201 with the Location of the blob", "anonymous mount finds the blob"}},
		{"mount of an absent blob is 201", when(func(r *http.Request) bool { return r.URL.Query().Has("mount") }, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			w.Header().Set("Location", strings.Replace(r.URL.Path, "uploads/", r.URL.Query().Get("mount"), 1))
			w.WriteHeader(201)
		}), []string{"mount is 201 with the Location of the blob", "anonymous mount finds the blob", "mount of an absent blob starts an upload",
			"mount of an invalid digest starts an upload"}},
		{"mount of an absent blob is 404", when(func(r *http.Request) bool { return r.URL.Query().Has("mount") }, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if rec := record(h, r); rec.Code == 201 {
				replay(w, rec)
			} else {
				w.WriteHeader(404)
			}
		}), []string{"mount of an absent blob starts an upload",
			"mount of an invalid digest starts an upload"}},
	}
}

// sessionNumbers returns a registry whose upload locations have numbers instead
// of random IDs.
func sessionNumbers() http.Handler {
	var mu sync.Mutex
	var sessions []string
	return when(path("", "/blobs/uploads/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		mu.Lock()
		defer mu.Unlock()
		at := strings.LastIndex(r.URL.Path, "/") + 1
		if n, err := strconv.Atoi(r.URL.Path[at:]); err == nil {
			r = redirected(r, r.URL.Path[:at]+sessions[n])
		}
		rec := record(h, r)
		if location := rec.Header().Get("Location"); strings.Contains(location, "/uploads/") {
			at := strings.LastIndex(location, "/") + 1
			n := slices.Index(sessions, location[at:])
			if n < 0 {
				n = len(sessions)
				sessions = append(sessions, location[at:])
			}
			rec.Header().Set("Location", location[:at]+strconv.Itoa(n))
		}
		replay(w, rec)
	})
}

// trustingUploads returns a registry that does not verify the digest of a blob
// that is sent in one request.
func trustingUploads() http.Handler {
	return request(func(r *http.Request) {
		q := r.URL.Query()
		if !q.Has("digest") || r.Header.Get("Content-Range") != "" || r.ContentLength <= 0 {
			return
		}
		content := body(r)
		if d, err := digest.Parse(q.Get("digest")); err != nil || d.Algorithm().FromBytes(content) != d {
			q.Set("digest", string(digest.FromBytes(content)))
			r.URL.RawQuery = q.Encode()
		}
	})
}
