package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// brokenManifestPushes returns registries that violate requirements of manifest
// pushes.
func brokenManifestPushes() []broken {
	return []broken{
		{"images without layers are refused", refusing(`"layers":[]`), []string{"manifest without layers"}},
		{"images of unknown media types are refused", refusing(`"config":{"mediaType":"` + "application/vnd.example.unknown"), []string{"image of unknown media types"}},
		{"indexes of unknown media types are refused", refusing(`"manifests":[{`, "application/vnd.example.unknown"), []string{"index of unknown media types"}},
		{"unknown properties are refused", refusing(`"unknown":`), []string{"unknown properties of a manifest are ignored"}},
		{"names of properties are case-insensitive", refusing(`"MediaType":`), []string{"unknown properties of a manifest are ignored"}},
		{"unknown digest algorithms are refused", refusing("multihash+base58:"), []string{"subject of an unknown digest algorithm is accepted",
			"layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN"}},
		{"media types are case-sensitive", when(func(r *http.Request) bool {
			mediaType := r.Header.Get("Content-Type")
			return path("PUT", "/manifests/")(r) && mediaType != strings.ToLower(mediaType)
		}, respond(400)), []string{"media types are case-insensitive"}},
		{"media type of a manifest is not checked", anyMediaType(), []string{"media type never makes a header malformed"}},
		{"indexes are refused", refusing(`"manifests":`), []string{"index of images", "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN",
			"index of unknown media types", "layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN"}},
		{"pushed manifest has no Location", without("Location", "PUT", "/manifests/"), []string{"manifest is 201 with the Location of the manifest"}},
		{"wrong digest of a manifest is accepted", trustingManifests(), []string{"manifest that does not match its digest is refused"}},
		{"missing blobs are MANIFEST_INVALID", edit("PUT", "/manifests/", func(rec *httptest.ResponseRecorder) {
			setBody(rec, strings.ReplaceAll(rec.Body.String(), "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"))
		}), []string{"manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN",
			"layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN"}},
		{"subject must exist", subjectsFirst(), []string{"manifest of a missing subject is accepted", "subject is confirmed by OCI-Subject",
			"referrers are of the digest and the repository", "referrer has the artifactType of its manifest",
			"referrer without artifactType has the media type of its config", "referring index without artifactType has none",
			"referrer has the annotations of its manifest", "referrers can be filtered", "applied filter is confirmed by OCI-Filters-Applied", "deleted referrer is not listed",
			"filter may have a plus sign", "referrers of an unknown digest algorithm", "subject of an unknown digest algorithm is accepted"}},
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
		{"manifests have no ETag", without("ETag", "GET", "/manifests/"), []string{"If-Match and If-None-Match guard a tag", "conditional GET of current content is 304",
			"repeated If-None-Match is one list"}},
		{"tags never move", tagsStay(), []string{"tag moves to the last manifest pushed", "If-Match and If-None-Match guard a tag"}},
		{"any tag is accepted", accepting("PUT", "/manifests/", 201), []string{"tag syntax is enforced"}},
		{"manifest size is unlimited", without("", "", "", registry.WithManifestLimit(1<<30)), []string{"manifest size is limited", "oversized manifest is 413",
			"list of referrers is no larger than a manifest"}},
		{"oversized manifest is 400", statusOf("PUT", "/manifests/", 413, 400), []string{"oversized manifest is 413"}},
		{"manifest limit is 1 MiB", without("", "", "", registry.WithManifestLimit(1<<20)), []string{"manifest of 4 megabytes"}},
		{"any repository name is accepted", accepting("POST", "/blobs/uploads/", 202), []string{"repository name syntax is enforced"}},
	}
}

// trustingManifests returns a registry that does not verify the digest in the
// URL of a manifest push.
func trustingManifests() http.Handler {
	return when(path("PUT", "/manifests/sha256:"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		before, reference := manifestPath(r)
		if d := digest.FromBytes(body(r)); string(d) != reference {
			r = redirected(r, before+string(d))
		}
		h.ServeHTTP(w, r)
	})
}

// subjectsFirst returns a registry that refuses a manifest if its subject does
// not exist.
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

// tagsStay returns a registry that does not move an existing tag to another
// manifest.
func tagsStay() http.Handler {
	return when(path("PUT", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		before, reference := manifestPath(r)
		if !strings.Contains(reference, ":") && r.Header.Get("If-None-Match") == "" && lookup(h, r.URL.Path).Code == 200 {
			r = redirected(r, before+string(digest.FromBytes(body(r))))
		}
		h.ServeHTTP(w, r)
	})
}

// accepting returns a registry that accepts requests with the method and the text in
// their path, even if a correct registry refuses them as invalid. The parameter
// accepted is the status of the response.
func accepting(method, text string, accepted int) http.Handler {
	return when(path(method, text), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		rec := record(h, r)
		if strings.Contains(rec.Body.String(), "is not a valid") {
			rec = httptest.NewRecorder()
			rec.Code = accepted
		}
		replay(w, rec)
	})
}

// refusing returns a registry that refuses manifests whose content has all of
// the texts.
func refusing(texts ...string) http.Handler {
	return when(path("PUT", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		content := body(r)
		for _, text := range texts {
			if !bytes.Contains(content, []byte(text)) {
				h.ServeHTTP(w, r)
				return
			}
		}
		w.WriteHeader(400)
	})
}

// anyMediaType returns a registry that accepts any manifest without a
// Content-Type, and serves it with the mediaType in its content.
func anyMediaType() http.Handler {
	var pushed sync.Map
	return when(path("", "/manifests/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		if r.Method == "PUT" && r.Header.Get("Content-Type") == "" {
			pushed.Store(r.URL.Path, body(r))
			w.WriteHeader(201)
			return
		}
		content, ok := pushed.Load(r.URL.Path)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		var m ocispec.Manifest
		json.Unmarshal(content.([]byte), &m)
		w.Header().Set("Content-Type", m.MediaType)
		w.Write(content.([]byte))
	})
}
