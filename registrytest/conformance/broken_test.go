package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// Each of these registries is broken in one way, and found out by the
// requirements that it does not meet, and by none of the others.
func TestBrokenRegistriesAreFoundOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		broken http.Handler
		found  []string
	}{
		{"base endpoint is missing", status("GET", "/v2/", 404), []string{"base endpoint is 200"}},
		{"manifests have no Docker-Content-Digest", without("Docker-Content-Digest", "GET", "/manifests/"),
			[]string{"manifest has Docker-Content-Digest"}},
		{"blobs have no Docker-Content-Digest", without("Docker-Content-Digest", "GET", "/blobs/sha256:"),
			[]string{"blob has Docker-Content-Digest"}},
		{"HEAD has no Docker-Content-Digest", without("Docker-Content-Digest", "HEAD", "/"),
			[]string{"HEAD has Docker-Content-Digest"}},
		{"Docker-Content-Digest of a blob is wrong", header("GET", "/blobs/sha256:", "Docker-Content-Digest", string(digest.FromString("wrong"))),
			[]string{"blob has Docker-Content-Digest", "Docker-Content-Digest of a blob matches its content"}},
		{"Docker-Content-Digest of a pushed manifest is wrong", header("PUT", "/manifests/", "Docker-Content-Digest", string(digest.FromString("wrong"))),
			[]string{"pushed manifest has its digest in Docker-Content-Digest", "manifest by a digest other than sha256"}},
		{"HEAD has no Content-Length", without("Content-Length", "HEAD", "/"), []string{"HEAD has Content-Length"}},
		{"HEAD is not allowed", status("HEAD", "/", 405),
			[]string{"HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD of existing content is 200", "HEAD of absent content is 404",
				"absent repository is 404", "blob of another repository is 404", "deleted blob is 404", "deleted manifest and its tags are 404", "conditional GET of current content is 304",
				"Content-Type of a manifest has no parameters", "manifest keeps its Content-Type"}},
		{"Content-Type of a manifest is JSON", header("GET", "/manifests/", "Content-Type", "application/json"),
			[]string{"manifest keeps its Content-Type", "parameters of the Content-Type are ignored"}},
		{"Content-Type of a manifest has a charset", edit("", "/manifests/", func(a *httptest.ResponseRecorder) {
			a.Header().Set("Content-Type", a.Header().Get("Content-Type")+"; charset=utf-8")
		}), []string{"Content-Type of a manifest has no parameters", "parameters of the Content-Type are ignored"}},
		{"manifests are formatted", edit("GET", "/manifests/", func(a *httptest.ResponseRecorder) {
			var text bytes.Buffer
			if json.Compact(&text, a.Body.Bytes()) == nil {
				a.Body = &text
			}
			a.Header().Del("Content-Length")
		}), []string{"manifest is kept byte by byte"}},
		{"blobs end early", edit("GET", "/blobs/sha256:", func(a *httptest.ResponseRecorder) {
			if a.Body.Len() > 100 && a.Code == 200 {
				a.Body.Truncate(a.Body.Len() - 1)
			}
			a.Header().Del("Content-Length")
		}), []string{"Docker-Content-Digest of a blob matches its content", "anonymous mount finds the blob", "blob by digest", "blob may be pushed again",
			"mount is 201 with the Location of the blob", "single POST ends with 201 and the Location of the blob", "unknown range unit is ignored",
			"upload ends with 201 and the Location of the blob", "each upload has its own session", "upload in chunks ends with 201 and the Location of the blob",
			"upload continues after a chunk out of order", "chunk without Content-Range is appended"}},
		{"blobs are in every repository", sharedBlobs(), []string{"blob of another repository is 404", "deleted blob is 404"}},
		{"ranges are ignored", request(func(r *http.Request) { r.Header.Del("Range") }), []string{"one range of a blob is 206", "range beyond the end of a blob is 416"}},
		{"end of a range is ignored", request(func(r *http.Request) {
			if s := r.Header.Get("Range"); strings.HasPrefix(s, "bytes=5-") {
				r.Header.Set("Range", "bytes=5-")
			}
		}), []string{"one range of a blob is 206"}},
		{"suffix ranges are not known", when(func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Range"), "bytes=-") },
			answerStatus(416)), []string{"one range of a blob is 206"}},
		{"first of two ranges is enough", request(func(r *http.Request) {
			first, _, _ := strings.Cut(r.Header.Get("Range"), ",")
			r.Header.Set("Range", first)
		}), []string{"two ranges of a blob are 206 or 200"}},
		{"ranges beyond the end are empty", when(func(r *http.Request) bool { return r.Header.Get("Range") == "bytes=1000-" }, answerStatus(206)),
			[]string{"range beyond the end of a blob is 416"}},
		{"absent manifests are 400", statusOf("GET", "/manifests/", 404, 400),
			[]string{"absent manifest is 404", "absent repository is 404", "deleted manifest and its tags are 404", "deleted tag is 404", "manifest that does not match its digest is refused"}},
		{"absent blobs are 403", statusOf("GET", "/blobs/sha256:", 404, 403),
			[]string{"absent blob is 404", "blob of another repository is 404", "absent repository is 404", "deleted blob is 404"}},
		{"absent repositories have no tags", when(path("GET", "/tags/list"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			a := record(h, r)
			if a.Code == 404 {
				a = httptest.NewRecorder()
				fmt.Fprintf(a, `{"name":%q,"tags":[]}`, strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/"), "/tags/list"))
			}
			replay(w, a)
		}), []string{"absent repository is 404"}},

		{"upload has a number", sessionNumbers(), []string{"upload has a UUID"}},
		{"pushed blob has no Location", without("Location", "PUT", "/blobs/"),
			[]string{"upload ends with 201 and the Location of the blob", "upload in chunks ends with 201 and the Location of the blob"}},
		{"pushed manifest has no Location", without("Location", "PUT", "/manifests/"), []string{"manifest is 201 with the Location of the manifest"}},
		{"wrong digest is taken", trustingUploads(), []string{"blob that does not match its digest is refused", "invalid digest is 400",
			"single POST that does not match its digest is refused"}},
		{"wrong digest of a manifest is taken", trustingManifests(), []string{"manifest that does not match its digest is refused"}},
		{"wrong digest is 500", statusOf("PUT", "/blobs/", 400, 500), []string{"blob that does not match its digest is refused", "invalid digest is 400"}},
		{"unknown algorithm is taken", request(func(r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "digest-algorithm=md4") {
				r.URL.RawQuery = ""
			}
		}), []string{"unsupported algorithm is 400"}},
		{"chunks have no Range", without("Range", "PATCH", "/"), []string{"chunk is 202 with Location and Range", "chunk without Content-Range is appended"}},
		{"Range of a chunk is one too far", edit("PATCH", "/", func(a *httptest.ResponseRecorder) {
			if end, err := strconv.Atoi(strings.TrimPrefix(a.Header().Get("Range"), "0-")); err == nil {
				a.Header().Set("Range", "0-"+strconv.Itoa(end+1))
			}
		}), []string{"chunk is 202 with Location and Range", "chunk without Content-Range is appended"}},
		{"chunk is 204", statusOf("PATCH", "/", 202, 204), []string{"chunk is 202 with Location and Range", "upload in chunks ends with 201 and the Location of the blob",
			"minimum chunk size is announced", "chunk out of order is 416", "upload continues after a chunk out of order", "final chunk out of order is 416",
			"status of an upload is 204 with Location and Range", "chunk without Content-Range is appended", "cancelling an upload is 204",
			"cancelled upload is unknown", "finished upload is unknown"}},
		{"chunk out of order is 400", statusOf("PATCH", "/", 416, 400), []string{"chunk out of order is 416", "upload continues after a chunk out of order"}},
		{"chunks are taken in any order", request(func(r *http.Request) {
			if r.Method == "PATCH" {
				r.Header.Del("Content-Range")
			}
		}), []string{"chunk out of order is 416", "upload continues after a chunk out of order"}},
		{"final chunk is taken in any order", request(func(r *http.Request) {
			if r.Method == "PUT" {
				r.Header.Del("Content-Range")
			}
		}), []string{"final chunk out of order is 416"}},
		{"upload has no status", status("GET", "/blobs/uploads/", 405), []string{"status of an upload is 204 with Location and Range",
			"upload continues after a chunk out of order", "cancelled upload is unknown", "finished upload is unknown"}},
		{"status of an upload does not tell how far", without("Range", "GET", "/blobs/uploads/"),
			[]string{"status of an upload is 204 with Location and Range", "upload continues after a chunk out of order"}},
		{"minimum of chunks is a secret", without("OCI-Chunk-Min-Length", "POST", "/", registry.WithMinChunk(101)), []string{"chunk is 202 with Location and Range",
			"minimum chunk size is announced", "upload in chunks ends with 201 and the Location of the blob", "status of an upload is 204 with Location and Range",
			"upload continues after a chunk out of order"}},
		{"cancelling is 202", statusOf("DELETE", "/blobs/uploads/", 204, 202), []string{"cancelling an upload is 204"}},
		{"cancelling does nothing", when(path("DELETE", "/blobs/uploads/"), answerStatus(204)), []string{"cancelled upload is unknown"}},
		{"mount is 202", without("", "", "", registry.Without(registry.MountBlob)), []string{"mount is 201 with the Location of the blob", "anonymous mount finds the blob"}},
		{"mount says it has what it has not", when(func(r *http.Request) bool { return r.URL.Query().Has("mount") }, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			w.Header().Set("Location", strings.Replace(r.URL.Path, "uploads/", r.URL.Query().Get("mount"), 1))
			w.WriteHeader(201)
		}), []string{"mount is 201 with the Location of the blob", "anonymous mount finds the blob", "mount of an absent blob starts an upload"}},
		{"mount of an absent blob is 404", when(func(r *http.Request) bool { return r.URL.Query().Has("mount") }, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if a := record(h, r); a.Code == 201 {
				replay(w, a)
			} else {
				w.WriteHeader(404)
			}
		}), []string{"mount of an absent blob starts an upload"}},

		{"missing blobs are not named", edit("PUT", "/manifests/", func(a *httptest.ResponseRecorder) {
			a.Body = bytes.NewBufferString(strings.ReplaceAll(a.Body.String(), "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"))
			a.Header().Del("Content-Length")
		}), []string{"manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN"}},
		{"subject has to be there", subjectsFirst(), []string{"manifest of a missing subject is accepted", "subject is confirmed by OCI-Subject",
			"referrers are of the digest and the repository", "referrer has the artifactType of its manifest",
			"referrer without artifactType has the media type of its config", "referring index without artifactType has none",
			"referrer has the annotations of its manifest", "referrers can be filtered", "applied filter is confirmed by OCI-Filters-Applied", "deleted referrer is not listed"}},
		{"subject is not confirmed", without("OCI-Subject", "PUT", "/"), []string{"subject is confirmed by OCI-Subject"}},
		{"tags in parameters are not confirmed", without("OCI-Tag", "PUT", "/"), []string{"tags in parameters are confirmed by OCI-Tag", "ten tags in parameters"}},
		{"five tags are enough", request(func(r *http.Request) {
			if q := r.URL.Query(); len(q["tag"]) > 5 {
				q["tag"] = q["tag"][:5]
				r.URL.RawQuery = q.Encode()
			}
		}), []string{"ten tags in parameters"}},
		{"conditions are ignored", request(func(r *http.Request) {
			if r.Method == "PUT" {
				r.Header.Del("If-None-Match")
				r.Header.Del("If-Match")
			}
		}), []string{"If-Match and If-None-Match guard a tag"}},
		{"manifests have no ETag", without("ETag", "GET", "/manifests/"), []string{"If-Match and If-None-Match guard a tag", "conditional GET of current content is 304"}},
		{"tags stay where they are", tagsStay(), []string{"tag moves to the last manifest pushed", "If-Match and If-None-Match guard a tag"}},
		{"any tag will do", accepting("PUT", "/manifests/", 201), []string{"tag syntax is enforced"}},
		{"any name will do", accepting("POST", "/blobs/uploads/", 202), []string{"repository name syntax is enforced"}},

		{"tags are unsorted", tagList(func(tags []string, _ http.Header) []string {
			slices.Reverse(tags)
			return tags
		}), []string{"tags are in order", "pages of tags are in order", "n tags are listed", "Link leads to the next tags", "tags after last are listed", "last works without n"}},
		{"nothing: the spec allows tags to be in lexical order", tagList(func(tags []string, _ http.Header) []string {
			if len(tags) > 2 {
				slices.SortFunc(tags, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
			}
			return tags
		}), nil},
		{"n is ignored", query("n"), []string{"n tags are listed", "n=0 lists no tags", "Link leads to the next tags", "tags after last are listed"}},
		{"n=0 is everything", request(func(r *http.Request) {
			if r.URL.RawQuery == "n=0" {
				r.URL.RawQuery = ""
			}
		}), []string{"n=0 lists no tags"}},
		{"last is ignored", query("last"), []string{"Link leads to the next tags", "tags after last are listed", "last works without n",
			"pages of tags are in order", "Link leads to the next repositories"}},
		{"last is listed again", lastAgain(), []string{"Link leads to the next tags", "tags after last are listed", "last works without n", "pages of tags are in order"}},
		{"pages are short and have no Link", tagList(func(tags []string, h http.Header) []string {
			h.Del("Link")
			return tags[:len(tags)/2]
		}), []string{"n tags are listed", "tags after last are listed", "tags are in order", "last works without n", "list of tags has the repository name", "pages of tags are in order"}},
		{"Link has no relation", edit("GET", "/tags/list", func(a *httptest.ResponseRecorder) {
			if link := a.Header().Get("Link"); link != "" {
				a.Header().Set("Link", strings.TrimSuffix(link, `; rel="next"`))
			}
		}), []string{"Link leads to the next tags"}},
		{"Link leads to the same page", edit("GET", "/tags/list", func(a *httptest.ResponseRecorder) {
			if link := a.Header().Get("Link"); link != "" {
				a.Header().Set("Link", strings.ReplaceAll(link, "last=", "first="))
			}
		}), []string{"Link leads to the next tags"}},
		{"tags are not named", edit("GET", "/tags/list", func(a *httptest.ResponseRecorder) {
			a.Body = bytes.NewBufferString(strings.Replace(a.Body.String(), `"name":`, `"title":`, 1))
			a.Header().Del("Content-Length")
		}), []string{"list of tags has the repository name", "tags of a repository without tags are 200", "n=0 lists no tags"}},

		{"referrers are missing", status("GET", "/referrers/", 404), []string{"referrers are 200", "referrers are not 404", "digest without referrers has an empty list",
			"referrers of an invalid digest are 400", "referrers have the Content-Type of an index", "referrers are an index",
			"referrers are of the digest and the repository", "new referrers are listed", "referrer has the artifactType of its manifest",
			"referrer without artifactType has the media type of its config", "referring index without artifactType has none",
			"referrer has the annotations of its manifest", "referrers can be filtered", "applied filter is confirmed by OCI-Filters-Applied", "deleted referrer is not listed"}},
		{"referrers of what is absent are 404", when(path("GET", "/referrers/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if a := record(h, r); strings.Contains(a.Body.String(), `"manifests":[]`) {
				w.WriteHeader(404)
			} else {
				replay(w, a)
			}
		}), []string{"referrers are not 404", "digest without referrers has an empty list",
			"referrers have the Content-Type of an index", "referrers can be filtered"}},
		{"no referrers are null", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) {
			if len(i.Manifests) == 0 {
				i.Manifests = nil
			}
		}), []string{"digest without referrers has an empty list"}},
		{"referrers are plain JSON", header("GET", "/referrers/", "Content-Type", "application/json"), []string{"referrers have the Content-Type of an index"}},
		{"referrers have no schemaVersion", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) { i.SchemaVersion = 0 }), []string{"referrers are an index"}},
		{"invalid digest has no referrers", statusOf("GET", "/referrers/", 400, 404), []string{"referrers of an invalid digest are 400"}},
		{"referrers have no artifactType", eachReferrer(func(d *ocispec.Descriptor) { d.ArtifactType = "" }), []string{"referrer has the artifactType of its manifest",
			"referrer without artifactType has the media type of its config", "applied filter is confirmed by OCI-Filters-Applied"}},
		{"referrers have the artifactType of images", eachReferrer(func(d *ocispec.Descriptor) {
			if d.ArtifactType == "" {
				d.ArtifactType = ocispec.MediaTypeImageConfig
			}
		}), []string{"referring index without artifactType has none"}},
		{"referrers have no annotations", eachReferrer(func(d *ocispec.Descriptor) { d.Annotations = nil }), []string{"referrer has the annotations of its manifest"}},
		{"referrers have the wrong size", eachReferrer(func(d *ocispec.Descriptor) { d.Size++ }), []string{"referrers are of the digest and the repository",
			"new referrers are listed", "referrers can be filtered", "deleted referrer is not listed"}},
		{"only images are referrers", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) {
			i.Manifests = slices.DeleteFunc(i.Manifests, func(d ocispec.Descriptor) bool { return d.MediaType == ocispec.MediaTypeImageIndex })
		}), []string{"referrers are of the digest and the repository", "referrer has the artifactType of its manifest",
			"referring index without artifactType has none", "referrer has the annotations of its manifest"}},
		{"referrers are listed twice", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) {
			i.Manifests = append(i.Manifests, i.Manifests...)
		}),
			[]string{"referrers are of the digest and the repository", "new referrers are listed", "referrers can be filtered",
				"deleted referrer is not listed", "referring index without artifactType has none"}},
		{"filter is ignored", query("artifactType"), []string{"referrers can be filtered"}},
		{"filter is ignored and said to be applied", edit("GET", "/referrers/", func(a *httptest.ResponseRecorder) {
			a.Header().Set("OCI-Filters-Applied", "artifactType")
		}, func(r *http.Request) {
			q := r.URL.Query()
			q.Del("artifactType")
			r.URL.RawQuery = q.Encode()
		}), []string{"referrers can be filtered", "applied filter is confirmed by OCI-Filters-Applied"}},
		{"filter is applied and not told of", without("OCI-Filters-Applied", "GET", "/"), []string{"applied filter is confirmed by OCI-Filters-Applied"}},

		{"deleting is 200", statusOf("DELETE", "/", 202, 200), []string{"deleting a tag is 202", "deleted tag is 404", "manifest stays when its tag is deleted",
			"deleting a manifest is 202", "deleted manifest and its tags are 404", "deleting a blob is 202", "deleted blob is 404", "deleted referrer is not listed"}},
		{"tags survive their manifest", tagsSurvive(), []string{"deleted manifest and its tags are 404"}},
		{"manifest is deleted with its tag", deletesManifest(), []string{"manifest stays when its tag is deleted"}},
		{"tag is not deleted", when(func(r *http.Request) bool {
			return r.Method == "DELETE" && strings.Contains(r.URL.Path, "/manifests/") && !strings.Contains(r.URL.Path, ":")
		}, answerStatus(202)), []string{"deleted tag is 404"}},
		{"blob is not deleted", when(path("DELETE", "/blobs/sha256:"), answerStatus(202)), []string{"deleted blob is 404", "deleting an absent blob is 404"}},
		{"deleting what is absent is 202", statusOf("DELETE", "/", 404, 202), []string{"deleted blob is 404", "deleting an absent blob is 404",
			"deleting a manifest of an absent repository is 404"}},

		{"errors are bare", edit("", "/", func(a *httptest.ResponseRecorder) {
			if a.Code >= 400 && a.Header().Get("Content-Type") == "application/json" {
				a.Body = bytes.NewBufferString(`{"code":"X"}`)
				a.Header().Del("Content-Length")
			}
		}), []string{"errors in JSON have their format", "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN"}},
		{"error codes are small", edit("GET", "/", func(a *httptest.ResponseRecorder) {
			if a.Code >= 400 {
				a.Body = bytes.NewBufferString(`{"errors":[{"code":"not-found"}]}`)
				a.Header().Del("Content-Length")
			}
		}), []string{"error codes are capitals and underscores", "error codes are those of the spec"}},
		{"429 does not say when", when(func(r *http.Request) bool { return r.URL.Path == "/v2/" }, answerStatus(429)), []string{"429 has Retry-After", "base endpoint is 200"}},
		{"warnings are plain", header("", "/", "Warning", "beware"), []string{"warnings have their format"}},
		{"warnings are long", header("", "/", "Warning", `299 - "`+strings.Repeat("x", 4096)+`"`), []string{"warnings are at most 4096 bytes"}},
		{"namespace is not confirmed", without("OCI-Namespace", "GET", "/"), []string{"namespace is confirmed by OCI-Namespace"}},
		{"405 does not say what is allowed", without("Allow", "", "/"), []string{"405 has Allow"}},
		{"catalog is empty", edit("GET", "/v2/_catalog", func(a *httptest.ResponseRecorder) {
			a.Body = bytes.NewBufferString(`{"repositories":[]}`)
			a.Header().Del("Content-Length")
			a.Header().Del("Link")
		}), []string{"catalog lists the repositories", "Link leads to the next repositories"}},
		{"catalog has one page", without("Link", "GET", "/v2/_catalog"), []string{"Link leads to the next repositories"}},
		{"manifests are never too large", without("", "", "", registry.WithManifestLimit(1<<30)), []string{"manifest size is limited", "oversized manifest is 413"}},
		{"too large a manifest is 400", statusOf("PUT", "/manifests/", 413, 400), []string{"oversized manifest is 413"}},
		{"manifests are small", without("", "", "", registry.WithManifestLimit(1<<20)), []string{"manifest of 4 megabytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := directly(tt.broken)
			target.ManifestLimit = 4 << 20
			// What is of other categories than those is left out, to save time.
			categories := map[string]bool{}
			for _, r := range conformance.Requirements() {
				categories[r.Category] = categories[r.Category] || slices.Contains(tt.found, r.Name)
			}
			failures := checkAll(t, target, func(r conformance.Requirement) bool {
				return !slices.Contains(tt.found, r.Name) && (large(r) || !categories[r.Category] && tt.found != nil)
			})
			slices.Sort(tt.found)
			require.Equal(t, tt.found, slices.Sorted(maps.Keys(failures)), "%s", strings.Join(slices.Collect(maps.Values(failures)), "\n"))
		})
	}
}

// good returns a registry that is not broken.
func good(opts ...registry.Option) http.Handler { return registry.New(memstore.New(), opts...) }

// path returns whether a request has the method, or any, and the text in its
// path.
func path(method, text string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.Contains(r.URL.Path, text)
	}
}

// when returns a good registry that serves some requests differently.
func when(is func(*http.Request) bool, serve func(w http.ResponseWriter, r *http.Request, good http.Handler), opts ...registry.Option) http.Handler {
	h := good(opts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if is(r) {
			serve(w, r, h)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// record returns what the handler answers.
func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	a := httptest.NewRecorder()
	h.ServeHTTP(a, r)
	return a
}

// replay answers with what was recorded.
func replay(w http.ResponseWriter, a *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), a.Header())
	w.WriteHeader(a.Code)
	w.Write(a.Body.Bytes())
}

// edit returns a good registry that has some requests and answers edited.
func edit(method, text string, answer func(*httptest.ResponseRecorder), requests ...func(*http.Request)) http.Handler {
	return when(path(method, text), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		for _, edit := range requests {
			edit(r)
		}
		a := record(h, r)
		answer(a)
		replay(w, a)
	})
}

func request(edit func(*http.Request)) http.Handler {
	return when(path("", ""), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		edit(r)
		h.ServeHTTP(w, r)
	})
}

// query returns a good registry that ignores a parameter.
func query(name string) http.Handler {
	return request(func(r *http.Request) {
		if q := r.URL.Query(); q.Has(name) {
			q.Del(name)
			r.URL.RawQuery = q.Encode()
		}
	})
}

func answerStatus(status int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(status) }
}

// status returns a good registry that answers some requests with the status.
func status(method, text string, status int) http.Handler {
	is := path(method, text)
	if text == "/v2/" {
		is = func(r *http.Request) bool { return r.Method == method && r.URL.Path == text }
	}
	return when(is, answerStatus(status))
}

// statusOf returns a good registry that has one status for another.
func statusOf(method, text string, from, to int) http.Handler {
	return edit(method, text, func(a *httptest.ResponseRecorder) {
		if a.Code == from {
			a.Code = to
		}
	})
}

// without returns a good registry whose answers lack a header.
func without(name, method, text string, opts ...registry.Option) http.Handler {
	return when(path(method, text), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		h.ServeHTTP(dropping{w, name}, r)
	}, opts...)
}

// dropping drops a header.
type dropping struct {
	http.ResponseWriter
	name string
}

func (d dropping) WriteHeader(status int) {
	d.Header().Del(d.name)
	d.ResponseWriter.WriteHeader(status)
}

// header returns a good registry whose answers have a header set.
func header(method, text, name, value string) http.Handler {
	return edit(method, text, func(a *httptest.ResponseRecorder) {
		if a.Code < 300 {
			a.Header().Set(name, value)
		}
	})
}

// tagList returns a good registry whose lists of tags are edited.
func tagList(edited func(tags []string, h http.Header) []string) http.Handler {
	return edit("GET", "/tags/list", func(a *httptest.ResponseRecorder) {
		var list struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}
		if a.Code != 200 || json.Unmarshal(a.Body.Bytes(), &list) != nil {
			return
		}
		list.Tags = edited(list.Tags, a.Header())
		a.Body.Reset()
		a.Header().Del("Content-Length")
		json.NewEncoder(a.Body).Encode(list)
	})
}

// referrerList returns a good registry whose lists of referrers are edited.
func referrerList(edited func(*ocispec.Index, http.Header, *http.Request)) http.Handler {
	return when(path("GET", "/referrers/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		a := record(h, r)
		var index ocispec.Index
		if a.Code == 200 && json.Unmarshal(a.Body.Bytes(), &index) == nil {
			edited(&index, a.Header(), r)
			a.Body.Reset()
			a.Header().Del("Content-Length")
			json.NewEncoder(a.Body).Encode(index)
		}
		replay(w, a)
	})
}

func eachReferrer(edited func(*ocispec.Descriptor)) http.Handler {
	return referrerList(func(index *ocispec.Index, _ http.Header, _ *http.Request) {
		for i := range index.Manifests {
			edited(&index.Manifests[i])
		}
	})
}

// sharedBlobs returns a registry that finds a blob wherever it was pushed to.
func sharedBlobs() http.Handler {
	return when(func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/blobs/sha256:") && (r.Method == "GET" || r.Method == "HEAD")
	}, func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		a := record(h, r)
		var catalog struct{ Repositories []string }
		json.Unmarshal(record(h, httptest.NewRequest("GET", "/v2/_catalog", nil)).Body.Bytes(), &catalog)
		for _, from := range catalog.Repositories {
			if a.Code != 404 {
				break
			}
			a = record(h, redirected(r, "/v2/"+from+r.URL.Path[strings.LastIndex(r.URL.Path, "/blobs/"):]))
		}
		replay(w, a)
	})
}

// redirected returns the request with another path.
func redirected(r *http.Request, path string) *http.Request {
	c := r.Clone(r.Context())
	c.URL.Path, c.URL.RawPath = path, ""
	return c
}

// lookup asks the handler whether the path is there.
func lookup(h http.Handler, path string) *httptest.ResponseRecorder {
	return record(h, httptest.NewRequest("GET", (&url.URL{Path: path}).String(), nil))
}

// sessionNumbers returns a registry that numbers its upload sessions.
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
		a := record(h, r)
		if location := a.Header().Get("Location"); strings.Contains(location, "/uploads/") {
			at := strings.LastIndex(location, "/") + 1
			n := slices.Index(sessions, location[at:])
			if n < 0 {
				n = len(sessions)
				sessions = append(sessions, location[at:])
			}
			a.Header().Set("Location", location[:at]+strconv.Itoa(n))
		}
		replay(w, a)
	})
}

// body returns the body of the request, which can be read again.
func body(r *http.Request) []byte {
	content, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(content))
	return content
}

// trustingUploads returns a registry that stores whatever is sent at once,
// with the digest that it has.
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

// manifestPath splits the path of a manifest before its reference.
func manifestPath(r *http.Request) (before, reference string) {
	at := strings.LastIndex(r.URL.Path, "/") + 1
	return r.URL.Path[:at], r.URL.Path[at:]
}

// trustingManifests returns a registry that does not look at the digest that
// a manifest is pushed with.
func trustingManifests() http.Handler {
	return when(path("PUT", "/manifests/sha256:"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		before, reference := manifestPath(r)
		if d := digest.FromBytes(body(r)); string(d) != reference {
			r = redirected(r, before+string(d))
		}
		h.ServeHTTP(w, r)
	})
}

// subjectsFirst returns a registry that accepts only subjects that it has.
func subjectsFirst() http.Handler {
	return when(path("PUT", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		var m ocispec.Manifest
		before, _ := manifestPath(r)
		if json.Unmarshal(body(r), &m) == nil && m.Subject != nil && lookup(h, before+string(m.Subject.Digest)).Code != 200 {
			w.WriteHeader(404)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// tagsStay returns a registry in which a tag points at what it first pointed
// at.
func tagsStay() http.Handler {
	return when(path("PUT", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		before, reference := manifestPath(r)
		if !strings.Contains(reference, ":") && r.Header.Get("If-None-Match") == "" && lookup(h, r.URL.Path).Code == 200 {
			r = redirected(r, before+string(digest.FromBytes(body(r))))
		}
		h.ServeHTTP(w, r)
	})
}

// accepting returns a registry that says it has done what others refuse.
func accepting(method, text string, accepted int) http.Handler {
	return when(path(method, text), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		a := record(h, r)
		if strings.Contains(a.Body.String(), "is not a valid") {
			a = httptest.NewRecorder()
			a.Code = accepted
		}
		replay(w, a)
	})
}

// lastAgain returns a registry that begins a list of tags with the last.
func lastAgain() http.Handler {
	return when(path("GET", "/tags/list"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		a := record(h, r)
		if last := r.URL.Query().Get("last"); last != "" {
			a.Body = bytes.NewBufferString(strings.Replace(a.Body.String(), `"tags":[`, `"tags":["`+last+`",`, 1))
			a.Body = bytes.NewBufferString(strings.Replace(a.Body.String(), `,]`, `]`, 1))
			a.Header().Del("Content-Length")
		}
		replay(w, a)
	})
}

// tagsSurvive returns a registry in which tags can be pulled when their
// manifest was deleted.
func tagsSurvive() http.Handler {
	var before sync.Map
	return when(path("", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		a := record(h, r)
		if _, reference := manifestPath(r); !strings.Contains(reference, ":") {
			switch {
			case r.Method == "PUT" && a.Code == 201:
				before.Store(r.URL.Path, lookup(h, r.URL.Path))
			case r.Method == "DELETE":
				before.Delete(r.URL.Path)
			case a.Code == 404:
				if was, ok := before.Load(r.URL.Path); ok {
					a = was.(*httptest.ResponseRecorder)
				}
			}
		}
		replay(w, a)
	})
}

// deletesManifest returns a registry that deletes the manifest with the tag.
func deletesManifest() http.Handler {
	return when(path("DELETE", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		before, reference := manifestPath(r)
		if d := lookup(h, r.URL.Path).Header().Get("Docker-Content-Digest"); d != "" && !strings.Contains(reference, ":") {
			r = redirected(r, before+d)
		}
		h.ServeHTTP(w, r)
	})
}
