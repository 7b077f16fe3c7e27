package conformance

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	listingTags      = "Listing Tags"
	listingReferrers = "Listing Referrers"
	definitions      = "Definitions"

	sbomType      = "application/vnd.example.sbom.v1"
	signatureType = "application/vnd.example.signature.v1"
)

var tagRequirements = []Requirement{
	{
		Category: "discovery", Name: "tags of a repository are 200", Section: listingTags, Level: Must, Since: "1.0",
		Text: "Assuming a repository is found, this request MUST return a `200 OK` response code.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			t.want(t.get(tagsURL(repo)), http.StatusOK)
		},
	},
	{
		Category: "discovery", Name: "tags of a repository without tags are 200", Section: listingTags, Level: Must, Since: "1.0",
		Text: "The list of tags MAY be empty if there are no tags on the repository.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushImage(repo, t.image())
			t.wantTags(t.get(tagsURL(repo)), repo)
		},
	},
	{
		Category: "discovery", Name: "tags have the name of the repository with them", Section: listingTags, Level: Must, Since: "1.0",
		Text: "Upon success, the response MUST be a json body in the following format:",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			t.wantTags(t.get(tagsURL(repo)), repo, "v1")
		},
	},
	{
		Category: "discovery", Name: "tags are in order", Section: listingTags, Level: Must, Since: "1.0",
		Text: "If the list is not empty, the tags MUST be in lexical (i.e. case-insensitive alphanumeric order) or \"ASCIIbetical\" (Go's `sort.Strings`) order.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "m", "10", "Z", "b", "9", "A", "a.1", "a-1", "_", "zz")
			got := t.tags(tagsURL(repo))
			t.wantOrdered(got)
			if slices.Sort(got); !slices.Equal(got, tags) {
				t.violated("the tags are %q, not %q", got, tags)
			}
		},
	},
	{
		Category: "discovery", Name: "n tags", Section: listingTags, Level: Must, Since: "1.0",
		Text: "The response to such a request MAY return fewer than `<int>` results, but only when the total number of tags attached to the repository is less than `<int>` or a `Link` header is provided. Otherwise, the response MUST include `<int>` results.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "a", "b", "c", "d", "e")
			for n := 1; n <= len(tags)+1; n++ {
				a := t.get(param(tagsURL(repo), "n", strconv.Itoa(n)))
				t.want(a, http.StatusOK)
				got := t.tagsIn(a)
				switch want := tags[:min(n, len(tags))]; {
				case len(got) > len(want) || !slices.Equal(got, want[:len(got)]):
					t.violated("the tags are %q, not %q", got, want)
				case len(got) < len(want) && a.Header.Get("Link") == "":
					t.violated("there are %d tags of %d, and no Link", len(got), len(want))
				}
			}
		},
	},
	{
		Category: "discovery", Name: "no tags if n is 0", Section: listingTags, Level: Must, Since: "1.0",
		Text: "When `n` is zero, this endpoint MUST return an empty list, and MUST NOT include a `Link` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "a", "b")
			a := t.get(param(tagsURL(repo), "n", "0"))
			t.wantTags(a, repo)
			t.wantHeader(a, "Link", "")
		},
	},
	{
		Category: "discovery", Name: "Link leads to the tags that come next", Section: listingTags, Level: Must, Since: "1.1",
		Text: "If included, the `Link` header MUST be set according to RFC 5988 with the Relation Type `rel=\"next\"`.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "a", "b", "c", "d", "e", "f", "g")
			for _, n := range []int{1, 2, 3, len(tags)} {
				url := param(tagsURL(repo), "n", strconv.Itoa(n))
				var got []string
				for linked := false; url != ""; linked = true {
					a := t.get(url)
					t.want(a, http.StatusOK)
					page := t.tagsIn(a)
					if got = append(got, page...); len(page) > n || len(got) > len(tags) {
						t.violated("after %d tags of %d, there are %q for n=%d", len(got), len(tags), page, n)
					}
					if url = t.next(a); url == "" && !linked {
						return // there need not be a Link
					}
				}
				if !slices.Equal(got, tags) {
					t.violated("what the Links led to is %q, not %q", got, tags)
				}
			}
		},
	},
	{
		Category: "discovery", Name: "tags after the last", Section: listingTags, Level: Must, Since: "1.0",
		Text: "That is to say, `<tagname>` will not be included in the results, but up to `<int>` tags *after* `<tagname>` will be returned.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "a", "b", "c", "d", "e")
			for i, last := range tags {
				for n := 1; n <= len(tags); n++ {
					a := t.get(param(param(tagsURL(repo), "n", strconv.Itoa(n)), "last", last))
					t.want(a, http.StatusOK)
					want := tags[i+1 : min(i+1+n, len(tags))]
					got := t.tagsIn(a)
					if len(got) < len(want) && a.Header.Get("Link") != "" {
						want = want[:len(got)]
					}
					if !slices.Equal(got, want) {
						t.violated("the tags are %q, not %q", got, want)
					}
				}
			}
		},
	},
	{
		Category: "discovery", Name: "pages of tags are in order", Section: listingTags, Level: Must, Since: "1.0",
		Text: "The tags MUST be in lexical or \"ASCIIbetical\" order.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "m", "10", "Z", "b", "9", "A", "a.1", "_", "zz")
			var got []string
			for last := ""; len(got) < len(tags); last = got[len(got)-1] {
				url := param(tagsURL(repo), "n", "2")
				if last != "" {
					url = param(url, "last", last)
				}
				a := t.get(url)
				t.want(a, http.StatusOK)
				page := t.tagsIn(a)
				if got = append(got, page...); len(page) == 0 {
					t.violated("there are no tags after %q, but there should be %d", last, len(tags)-len(got))
				}
				t.wantOrdered(got)
			}
			if slices.Sort(got); !slices.Equal(got, tags) {
				t.violated("the tags on all pages are %q, not %q", got, tags)
			}
		},
	},
	{
		Category: "discovery", Name: "last without n", Section: listingTags, Level: Must, Since: "1.0",
		Text: "When using the `last` query parameter, the `n` parameter is OPTIONAL.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "a", "b", "c")
			if got := t.tags(param(tagsURL(repo), "last", "a")); !slices.Equal(got, []string{"b", "c"}) {
				t.violated("the tags are %q, not b and c", got)
			}
		},
	},
}

var referrerRequirements = []Requirement{
	{
		Category: "discovery", Name: "referrers are 200", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "Assuming a repository is found, this request MUST return a `200 OK` response code.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			t.pushImage(repo, t.image(subject(of)))
			t.want(t.get(referrersURL(repo, of.digest)), http.StatusOK)
		},
	},
	{
		Category: "discovery", Name: "referrers are not 404", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "If the registry supports the referrers API, the registry MUST NOT return a `404 Not Found` to a referrers API requests.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushImage(repo, t.image())
			t.want(t.get(referrersURL(repo, t.absentDigest())), http.StatusOK)
		},
	},
	{
		Category: "discovery", Name: "no referrers are an empty list", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "If a query results in no matching referrers, an empty manifest list MUST be returned.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image())
			for _, d := range []digest.Digest{of.digest, t.absentDigest()} {
				a := t.get(referrersURL(repo, d))
				t.want(a, http.StatusOK)
				var index struct {
					Manifests *[]ocispec.Descriptor `json:"manifests"`
				}
				if t.decode(a, &index); index.Manifests == nil || len(*index.Manifests) > 0 {
					t.violated("manifests is not []")
				}
			}
		},
	},
	{
		Category: "discovery", Name: "referrers of an invalid digest are 400", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
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
		Category: "discovery", Name: "referrers have the Content-Type of an index", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
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
		Category: "discovery", Name: "referrers are an index", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
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
		Category: "discovery", Name: "referrers are those of the digest and the repository", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "Each descriptor is of an image manifest or index in the same `<name>` namespace with a `subject` field that specifies the value of `<digest>`.",
		check: func(t *registryTest) {
			repo, other := t.repo(), t.repo()
			of, alien := t.image(), t.pushImage(repo, t.image())
			// One is pushed before its subject, and one after it.
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
		Category: "discovery", Name: "new referrers are listed", Section: "Enabling the Referrers API", Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
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
		Category: "discovery", Name: "referrer has the artifactType of its manifest", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
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
		Category: "discovery", Name: "referrer without artifactType has the media type of its config", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "If the `artifactType` is empty or missing in the image manifest, the value of `artifactType` MUST be set to the config descriptor `mediaType` value.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			i := t.pushImage(repo, t.image(subject(of), func(m *ocispec.Manifest) { m.Config.MediaType = signatureType }))
			t.wantArtifactTypes(repo, of.digest, map[digest.Digest]string{i.digest: signatureType})
		},
	},
	{
		Category: "discovery", Name: "referring index without artifactType has none", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "If the `artifactType` is empty or missing in an index, the `artifactType` MUST be omitted.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			index := t.index(nil, func(index *ocispec.Index) {
				d := of.descriptor()
				index.Subject = &d
			})
			t.pushManifest(repo, "index", ocispec.MediaTypeImageIndex, index)
			a := t.get(referrersURL(repo, of.digest))
			t.want(a, http.StatusOK)
			var list struct {
				Manifests []map[string]json.RawMessage `json:"manifests"`
			}
			if t.decode(a, &list); len(list.Manifests) != 1 {
				t.violated("there are %d referrers, not 1", len(list.Manifests))
			}
			if v, ok := list.Manifests[0]["artifactType"]; ok {
				t.violated("artifactType is %s", v)
			}
		},
	},
	{
		Category: "discovery", Name: "referrer has the annotations of its manifest", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
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
		Category: "discovery", Name: "Link leads to the referrers that come next", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "Each response is an image index with different descriptors in the `manifests` field. The `Link` header MUST be set according to RFC 5988 with the Relation Type `rel=\"next\"`.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			pushed := t.pushLargeReferrers(repo, of, nil)
			t.wantReferrers(t.referrers(referrersURL(repo, of.digest)), pushed...)
		},
	},
	{
		Category: "discovery", Name: "list of referrers is no larger than a manifest", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers, FeatureManifestLimit},
		Text: "A `Link` header MUST be included in the response when the descriptor list cannot be returned in a single manifest.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			t.pushLargeReferrers(repo, of, nil)
			a := t.get(referrersURL(repo, of.digest))
			t.want(a, http.StatusOK)
			if limit := t.target.ManifestLimit; limit > 0 && int64(len(a.body)) > limit {
				t.violated("the list has %d bytes, but a manifest may have %d", len(a.body), limit)
			}
		},
	},
	{
		Category: "discovery", Name: "referrers can be filtered", Section: listingReferrers, Level: Should, Since: "1.1", with: []Feature{FeatureReferrers, FeatureReferrersFilter},
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
		Category: "discovery", Name: "filter is told of if it is applied", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "If filtering is requested and applied, the response MUST include a header `OCI-Filters-Applied: artifactType` denoting that an `artifactType` filter was applied.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			t.pushImage(repo, t.image(subject(of), artifactType(sbomType)))
			t.pushImage(repo, t.image(subject(of), artifactType(signatureType)))
			a := t.get(param(referrersURL(repo, of.digest), "artifactType", sbomType))
			t.want(a, http.StatusOK)
			var index ocispec.Index
			t.decode(a, &index)
			others := slices.ContainsFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.ArtifactType != sbomType })
			applied := a.Header.Get("OCI-Filters-Applied")
			switch {
			case applied != "" && applied != "artifactType":
				t.violated("OCI-Filters-Applied is %q", applied)
			case applied != "" && others:
				t.violated("OCI-Filters-Applied says that the list is filtered, but it is not")
			case applied == "" && !others && t.next(a) == "":
				t.violated("the list is filtered, but OCI-Filters-Applied does not say so")
			}
		},
	},
	{
		Category: "discovery", Name: "filter goes on in what a Link leads to", Section: listingReferrers, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers, FeatureReferrersFilter},
		Text: "Each response is an image index with different descriptors in the `manifests` field.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			want := t.pushLargeReferrers(repo, of, artifactType(sbomType))
			t.pushImage(repo, t.image(subject(of), artifactType(signatureType)))
			t.wantReferrers(t.referrers(param(referrersURL(repo, of.digest), "artifactType", sbomType)), want...)
		},
	},
	{
		Category: "discovery", Name: "deleted referrer is not listed", Section: definitions, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers, FeatureDeleteManifest},
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
		Category: "discovery", Name: "referrers are 404 where the API is not supported", Section: "Unavailable Referrers API", Level: Must, Since: "1.1", without: []Feature{FeatureReferrers},
		Text: "A client querying the referrers API and receiving a `404 Not Found` MUST fallback to using an image index pushed to a tag described by the referrers tag schema.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image())
			t.want(t.get(referrersURL(repo, i.digest)), http.StatusNotFound)
		},
	},
}

// catalogRequirements are those of listing repositories.
var catalogRequirements = []Requirement{
	{
		Category: "discovery", Name: "catalog lists the repositories", Section: dockerAPI + "Listing Repositories", Level: Must, Since: "1.0", with: []Feature{FeatureCatalog},
		Text: "The list of available repositories is made available through the catalog.",
		check: func(t *registryTest) {
			want := []string{t.repo(), t.repo()}
			for _, repo := range want {
				t.pushTagged(repo, "v1")
			}
			got := t.repositories("/v2/_catalog")
			for _, repo := range want {
				if !slices.Contains(got, repo) {
					t.violated("%s is not in the catalog", repo)
				}
			}
		},
	},
	{
		Category: "discovery", Name: "Link leads to the repositories that come next", Section: dockerAPI + "Pagination", Level: Must, Since: "1.0", with: []Feature{FeatureCatalog},
		Text: "If there are indeed more results, the URL for the next block is encoded in an RFC5988 `Link` header, as a \"next\" relation.",
		check: func(t *registryTest) {
			want := []string{t.repo(), t.repo(), t.repo()}
			for _, repo := range want {
				t.pushTagged(repo, "v1")
			}
			// What comes before may be much.
			first := want[0][:len(want[0])-1]
			got := t.repositories(param(param("/v2/_catalog", "n", "1"), "last", first))
			for _, repo := range want {
				if n := count(got, repo); n != 1 {
					t.violated("%s is in the pages of the catalog %d times, not once", repo, n)
				}
			}
		},
	},
}

func count(names []string, name string) (n int) {
	for _, s := range names {
		if s == name {
			n++
		}
	}
	return n
}

// pushTagged pushes an image with the tags, and returns them in order.
func (t *registryTest) pushTagged(repo string, tags ...string) []string {
	t.Helper()
	t.pushImage(repo, t.image(), tags...)
	slices.Sort(tags)
	return tags
}

// tagsIn returns the tags in the body of an answer.
func (t *registryTest) tagsIn(a *answer) []string {
	t.Helper()
	var list struct {
		Tags []string `json:"tags"`
	}
	t.decode(a, &list)
	return list.Tags
}

// tags returns the tags on all pages from the one at the URL on.
func (t *registryTest) tags(url string) (all []string) {
	t.Helper()
	for range maxPages {
		a := t.get(url)
		t.want(a, http.StatusOK)
		all = append(all, t.tagsIn(a)...)
		if url = t.next(a); url == "" {
			return all
		}
	}
	t.violated("there is no end of pages")
	return nil
}

// wantTags reports a violation unless the answer lists the tags.
func (t *registryTest) wantTags(a *answer, repo string, tags ...string) {
	t.Helper()
	t.want(a, http.StatusOK)
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	t.decode(a, &list)
	if list.Name != repo {
		t.violated("name is %q, not %q", list.Name, repo)
	}
	if !slices.Equal(list.Tags, tags) {
		t.violated("tags is %q, not %q", list.Tags, tags)
	}
}

// wantOrdered reports a violation unless the tags are in one of the orders
// that the spec has.
func (t *registryTest) wantOrdered(tags []string) {
	t.Helper()
	lexical := slices.IsSortedFunc(tags, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	if !lexical && !slices.IsSorted(tags) {
		t.violated("the tags are in no order: %q", tags)
	}
}

// next returns the URL that the header Link of an answer leads to, or "" if
// there is none.
func (t *registryTest) next(a *answer) string {
	t.Helper()
	link := a.Header.Get("Link")
	if link == "" {
		return ""
	}
	target, parameters, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.HasPrefix(link, "<") {
		t.violated("Link is %q, without a URL in < >", link)
	}
	isNext := false
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "rel") && slices.Contains(strings.Fields(strings.Trim(value, `"`)), "next") {
			isNext = true
		}
	}
	if !isNext {
		t.violated(`Link is %q, without rel="next"`, link)
	}
	u, err := a.Response.Request.URL.Parse(target)
	if err != nil {
		t.violated("Link leads to %q, which is no URL: %v", target, err)
	}
	return u.String()
}

// maxPages is how many pages a list may have before it is believed to have no
// end.
const maxPages = 10_000

// referrers returns the referrers on all pages from the one at the URL on.
func (t *registryTest) referrers(url string) (all []ocispec.Descriptor) {
	t.Helper()
	for range maxPages {
		a := t.get(url)
		t.want(a, http.StatusOK)
		var index ocispec.Index
		t.decode(a, &index)
		all = append(all, index.Manifests...)
		if url = t.next(a); url == "" {
			return all
		}
	}
	t.violated("there is no end of pages")
	return nil
}

// repositories returns the repositories on all pages from the one at the URL
// on.
func (t *registryTest) repositories(url string) (all []string) {
	t.Helper()
	for range maxPages {
		a := t.get(url)
		t.want(a, http.StatusOK)
		var list struct {
			Repositories []string `json:"repositories"`
		}
		t.decode(a, &list)
		all = append(all, list.Repositories...)
		if url = t.next(a); url == "" {
			return all
		}
	}
	t.violated("there is no end of pages")
	return nil
}

// wantReferrers reports a violation unless the referrers are of what was
// pushed, each once, in any order.
func (t *registryTest) wantReferrers(got []ocispec.Descriptor, want ...ocispec.Descriptor) {
	t.Helper()
	seen := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range got {
		if _, ok := seen[d.Digest]; ok {
			t.violated("%s is listed twice", d.Digest)
		}
		seen[d.Digest] = d
	}
	for _, w := range want {
		d, ok := seen[w.Digest]
		if !ok {
			t.violated("%s is not listed", w.Digest)
		}
		if d.MediaType != w.MediaType || d.Size != w.Size {
			t.violated("%s is listed with mediaType %q and size %d, not %q and %d", d.Digest, d.MediaType, d.Size, w.MediaType, w.Size)
		}
		delete(seen, w.Digest)
	}
	for d := range seen {
		t.violated("%s is listed, but should not be", d)
	}
}

func artifactType(mediaType string) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) { m.ArtifactType = mediaType }
}

// wantArtifactTypes reports a violation unless the referrers of the digest
// have the artifactTypes.
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

// pushLargeReferrers pushes referrers of the image whose descriptors together
// are larger than most manifests may be.
func (t *registryTest) pushLargeReferrers(repo string, of testImage, edit func(*ocispec.Manifest)) (pushed []ocispec.Descriptor) {
	t.Helper()
	padding := strings.Repeat("x", 900_000)
	shared := t.image()
	t.pushBlobsOf(repo, shared)
	for n := range 5 {
		i := t.image(subject(of), func(m *ocispec.Manifest) {
			m.Config, m.Layers = shared.Manifest.Config, shared.Layers
			m.Annotations = map[string]string{"org.example.padding": padding, "org.example.number": strconv.Itoa(n)}
			if edit != nil {
				edit(m)
			}
		})
		t.pushManifest(repo, string(i.digest), i.MediaType, i.content)
		pushed = append(pushed, i.descriptor())
	}
	return pushed
}
