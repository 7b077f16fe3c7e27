package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// brokenLists returns registries that violate requirements of the lists of tags
// and repositories.
func brokenLists() []broken {
	return []broken{
		{"tags are unsorted", tagList(func(tags []string, _ http.Header) []string {
			slices.Reverse(tags)
			return tags
		}), []string{"tags are in order", "pages of tags are in order", "n tags are listed", "Link leads to the next tags", "tags after last are listed", "last works without n"}},
		{"nothing: the spec allows lexical order", tagList(func(tags []string, _ http.Header) []string {
			if len(tags) > 2 {
				slices.SortFunc(tags, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
			}
			return tags
		}), nil},
		{"n is ignored", query("n"), []string{"n tags are listed", "n=0 lists no tags", "Link leads to the next tags", "tags after last are listed"}},
		{"n=0 lists everything", request(func(r *http.Request) {
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
		{"Link has no relation", edit("GET", "/tags/list", func(rec *httptest.ResponseRecorder) {
			if link := rec.Header().Get("Link"); link != "" {
				rec.Header().Set("Link", strings.TrimSuffix(link, `; rel="next"`))
			}
		}), []string{"Link leads to the next tags"}},
		{"Link leads to the same page", edit("GET", "/tags/list", func(rec *httptest.ResponseRecorder) {
			if link := rec.Header().Get("Link"); link != "" {
				rec.Header().Set("Link", strings.ReplaceAll(link, "last=", "first="))
			}
		}), []string{"Link leads to the next tags"}},
		{"list of tags has no name", edit("GET", "/tags/list", func(rec *httptest.ResponseRecorder) {
			setBody(rec, strings.Replace(rec.Body.String(), `"name":`, `"title":`, 1))
		}), []string{"list of tags has the repository name", "tags of a repository without tags are 200", "n=0 lists no tags"}},
		{"catalog is empty", edit("GET", "/v2/_catalog", func(rec *httptest.ResponseRecorder) {
			setBody(rec, `{"repositories":[]}`)
			rec.Header().Del("Link")
		}), []string{"catalog lists the repositories", "Link leads to the next repositories"}},
		{"catalog has one page", without("Link", "GET", "/v2/_catalog"), []string{"Link leads to the next repositories"}},
		{"tags of a repository are 206", statusOf("GET", "/tags/list", 200, 206), []string{"tags of a repository are 200", "tags of a repository without tags are 200",
			"list of tags has the repository name", "tags are in order", "n tags are listed", "n=0 lists no tags", "Link leads to the next tags", "tags after last are listed",
			"last works without n", "pages of tags are in order"}},
	}
}

// brokenDeletions returns registries that violate requirements of deletions.
func brokenDeletions() []broken {
	return []broken{
		{"deleting is 200", statusOf("DELETE", "/", 202, 200), []string{"deleting a tag is 202", "deleted tag is 404", "manifest stays when its tag is deleted",
			"deleting a manifest is 202", "deleted manifest and its tags are 404", "deleting a blob is 202", "deleted blob is 404", "deleted referrer is not listed",
			"If-Match and If-None-Match guard a tag from deletion", "If-Match and If-None-Match guard a manifest from deletion",
			"If-Match and If-None-Match guard a blob from deletion"}},
		{"conditions of deletions are ignored", request(func(r *http.Request) {
			if r.Method == "DELETE" {
				r.Header.Del("If-Match")
				r.Header.Del("If-None-Match")
			}
		}), []string{"If-Match and If-None-Match guard a tag from deletion", "If-Match and If-None-Match guard a manifest from deletion",
			"If-Match and If-None-Match guard a blob from deletion"}},
		{"tags survive their manifest", tagsSurvive(), []string{"deleted manifest and its tags are 404"}},
		{"manifest is deleted with its tag", deletesManifest(), []string{"manifest stays when its tag is deleted"}},
		{"tag is not deleted", when(func(r *http.Request) bool {
			return r.Method == "DELETE" && strings.Contains(r.URL.Path, "/manifests/") && !strings.Contains(r.URL.Path, ":")
		}, respond(202)), []string{"deleted tag is 404"}},
		{"blob is not deleted", when(path("DELETE", "/blobs/sha256:"), respond(202)), []string{"deleted blob is 404", "deleting an absent blob is 404"}},
		{"deleting absent content is 202", statusOf("DELETE", "/", 404, 202), []string{"deleted blob is 404", "deleting an absent blob is 404",
			"deleting a manifest of an absent repository is 404"}},
	}
}

// tagList returns a correct registry, except that it passes its lists of tags through
// edited.
func tagList(edited func(tags []string, h http.Header) []string) http.Handler {
	return edit("GET", "/tags/list", func(rec *httptest.ResponseRecorder) {
		var list struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}
		if rec.Code != 200 || json.Unmarshal(rec.Body.Bytes(), &list) != nil {
			return
		}
		list.Tags = edited(list.Tags, rec.Header())
		rec.Body.Reset()
		rec.Header().Del("Content-Length")
		json.NewEncoder(rec.Body).Encode(list)
	})
}

// lastAgain returns a registry whose lists of tags include the tag in the query
// parameter last, instead of starting after it.
func lastAgain() http.Handler {
	return when(path("GET", "/tags/list"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		rec := record(h, r)
		if last := r.URL.Query().Get("last"); last != "" {
			rec.Body = bytes.NewBufferString(strings.Replace(rec.Body.String(), `"tags":[`, `"tags":["`+last+`",`, 1))
			setBody(rec, strings.Replace(rec.Body.String(), `,]`, `]`, 1))
		}
		replay(w, rec)
	})
}

// tagsSurvive returns a registry that still serves a manifest by its tag after
// the manifest was deleted by its digest.
func tagsSurvive() http.Handler {
	var before sync.Map
	return when(path("", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		rec := record(h, r)
		if _, reference := manifestPath(r); !strings.Contains(reference, ":") {
			switch {
			case r.Method == "PUT" && rec.Code == 201:
				before.Store(r.URL.Path, lookup(h, r.URL.Path))
			case r.Method == "DELETE":
				before.Delete(r.URL.Path)
			case rec.Code == 404:
				if was, ok := before.Load(r.URL.Path); ok {
					rec = was.(*httptest.ResponseRecorder)
				}
			}
		}
		replay(w, rec)
	})
}

// deletesManifest returns a registry in which deleting a tag deletes the
// manifest.
func deletesManifest() http.Handler {
	return when(path("DELETE", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		before, reference := manifestPath(r)
		if d := lookup(h, r.URL.Path).Header().Get("Docker-Content-Digest"); d != "" && !strings.Contains(reference, ":") {
			r = redirected(r, before+d)
		}
		h.ServeHTTP(w, r)
	})
}
