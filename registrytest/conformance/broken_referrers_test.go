package conformance_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// brokenReferrers returns registries that violate requirements of the referrers
// API.
func brokenReferrers() []broken {
	return []broken{
		{"referrers are missing", status("GET", "/referrers/", 404), []string{"referrers are 200", "referrers are not 404", "digest without referrers has an empty list",
			"referrers of an invalid digest are 400", "referrers have the Content-Type of an index", "referrers are an index",
			"referrers are of the digest and the repository", "new referrers are listed", "referrer has the artifactType of its manifest",
			"referrer without artifactType has the media type of its config", "referring index without artifactType has none",
			"referrer has the annotations of its manifest", "referrers can be filtered", "applied filter is confirmed by OCI-Filters-Applied", "deleted referrer is not listed", "filter may have a plus sign", "property SUBJECT is not the subject", "referrers of an unknown digest algorithm"}},
		{"empty lists of referrers are 404", when(path("GET", "/referrers/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if rec := record(h, r); strings.Contains(rec.Body.String(), `"manifests":[]`) {
				w.WriteHeader(404)
			} else {
				replay(w, rec)
			}
		}), []string{"referrers are not 404", "digest without referrers has an empty list",
			"referrers have the Content-Type of an index", "referrers can be filtered", "property SUBJECT is not the subject", "referrers of an unknown digest algorithm"}},
		{"empty list of referrers is null", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) {
			if len(i.Manifests) == 0 {
				i.Manifests = nil
			}
		}), []string{"digest without referrers has an empty list"}},
		{"referrers are plain JSON", header("GET", "/referrers/", "Content-Type", "application/json"), []string{"referrers have the Content-Type of an index"}},
		{"referrers have no schemaVersion", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) { i.SchemaVersion = 0 }), []string{"referrers are an index"}},
		{"invalid digest is 404", statusOf("GET", "/referrers/", 400, 404), []string{"referrers of an invalid digest are 400"}},
		{"referrers have no artifactType", eachReferrer(func(d *ocispec.Descriptor) { d.ArtifactType = "" }), []string{"referrer has the artifactType of its manifest",
			"referrer without artifactType has the media type of its config", "applied filter is confirmed by OCI-Filters-Applied"}},
		{"referrers have the artifactType of images", eachReferrer(func(d *ocispec.Descriptor) {
			if d.ArtifactType == "" {
				d.ArtifactType = ocispec.MediaTypeImageConfig
			}
		}), []string{"referring index without artifactType has none"}},
		{"referrers have the artifactType of their config", eachReferrer(func(d *ocispec.Descriptor) {
			if d.ArtifactType == "" {
				d.ArtifactType = ocispec.MediaTypeImageConfig
			}
		}, registry.WithAnyManifest()), []string{"referring index without artifactType has none", "referring index with a config has no artifactType"}},
		{"property SUBJECT is the subject", upperSubjects(), []string{"property SUBJECT is not the subject"}},
		{"unknown digest algorithms have no referrers", when(path("GET", "/referrers/blake3:"), respond(404)), []string{"referrers of an unknown digest algorithm"}},
		{"plus sign is another character", request(func(r *http.Request) {
			r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%2C")
		}), []string{"filter may have a plus sign"}},
		{"referrers have no annotations", eachReferrer(func(d *ocispec.Descriptor) { d.Annotations = nil }), []string{"referrer has the annotations of its manifest"}},
		{"referrers have the wrong size", eachReferrer(func(d *ocispec.Descriptor) { d.Size++ }), []string{"referrers are of the digest and the repository",
			"new referrers are listed", "referrers can be filtered", "deleted referrer is not listed", "filter may have a plus sign", "referrers of an unknown digest algorithm"}},
		{"only images are referrers", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) {
			i.Manifests = slices.DeleteFunc(i.Manifests, func(d ocispec.Descriptor) bool { return d.MediaType == ocispec.MediaTypeImageIndex })
		}), []string{"referrers are of the digest and the repository", "referrer has the artifactType of its manifest",
			"referring index without artifactType has none", "referrer has the annotations of its manifest"}},
		{"referrers are listed twice", referrerList(func(i *ocispec.Index, _ http.Header, _ *http.Request) {
			i.Manifests = append(i.Manifests, i.Manifests...)
		}),
			[]string{"referrers are of the digest and the repository", "new referrers are listed", "referrers can be filtered",
				"deleted referrer is not listed", "referring index without artifactType has none", "filter may have a plus sign", "referrers of an unknown digest algorithm"}},
		{"filter is ignored", query("artifactType"), []string{"referrers can be filtered", "filter may have a plus sign"}},
		{"filter is ignored and confirmed", edit("GET", "/referrers/", func(rec *httptest.ResponseRecorder) {
			rec.Header().Set("OCI-Filters-Applied", "artifactType")
		}, func(r *http.Request) {
			q := r.URL.Query()
			q.Del("artifactType")
			r.URL.RawQuery = q.Encode()
		}), []string{"referrers can be filtered", "applied filter is confirmed by OCI-Filters-Applied", "filter may have a plus sign"}},
		{"filter is applied and not confirmed", without("OCI-Filters-Applied", "GET", "/"), []string{"applied filter is confirmed by OCI-Filters-Applied"}},
		{"list of referrers has one page", without("Link", "GET", "/referrers/"), []string{"Link leads to the next referrers", "Link keeps the filter"}},
		{"Link drops the filter", edit("GET", "/referrers/", func(rec *httptest.ResponseRecorder) {
			if link := rec.Header().Get("Link"); link != "" {
				rec.Header().Set("Link", strings.Replace(link, "artifactType=", "x=", 1))
			}
		}), []string{"Link keeps the filter"}},
	}
}

// referrerList returns a correct registry, except that it passes its lists of
// referrers to edited, which may change them.
func referrerList(edited func(*ocispec.Index, http.Header, *http.Request), opts ...registry.Option) http.Handler {
	return when(path("GET", "/referrers/"), func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		rec := record(h, r)
		var index ocispec.Index
		if rec.Code == 200 && json.Unmarshal(rec.Body.Bytes(), &index) == nil {
			edited(&index, rec.Header(), r)
			rec.Body.Reset()
			rec.Header().Del("Content-Length")
			json.NewEncoder(rec.Body).Encode(index)
		}
		replay(w, rec)
	}, opts...)
}

// eachReferrer returns a correct registry, except that it passes each descriptor in
// its lists of referrers to edited, which may change it.
func eachReferrer(edited func(*ocispec.Descriptor), opts ...registry.Option) http.Handler {
	return referrerList(func(index *ocispec.Index, _ http.Header, _ *http.Request) {
		for i := range index.Manifests {
			edited(&index.Manifests[i])
		}
	}, opts...)
}

// upperSubjects returns a registry that treats the member SUBJECT of a manifest
// like subject.
func upperSubjects() http.Handler {
	var mu sync.Mutex
	found := map[digest.Digest]ocispec.Descriptor{}
	h := referrerList(func(index *ocispec.Index, _ http.Header, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if d, ok := found[digest.Digest(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])]; ok {
			index.Manifests = append(index.Manifests, d)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path("PUT", "/manifests/")(r) {
			content := body(r)
			var properties map[string]json.RawMessage
			var subject ocispec.Descriptor
			if json.Unmarshal(content, &properties) == nil && json.Unmarshal(properties["SUBJECT"], &subject) == nil {
				mu.Lock()
				found[subject.Digest] = ocispec.Descriptor{MediaType: r.Header.Get("Content-Type"), Digest: digest.FromBytes(content), Size: int64(len(content))}
				mu.Unlock()
			}
		}
		h.ServeHTTP(w, r)
	})
}
