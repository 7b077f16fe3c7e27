package registry_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// next returns the URL in the field Link of a response, or "" if the response
// has none.
func next(t testing.TB, a *httptest.ResponseRecorder) string {
	t.Helper()
	link := a.Header().Get("Link")
	if link == "" {
		return ""
	}
	require.Regexp(t, `^<[^<>]+>; rel="next"$`, link)
	return link[1:strings.IndexByte(link, '>')]
}

// names follows the Links from the target and returns the names in the given
// JSON field of each page.
func (t *registryTest) names(target, field string) (pages [][]string) {
	t.Helper()
	for target != "" {
		a := t.want(200, t.call("GET", target, ""))
		require.Equal(t, "application/json", a.Header().Get("Content-Type"))
		var body map[string]any
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &body))
		require.IsType(t, []any{}, body[field], "an empty list is [], not null")
		page := []string{}
		for _, name := range body[field].([]any) {
			page = append(page, name.(string))
		}
		pages = append(pages, page)
		target = next(t, a)
	}
	return pages
}

// Listing Tags: a client can list all tags, or pages of tags with n and last.
func TestTagsAreListed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("team/app")
		tags := []string{"10", "9", "A", "Z", "_", "a", "a-1", "a.1", "b", "v1.0.0"}
		for _, i := range []int{3, 0, 9, 5, 1, 8, 4, 2, 7, 6} {
			t.want(201, t.call("PUT", "/v2/team/app/manifests/"+tags[i], m, "Content-Type", imageType))
		}
		const path = "/v2/team/app/tags/list"
		a := t.want(200, t.call("GET", path, ""))
		require.JSONEq(t, toJSON(t, map[string]any{"name": "team/app", "tags": tags}), a.Body.String())
		require.Empty(t, a.Header().Get("Link"))
		require.Zero(t, t.want(200, t.call("HEAD", path, "")).Body.Len())

		for _, tt := range []struct {
			query string
			pages [][]string
		}{
			{"?n=3", [][]string{tags[:3], tags[3:6], tags[6:9], tags[9:]}},
			{"?n=5", [][]string{tags[:5], tags[5:]}},
			{"?n=9", [][]string{tags[:9], tags[9:]}},
			{"?n=10", [][]string{tags}},
			{"?n=11", [][]string{tags}},
			{"?n=99999999999999999999", [][]string{tags}},
			{"?n=0", [][]string{{}}},
			{"?n=0&last=a", [][]string{{}}},
			{"?last=a", [][]string{tags[6:]}},
			{"?last=", [][]string{tags}},
			{"?last=v1.0.0", [][]string{{}}},
			{"?last=a-", [][]string{tags[6:]}}, // last need not be an existing tag
			{"?last=~&n=4", [][]string{{}}},
			{"?n=4&last=_", [][]string{tags[5:9], tags[9:]}},
		} {
			require.Equal(t, tt.pages, t.names(path+tt.query, "tags"), tt.query)
		}
		for _, n := range []string{"-1", "x", "1.5", "0x1", "-99999999999999999999"} {
			t.wantError(400, t.call("GET", path+"?n="+n, ""), registry.CodeUnsupported)
		}
		t.wantError(404, t.call("GET", "/v2/team/tags/list", ""), registry.CodeNameUnknown)
		t.wantError(404, t.call("GET", "/v2/nowhere/tags/list?n=0", ""), registry.CodeNameUnknown)
	})
}

func TestTagsOfARepositoryWithoutTags(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushBlob("blobs", "x")
		t.pushImage("untagged", "")
		for _, repo := range []string{"blobs", "untagged"} {
			require.JSONEq(t, `{"name":"`+repo+`","tags":[]}`, t.want(200, t.call("GET", "/v2/"+repo+"/tags/list", "")).Body.String())
		}
	})
}

// No response has more tags, repositories or referrers than WithPageSize
// permits.
func TestPageSize(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for i := range 7 {
			t.want(201, t.call("PUT", fmt.Sprintf("/v2/app/manifests/v%d", i), m, "Content-Type", imageType))
			t.pushImage("app", "", subjectOf(m), annotated(fmt.Sprint(i)))
			t.pushBlob(fmt.Sprintf("r%d", i), "x")
		}
		count := func(pages [][]string) (sizes []int) {
			for _, p := range pages {
				sizes = append(sizes, len(p))
			}
			return sizes
		}
		require.Equal(t, []int{3, 3, 1}, count(t.names("/v2/app/tags/list", "tags")))
		require.Equal(t, []int{3, 3, 1}, count(t.names("/v2/app/tags/list?n=5", "tags")))
		require.Equal(t, []int{2, 2, 2, 1}, count(t.names("/v2/app/tags/list?n=2", "tags")))
		require.Equal(t, []int{3, 3, 2}, count(t.names("/v2/_catalog", "repositories")))
		require.Len(t, t.referrers("app", sum(m), ""), 3)
	}, registry.WithPageSize(3))
}

// WithPageSize(0) counts as 1, because a page without entries could have no Link
// to the next page.
func TestPageHasAnEntryAtLeast(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1} {
		h := inMemory(t, registry.WithPageSize(size))
		h.pushBlob("a", "x")
		h.pushBlob("b", "x")
		require.Equal(t, [][]string{{"a"}, {"b"}}, h.names("/v2/_catalog", "repositories"))
	}
}

// A client can list all repositories, or pages of repositories with n and last
// (Docker Registry HTTP API V2, Listing Repositories).
func TestCatalog(t *testing.T) {
	overStores(t, func(t *registryTest) {
		require.Equal(t, [][]string{{}}, t.names("/v2/_catalog", "repositories"))
		repos := []string{"a", "a-b", "a/b", "a0", "b/c/d", "z"}
		for _, repo := range []string{"z", "a0", "a/b", "a", "b/c/d", "a-b"} {
			t.pushBlob(repo, "x")
		}
		require.Equal(t, [][]string{repos}, t.names("/v2/_catalog", "repositories"))
		require.Equal(t, [][]string{repos[:4], repos[4:]}, t.names("/v2/_catalog?n=4", "repositories"))
		require.Equal(t, [][]string{repos[:3], repos[3:]}, t.names("/v2/_catalog?n=3", "repositories"))
		require.Equal(t, [][]string{repos[3:5], repos[5:]}, t.names("/v2/_catalog?n=2&last=a%2Fb", "repositories"))
		require.Equal(t, [][]string{{}}, t.names("/v2/_catalog?n=0", "repositories"))
		t.wantError(400, t.call("GET", "/v2/_catalog?n=-1", ""), registry.CodeUnsupported)
		require.Zero(t, t.want(200, t.call("HEAD", "/v2/_catalog", "")).Body.Len())
		t.wantError(404, t.over(registry.Without(registry.ListRepositories)).call("GET", "/v2/_catalog", ""), registry.CodeUnsupported)
	})
}

// referrers follows the Links of a list of referrers and returns the descriptors
// of each page. The query may filter the list.
func (t *registryTest) referrers(repo string, of digest.Digest, query string) (pages [][]ocispec.Descriptor) {
	t.Helper()
	target := "/v2/" + repo + "/referrers/" + string(of) + query
	for target != "" {
		a := t.want(200, t.call("GET", target, ""))
		require.Equal(t, indexType, a.Header().Get("Content-Type"))
		filtered := strings.Contains(target, "artifactType")
		require.Equal(t, filtered, a.Header().Get("OCI-Filters-Applied") == "artifactType")
		var index ocispec.Index
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &index))
		require.Equal(t, 2, index.SchemaVersion)
		require.Equal(t, indexType, index.MediaType)
		require.NotNil(t, index.Manifests)
		pages = append(pages, index.Manifests)
		target = next(t, a)
	}
	return pages
}

// Listing Referrers: a client can list all referrers of a manifest, those of one
// artifactType, and pages of either.
func TestReferrersAreListed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		d := describe(imageType, m)
		withType := t.pushImage("app", "", subjectOf(m), annotated("ä\"<"), func(m *ocispec.Manifest) { m.ArtifactType = "a/type" })
		withConfig := t.pushImage("app", "tagged", subjectOf(m), func(m *ocispec.Manifest) { m.Config.MediaType = "a/config" })
		index := toJSON(t, ocispec.Index{Versioned: versioned, Manifests: []ocispec.Descriptor{}, Subject: &d, Annotations: map[string]string{"a": "b"}})
		indexWithType := toJSON(t, ocispec.Index{Versioned: versioned, Manifests: []ocispec.Descriptor{}, Subject: &d, ArtifactType: "a/type"})
		artifact := `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"a/artifact","subject":` + toJSON(t, d) + `}`
		unknown := `{"artifactType":"a/unknown","subject":` + toJSON(t, d) + `}`
		for content, mediaType := range map[string]string{index: indexType, indexWithType: indexType, artifact: "application/vnd.oci.artifact.manifest.v1+json", unknown: "a/b"} {
			t.want(201, t.call("PUT", "/v2/app/manifests/"+string(sum(content)), content, "Content-Type", mediaType))
		}
		// Referrers of other subjects or in other repositories are not listed.
		t.pushImage("app", "", subjectOf("other"))
		t.pushImage("elsewhere", "", subjectOf(m))

		entry := func(mediaType, content, artifactType string, annotations map[string]string) ocispec.Descriptor {
			d := describe(mediaType, content)
			d.ArtifactType, d.Annotations = artifactType, annotations
			return d
		}
		want := []ocispec.Descriptor{
			entry(imageType, withType, "a/type", map[string]string{"org.example": "ä\"<"}),
			entry(imageType, withConfig, "a/config", nil),
			entry(indexType, index, "", map[string]string{"a": "b"}),
			entry(indexType, indexWithType, "a/type", nil),
			entry("application/vnd.oci.artifact.manifest.v1+json", artifact, "a/artifact", nil),
			entry("a/b", unknown, "a/unknown", nil),
		}
		slices.SortFunc(want, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
		require.Equal(t, [][]ocispec.Descriptor{want}, t.referrers("app", sum(m), ""))
		require.NotContains(t, t.call("GET", "/v2/app/referrers/"+string(sum(m))+"?artifactType=", "").Header(), "Oci-Filters-Applied")
		require.Zero(t, t.want(200, t.call("HEAD", "/v2/app/referrers/"+string(sum(m)), "")).Body.Len())

		// Filter the list by artifactType, in one response and in pages.
		for _, artifactType := range []string{"a/type", "a/config", "a/artifact", "a/none", imageType} {
			filtered := slices.DeleteFunc(slices.Clone(want), func(d ocispec.Descriptor) bool { return d.ArtifactType != artifactType })
			query := "?artifactType=" + url.QueryEscape(artifactType)
			require.Equal(t, [][]ocispec.Descriptor{filtered}, t.referrers("app", sum(m), query), artifactType)
			pages := t.referrers("app", sum(m), query+"&n=1")
			require.Len(t, pages, max(len(filtered), 1))
			require.Equal(t, filtered, append([]ocispec.Descriptor{}, slices.Concat(pages...)...))
		}
		pages := t.referrers("app", sum(m), "?n=4")
		require.Equal(t, [][]ocispec.Descriptor{want[:4], want[4:]}, pages)

		// A deleted manifest is no longer listed.
		t.want(202, t.call("DELETE", "/v2/app/manifests/"+string(want[2].Digest), ""))
		require.Equal(t, slices.Delete(want, 2, 3), slices.Concat(t.referrers("app", sum(m), "")...))
		t.want(202, t.call("DELETE", "/v2/app/manifests/"+string(sum(m)), ""))
		require.Len(t, slices.Concat(t.referrers("app", sum(m), "")...), 5)
	})
}

func TestNoReferrersAreAnEmptyList(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		for _, repo := range []string{"app", "nowhere"} {
			for _, d := range []digest.Digest{sum(m), sum("absent"), digest.SHA512.FromString("absent")} {
				a := t.want(200, t.call("GET", "/v2/"+repo+"/referrers/"+string(d), ""))
				require.JSONEq(t, `{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[]}`, a.Body.String())
			}
		}
		for _, d := range []string{"sha256:", "sha256:x", "x", "md5:", "md5:a%20b", "sha256:" + strings.ToUpper(sum("x").Encoded())} {
			t.wantError(400, t.call("GET", "/v2/app/referrers/"+d, ""), registry.CodeDigestInvalid)
		}
		t.wantError(400, t.call("GET", "/v2/app/referrers/"+string(sum(m))+"?last=x", ""), registry.CodeDigestInvalid)
		t.wantError(404, t.over(registry.Without(registry.ListReferrers)).call("GET", "/v2/app/referrers/"+string(sum(m)), ""), registry.CodeUnsupported)
	})
}

// Listing Referrers: "A Link header MUST be included in the response when the
// descriptor list cannot be returned in a single manifest."
func TestReferrersThatAreTooManyForAManifest(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const limit = 10_000
		m := t.pushImage("app", "v1")
		want := map[digest.Digest]bool{}
		for i := range 9 {
			r := t.pushImage("app", "", subjectOf(m), annotated(strings.Repeat(fmt.Sprint(i), 3000)))
			want[sum(r)] = true
		}
		// The manifest contains each < as it is, but json.Marshal writes \u003c in
		// the list, so this entry alone exceeds the limit of a list.
		r := strings.Replace(t.image("app", subjectOf(m), annotated("@")), "@", strings.Repeat("<", 9000), 1)
		t.want(201, t.call("PUT", "/v2/app/manifests/large", r, "Content-Type", imageType))
		want[sum(r)] = true
		for _, query := range []string{"", "?artifactType=" + url.QueryEscape(ocispec.MediaTypeImageConfig)} {
			target := "/v2/app/referrers/" + string(sum(m)) + query
			got := map[digest.Digest]bool{}
			for target != "" {
				a := t.want(200, t.call("GET", target, ""))
				var index ocispec.Index
				require.NoError(t, json.Unmarshal(a.Body.Bytes(), &index))
				require.NotEmpty(t, index.Manifests)
				if len(index.Manifests) > 1 {
					require.LessOrEqual(t, a.Body.Len(), limit)
				}
				for _, d := range index.Manifests {
					require.False(t, got[d.Digest])
					got[d.Digest] = true
				}
				target = next(t, a)
				require.Equal(t, target != "" && query != "", strings.Contains(target, "artifactType"))
			}
			require.Equal(t, want, maps.Clone(got))
		}
	}, registry.WithManifestLimit(10_000))
}

// Enabling the Referrers API: the list has manifests that were pushed before the
// API was enabled.
func TestReferrersFromBeforeTheAPIWasThere(t *testing.T) {
	overStores(t, func(t *registryTest) {
		before := t.over(registry.Without(registry.ListReferrers))
		m := before.pushImage("app", "v1")
		old := before.pushImage("app", "", subjectOf(m))
		before.wantError(404, before.call("GET", "/v2/app/referrers/"+string(sum(m)), ""), registry.CodeUnsupported)
		// The client maintains a list under the referrers tag.
		tag := "sha256-" + sum(m).Encoded()
		list := toJSON(t, ocispec.Index{Versioned: versioned, MediaType: indexType, Manifests: []ocispec.Descriptor{describe(imageType, old)}})
		before.want(201, before.call("PUT", "/v2/app/manifests/"+tag, list, "Content-Type", indexType))

		pages := t.referrers("app", sum(m), "")
		require.Len(t, pages[0], 1)
		require.Equal(t, sum(old), pages[0][0].Digest)
		// Clients that do not use the API still find the list under the referrers
		// tag.
		t.wantPulled("/v2/app/manifests/"+tag, list)
	})
}

// The Link to the next page keeps all parameters of the request.
func TestLinkKeepsTheQuery(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("team/app")
		for _, tag := range []string{"a", "b", "c"} {
			t.want(201, t.call("PUT", "/v2/team/app/manifests/"+tag, m, "Content-Type", imageType))
		}
		a := t.want(200, t.call("GET", "/v2/team%2Fapp/tags/list?n=1&ns=example.org&x=%3C%3E", ""))
		target, err := url.Parse(next(t, a))
		require.NoError(t, err)
		require.Equal(t, "/v2/team/app/tags/list", target.Path)
		require.Equal(t, url.Values{"n": {"1"}, "last": {"a"}, "ns": {"example.org"}, "x": {"<>"}}, target.Query())
	})
}

// A client can list the extensions of the whole registry and of one repository.
func TestDiscover(t *testing.T) {
	overStores(t, func(t *registryTest) {
		extensions := func(a *httptest.ResponseRecorder) (names []string) {
			t.Helper()
			t.want(200, a)
			require.Equal(t, "application/json", a.Header().Get("Content-Type"))
			var body struct {
				Extensions []struct{ Name, URL, Description string }
			}
			require.NoError(t, json.Unmarshal(a.Body.Bytes(), &body))
			for _, e := range body.Extensions {
				names = append(names, e.Name)
				require.NotEmpty(t, e.Description)
				require.Regexp(t, "^https://", e.URL)
			}
			return names
		}
		t.pushBlob("team/app", "x")
		require.Equal(t, []string{"_oci", "_catalog"}, extensions(t.call("GET", "/v2/_oci/ext/discover", "")))
		require.Equal(t, []string{"_oci"}, extensions(t.call("GET", "/v2/team/app/_oci/ext/discover", "")))
		t.wantError(404, t.call("GET", "/v2/team/_oci/ext/discover", ""), registry.CodeNameUnknown)
		t.wantError(400, t.call("GET", "/v2/TEAM/_oci/ext/discover", ""), registry.CodeNameInvalid)
		require.Equal(t, []string{"_oci"}, extensions(t.over(registry.Without(registry.ListRepositories)).call("GET", "/v2/_oci/ext/discover", "")))
		less := t.over(registry.Without(registry.ListExtensions))
		t.wantError(404, less.call("GET", "/v2/_oci/ext/discover", ""), registry.CodeUnsupported)
		t.wantError(404, less.call("GET", "/v2/team/app/_oci/ext/discover", ""), registry.CodeUnsupported)
	})
}

// In a URL, a plus sign in the query means a plus sign (RFC 3986). A media type
// has no space, so a space in artifactType counts as a plus sign.
func TestFilterWithALiteralPlus(t *testing.T) {
	overStores(t, func(t *registryTest) {
		subject := t.pushImage("app", "v1")
		m := t.image("app", subjectOf(subject), func(m *ocispec.Manifest) { m.ArtifactType = "application/spdx+json" })
		t.want(201, t.put(m, imageType))
		for _, filter := range []string{"application/spdx+json", "application/spdx%2Bjson", "application%2Fspdx%2bjson"} {
			require.Len(t, t.referrers("app", sum(subject), "?artifactType="+filter)[0], 1, filter)
		}
		require.Empty(t, t.referrers("app", sum(subject), "?artifactType=application/spdx")[0])
	})
}

// An empty parameter n counts as absent.
func TestEmptyPageSizeIsNone(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		for _, path := range []string{"/v2/app/tags/list", "/v2/_catalog", "/v2/app/referrers/" + string(sum(m))} {
			require.Equal(t, t.call("GET", path, "").Body.String(), t.want(200, t.call("GET", path+"?n=", "")).Body.String())
		}
	})
}
