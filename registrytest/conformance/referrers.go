package conformance

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

const (
	listingReferrers = "Listing Referrers"
	definitions      = "Definitions"

	sbomType      = "application/vnd.example.sbom.v1"
	signatureType = "application/vnd.example.signature.v1"
)

// referrerRequirements are the requirements of the referrers API.
var referrerRequirements = []Requirement{
	{
		Category: "discovery", Name: "referrers are 200", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "Assuming a repository is found, this request MUST return a `200 OK` response code.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			t.pushImage(repo, t.image(subject(of)))
			t.want(t.get(referrersURL(repo, of.digest)), http.StatusOK)
		},
	},
	{
		Category: "discovery", Name: "referrers are not 404", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If the registry supports the referrers API, the registry MUST NOT return a `404 Not Found` to a referrers API requests.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushImage(repo, t.image())
			t.want(t.get(referrersURL(repo, t.absentDigest())), http.StatusOK)
		},
	},
	{
		Category: "discovery", Name: "digest without referrers has an empty list", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If a query results in no matching referrers, an empty manifest list MUST be returned.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			for _, d := range []digest.Digest{of.digest, t.absentDigest()} {
				r := t.get(referrersURL(repo, d))
				t.want(r, http.StatusOK)
				var index struct {
					Manifests *[]ocispec.Descriptor `json:"manifests"`
				}
				if t.decode(r, &index); index.Manifests == nil || len(*index.Manifests) > 0 {
					t.violated("manifests is not an empty list")
				}
			}
		},
	},
	{
		Category: "discovery", Name: "referrers of an invalid digest are 400", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If the request is invalid, such as a `<digest>` with an invalid syntax, a `400 Bad Request` MUST be returned.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushImage(repo, t.image())
			for _, d := range []digest.Digest{"sha256:", "sha256:xyz", "sha256:0123", "nothing"} {
				t.want(t.get(referrersURL(repo, d)), http.StatusBadRequest)
			}
		},
	},
	{
		Category: "discovery", Name: "referrers have the Content-Type of an index", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "The `Content-Type` header MUST be set to `application/vnd.oci.image.index.v1+json`.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			t.pushImage(repo, t.image(subject(of)))
			for _, d := range []digest.Digest{of.digest, t.absentDigest()} {
				t.wantHeader(t.get(referrersURL(repo, d)), "Content-Type", ocispec.MediaTypeImageIndex)
			}
		},
	},
	{
		Category: "discovery", Name: "referrers are an index", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "Upon success, the response MUST be a JSON body with an image index containing a list of descriptors.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			t.pushImage(repo, t.image(subject(of)))
			var index ocispec.Index
			t.decode(t.get(referrersURL(repo, of.digest)), &index)
			if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex {
				t.violated("schemaVersion is %d and mediaType is %q", index.SchemaVersion, index.MediaType)
			}
		},
	},
	{
		Category: "discovery", Name: "referrers are of the digest and the repository", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "Each descriptor is of an image manifest or index in the same `<name>` namespace with a `subject` field that specifies the value of `<digest>`.",
		check: func(t *registryTest) {
			repo, other := t.repo(), t.repo()
			of, alien := t.image(), t.pushImage(repo, t.image())
			// Push one referrer before its subject, and one after it.
			before := t.pushImage(repo, t.image(subject(of)))
			t.pushImage(repo, of)
			after := t.pushImage(repo, t.image(subject(of)))
			index := t.index(nil, func(index *ocispec.Index) {
				d := of.descriptor()
				index.Subject = &d
			})
			t.pushManifest(repo, string(digest.FromBytes(index)), ocispec.MediaTypeImageIndex, index)
			t.pushImage(repo, t.image(subject(alien)))
			t.pushImage(other, t.image(subject(of)))
			t.wantReferrers(t.referrers(referrersURL(repo, of.digest)),
				before.descriptor(), after.descriptor(), descriptor(ocispec.MediaTypeImageIndex, index))
		},
	},
	{
		Category: "discovery", Name: "new referrers are listed", Section: "Enabling the Referrers API", Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "After the referrers API is enabled, Registries MUST include all newly pushed image manifests with a valid `subject` field in the referrers API response.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			var pushed []ocispec.Descriptor
			for range 3 {
				pushed = append(pushed, t.pushImage(repo, t.image(subject(of))).descriptor())
				t.wantReferrers(t.referrers(referrersURL(repo, of.digest)), pushed...)
			}
		},
	},
	{
		Category: "discovery", Name: "referrer has the artifactType of its manifest", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "The descriptors MUST include an `artifactType` field that is set to the value of the `artifactType` in the image manifest or index, if present.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			i := t.pushImage(repo, t.image(subject(of), artifactType(sbomType)))
			index := t.index(nil, func(index *ocispec.Index) {
				d := of.descriptor()
				index.Subject, index.ArtifactType = &d, signatureType
			})
			d := t.pushManifest(repo, "index", ocispec.MediaTypeImageIndex, index)
			t.wantArtifactTypes(repo, of.digest, map[digest.Digest]string{i.digest: sbomType, d: signatureType})
		},
	},
	{
		Category: "discovery", Name: "referrer without artifactType has the media type of its config", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If the `artifactType` is empty or missing in the image manifest, the value of `artifactType` MUST be set to the config descriptor `mediaType` value.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			i := t.pushImage(repo, t.image(subject(of), func(m *ocispec.Manifest) { m.Config.MediaType = signatureType }))
			t.wantArtifactTypes(repo, of.digest, map[digest.Digest]string{i.digest: signatureType})
		},
	},
	{
		Category: "discovery", Name: "referring index without artifactType has none", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If the `artifactType` is empty or missing in an index, the `artifactType` MUST be omitted.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			index := t.index(nil, func(index *ocispec.Index) {
				d := of.descriptor()
				index.Subject = &d
			})
			t.pushManifest(repo, "index", ocispec.MediaTypeImageIndex, index)
			r := t.get(referrersURL(repo, of.digest))
			t.want(r, http.StatusOK)
			var list struct {
				Manifests []map[string]json.RawMessage `json:"manifests"`
			}
			if t.decode(r, &list); len(list.Manifests) != 1 {
				t.violated("the list has %d referrers, not 1", len(list.Manifests))
			}
			if v, ok := list.Manifests[0]["artifactType"]; ok {
				t.violated("artifactType is %s, but must be omitted", v)
			}
		},
	},
	{
		Category: "discovery", Name: "referring index with a config has no artifactType", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If the `artifactType` is empty or missing in an index, the `artifactType` MUST be omitted.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			content, _ := bytes.CutSuffix(t.index(nil, func(index *ocispec.Index) {
				d := of.descriptor()
				index.Subject = &d
			}), []byte("}"))
			config := descriptor(ocispec.MediaTypeImageConfig, of.config)
			t.pushBlob(repo, of.config)
			content = slices.Concat(content, []byte(`,"config":`), encodeManifest(config), []byte("}"))
			r := t.put(manifestURL(repo, "index"), content, "Content-Type", ocispec.MediaTypeImageIndex)
			if refused(r) {
				return
			}
			t.want(r, http.StatusCreated)
			t.wantArtifactTypes(repo, of.digest, map[digest.Digest]string{digest.FromBytes(content): ""})
		},
	},
	{
		Category: "discovery", Name: "referrer has the annotations of its manifest", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "The descriptors MUST include annotations from the image manifest or index.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			annotations := map[string]string{"org.example.one": "1", "org.example.two": "\"<ü>\""}
			i := t.pushImage(repo, t.image(subject(of), func(m *ocispec.Manifest) { m.Annotations = annotations }))
			index := t.index(nil, func(index *ocispec.Index) {
				d := of.descriptor()
				index.Subject, index.Annotations = &d, annotations
			})
			d := t.pushManifest(repo, "index", ocispec.MediaTypeImageIndex, index)
			listed := map[digest.Digest]map[string]string{}
			for _, r := range t.referrers(referrersURL(repo, of.digest)) {
				listed[r.Digest] = r.Annotations
			}
			for _, d := range []digest.Digest{i.digest, d} {
				for k, v := range annotations {
					if listed[d][k] != v {
						t.violated("the annotation %s of %s is %q, not %q", k, d, listed[d][k], v)
					}
				}
			}
		},
	},
	{
		Category: "discovery", Name: "Link leads to the next referrers", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "Each response is an image index with different descriptors in the `manifests` field. The `Link` header MUST be set according to RFC 5988 with the Relation Type `rel=\"next\"`.",
		check: func(t *registryTest) {
			list := t.largeList()
			t.wantReferrers(t.referrers(referrersURL(list.repo, list.of)), append(slices.Clone(list.large), list.other)...)
		},
	},
	{
		Category: "discovery", Name: "list of referrers is no larger than a manifest", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers, registry.ManifestLimit},
		Text: "A `Link` header MUST be included in the response when the descriptor list cannot be returned in a single manifest.",
		check: func(t *registryTest) {
			list := t.largeList()
			r := t.get(referrersURL(list.repo, list.of))
			t.want(r, http.StatusOK)
			if limit := t.target.ManifestLimit; limit > 0 && int64(len(r.body)) > limit {
				t.violated("the list has %d bytes, more than the %d of Target.ManifestLimit", len(r.body), limit)
			}
		},
	},
	{
		Category: "discovery", Name: "referrers can be filtered", Section: listingReferrers, Level: Should, Since: "1.1", with: features{registry.ListReferrers, registry.ReferrersFilter},
		Text: "The registry SHOULD support filtering on `artifactType`.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			one := t.pushImage(repo, t.image(subject(of), artifactType(sbomType)))
			two := t.pushImage(repo, t.image(subject(of), func(m *ocispec.Manifest) { m.Config.MediaType = sbomType }))
			t.pushImage(repo, t.image(subject(of), artifactType(signatureType)))
			url := param(referrersURL(repo, of.digest), "artifactType", sbomType)
			t.wantReferrers(t.referrers(url), one.descriptor(), two.descriptor())
			t.wantReferrers(t.referrers(param(referrersURL(repo, of.digest), "artifactType", "application/vnd.example.none")))
		},
	},
	{
		Category: "discovery", Name: "filter may have a plus sign", Section: listingReferrers, Level: Should, Since: "1.1", with: features{registry.ListReferrers, registry.ReferrersFilter},
		Text: "The registry SHOULD support filtering on `artifactType`.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			i := t.pushImage(repo, t.image(subject(of), artifactType("application/spdx+json")))
			t.pushImage(repo, t.image(subject(of), artifactType(signatureType)))
			for _, value := range []string{"application/spdx+json", "application/spdx%2Bjson", "application%2Fspdx%2Bjson"} {
				t.wantReferrers(t.referrers(referrersURL(repo, of.digest)+"?artifactType="+value), i.descriptor())
			}
		},
	},
	{
		Category: "discovery", Name: "applied filter is confirmed by OCI-Filters-Applied", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If filtering is requested and applied, the response MUST include a header `OCI-Filters-Applied: artifactType` denoting that an `artifactType` filter was applied.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			t.pushImage(repo, t.image(subject(of), artifactType(sbomType)))
			t.pushImage(repo, t.image(subject(of), artifactType(signatureType)))
			r := t.get(param(referrersURL(repo, of.digest), "artifactType", sbomType))
			t.want(r, http.StatusOK)
			others := slices.ContainsFunc(t.descriptors(r), func(d ocispec.Descriptor) bool { return d.ArtifactType != sbomType })
			applied := r.Header.Get("OCI-Filters-Applied")
			switch {
			case applied != "" && applied != "artifactType":
				t.violated("OCI-Filters-Applied is %q, not artifactType", applied)
			case applied != "" && others:
				t.violated("OCI-Filters-Applied is %q, but the list is not filtered", applied)
			case applied == "" && !others && t.next(r) == "":
				t.violated("the list is filtered, but the response has no OCI-Filters-Applied")
			}
		},
	},
	{
		Category: "discovery", Name: "Link keeps the filter", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers, registry.ReferrersFilter},
		Text: "If filtering is requested and applied, the response MUST include a header `OCI-Filters-Applied: artifactType` denoting that an `artifactType` filter was applied.",
		check: func(t *registryTest) {
			list := t.largeList()
			var got []ocispec.Descriptor
			t.pages(param(referrersURL(list.repo, list.of), "artifactType", sbomType), func(page *response) {
				// The referrer of the other type may have been on an earlier
				// page.
				t.wantHeader(page, "OCI-Filters-Applied", "artifactType")
				got = append(got, t.descriptors(page)...)
			})
			t.wantReferrers(got, list.large...)
		},
	},
	{
		Category: "discovery", Name: "deleted referrer is not listed", Section: definitions, Level: Must, Since: "1.1", with: features{registry.ListReferrers, registry.DeleteManifest},
		Text: "Referrers List: a list of manifests with a subject relationship to a specified digest.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			stays := t.pushImage(repo, t.image(subject(of)))
			goes := t.pushImage(repo, t.image(subject(of)))
			t.prepare("deleting a manifest", func() { t.want(t.delete(manifestURL(repo, goes.digest)), http.StatusAccepted) })
			t.wantReferrers(t.referrers(referrersURL(repo, of.digest)), stays.descriptor())
		},
	},
	{
		Category: "discovery", Name: "referrers are 404 if the API is unsupported", Section: "Unavailable Referrers API", Level: Must, Since: "1.1", without: features{registry.ListReferrers},
		Text: "A client querying the referrers API and receiving a `404 Not Found` MUST fallback to using an image index pushed to a tag described by the referrers tag schema.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image())
			t.want(t.get(referrersURL(repo, i.digest)), http.StatusNotFound)
		},
	},
}

// referrers returns the referrers on all pages of a list, starting with the page
// at the URL.
func (t *registryTest) referrers(url string) (all []ocispec.Descriptor) {
	t.Helper()
	t.pages(url, func(page *response) { all = append(all, t.descriptors(page)...) })
	return all
}

// descriptors decodes the list of referrers in the body of a response.
func (t *registryTest) descriptors(r *response) []ocispec.Descriptor {
	t.Helper()
	var index ocispec.Index
	t.decode(r, &index)
	return index.Manifests
}

// wantReferrers reports a violation unless got has exactly the descriptors in
// want, in any order.
func (t *registryTest) wantReferrers(got []ocispec.Descriptor, want ...ocispec.Descriptor) {
	t.Helper()
	seen := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range got {
		if _, ok := seen[d.Digest]; ok {
			t.violated("the list has %s twice", d.Digest)
		}
		seen[d.Digest] = d
	}
	for _, w := range want {
		d, ok := seen[w.Digest]
		if !ok {
			t.violated("the list does not have %s", w.Digest)
		}
		if d.MediaType != w.MediaType || d.Size != w.Size {
			t.violated("%s is listed with mediaType %q and size %d, not %q and %d", d.Digest, d.MediaType, d.Size, w.MediaType, w.Size)
		}
		delete(seen, w.Digest)
	}
	for d := range seen {
		t.violated("the list has %s, which is no referrer", d)
	}
}

// wantArtifactTypes reports a violation unless the list of referrers has the
// artifactType of each digest in want.
func (t *registryTest) wantArtifactTypes(repo string, of digest.Digest, want map[digest.Digest]string) {
	t.Helper()
	got := map[digest.Digest]string{}
	for _, d := range t.referrers(referrersURL(repo, of)) {
		got[d.Digest] = d.ArtifactType
	}
	for d, artifactType := range want {
		if got[d] != artifactType {
			t.violated("the artifactType of %s is %q, not %q", d, got[d], artifactType)
		}
	}
}
