package conformance

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ocireg/registry"
)

const listingTags = "Listing Tags"

// tagRequirements are the requirements for lists of tags.
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
		Category: "discovery", Name: "list of tags has the repository name", Section: listingTags, Level: Must, Since: "1.0",
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
		Category: "discovery", Name: "n tags are listed", Section: listingTags, Level: Must, Since: "1.0",
		Text: "The response to such a request MAY return fewer than `<int>` results, but only when the total number of tags attached to the repository is less than `<int>` or a `Link` header is provided. Otherwise, the response MUST include `<int>` results.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "a", "b", "c", "d", "e")
			for n := 1; n <= len(tags)+1; n++ {
				r := t.get(param(tagsURL(repo), "n", strconv.Itoa(n)))
				t.want(r, http.StatusOK)
				got := t.tagsIn(r)
				switch want := tags[:min(n, len(tags))]; {
				case len(got) > len(want) || !slices.Equal(got, want[:len(got)]):
					t.violated("the tags are %q, not %q", got, want)
				case len(got) < len(want) && r.Header.Get("Link") == "":
					t.violated("the page has %d tags of %d and no Link", len(got), len(want))
				}
			}
		},
	},
	{
		Category: "discovery", Name: "n=0 lists no tags", Section: listingTags, Level: Must, Since: "1.0",
		Text: "When `n` is zero, this endpoint MUST return an empty list, and MUST NOT include a `Link` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "a", "b")
			r := t.get(param(tagsURL(repo), "n", "0"))
			t.wantTags(r, repo)
			t.wantHeader(r, "Link", "")
		},
	},
	{
		Category: "discovery", Name: "Link leads to the next tags", Section: listingTags, Level: Must, Since: "1.1",
		Text: "If included, the `Link` header MUST be set according to RFC 5988 with the Relation Type `rel=\"next\"`.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "a", "b", "c", "d", "e", "f", "g")
			for _, n := range []int{1, 2, 3, len(tags)} {
				url := param(tagsURL(repo), "n", strconv.Itoa(n))
				var got []string
				for linked := false; url != ""; linked = true {
					r := t.get(url)
					t.want(r, http.StatusOK)
					page := t.tagsIn(r)
					if got = append(got, page...); len(page) > n || len(got) > len(tags) {
						t.violated("with n=%d, the page is %q, and %d tags of %d are listed so far", n, page, len(got), len(tags))
					}
					if url = t.next(r); url == "" && !linked {
						return // A registry may send the whole list without a Link.
					}
				}
				if !slices.Equal(got, tags) {
					t.violated("the tags on all pages are %q, not %q", got, tags)
				}
			}
		},
	},
	{
		Category: "discovery", Name: "tags after last are listed", Section: listingTags, Level: Must, Since: "1.0",
		Text: "That is to say, `<tagname>` will not be included in the results, but up to `<int>` tags *after* `<tagname>` will be returned.",
		check: func(t *registryTest) {
			repo := t.repo()
			tags := t.pushTagged(repo, "a", "b", "c", "d", "e")
			for i, last := range tags {
				for n := 1; n <= len(tags); n++ {
					r := t.get(param(param(tagsURL(repo), "n", strconv.Itoa(n)), "last", last))
					t.want(r, http.StatusOK)
					want := tags[i+1 : min(i+1+n, len(tags))]
					got := t.tagsIn(r)
					if len(got) < len(want) && r.Header.Get("Link") != "" {
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
				r := t.get(url)
				t.want(r, http.StatusOK)
				page := t.tagsIn(r)
				if got = append(got, page...); len(page) == 0 {
					t.violated("the page after %q is empty, but %d tags are left", last, len(tags)-len(got))
				}
				t.wantOrdered(got)
			}
			if slices.Sort(got); !slices.Equal(got, tags) {
				t.violated("the tags on all pages are %q, not %q", got, tags)
			}
		},
	},
	{
		Category: "discovery", Name: "last works without n", Section: listingTags, Level: Must, Since: "1.0",
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

// catalogRequirements are the requirements of lists of repositories.
var catalogRequirements = []Requirement{
	{
		Category: "discovery", Name: "catalog lists the repositories", Section: dockerAPI + "Listing Repositories", Level: Must, Since: "1.0", with: features{registry.ListRepositories},
		Text: "The list of available repositories is made available through the catalog.",
		check: func(t *registryTest) {
			want := []string{t.repo(), t.repo()}
			for _, repo := range want {
				t.pushTagged(repo, "v1")
			}
			got := t.repositories("/v2/_catalog")
			for _, repo := range want {
				if !slices.Contains(got, repo) {
					t.violated("the catalog does not list %s", repo)
				}
			}
		},
	},
	{
		Category: "discovery", Name: "Link leads to the next repositories", Section: dockerAPI + "Pagination", Level: Must, Since: "1.0", with: features{registry.ListRepositories},
		Text: "If there are indeed more results, the URL for the next block is encoded in an RFC5988 `Link` header, as a \"next\" relation.",
		check: func(t *registryTest) {
			want := []string{t.repo(), t.repo(), t.repo()}
			for _, repo := range want {
				t.pushTagged(repo, "v1")
			}
			// Start near these names, since the registry may have many others.
			first := want[0][:len(want[0])-1]
			got := t.repositories(param(param("/v2/_catalog", "n", "1"), "last", first))
			for _, repo := range want {
				if !slices.Contains(got, repo) {
					t.violated("the pages of the catalog do not list %s", repo)
				}
				if i := slices.Index(got, repo); slices.Contains(got[i+1:], repo) {
					t.violated("the pages of the catalog list %s twice", repo)
				}
			}
		},
	},
}

// pushTagged pushes an image with the tags, and returns the tags in byte order.
func (t *registryTest) pushTagged(repo string, tags ...string) []string {
	t.Helper()
	t.pushImage(repo, t.image(), tags...)
	slices.Sort(tags)
	return tags
}

// tagsIn decodes the list of tags in the body of a response.
func (t *registryTest) tagsIn(r *response) []string {
	t.Helper()
	var list struct {
		Tags []string `json:"tags"`
	}
	t.decode(r, &list)
	return list.Tags
}

// tags returns the tags on all pages of a list, starting with the page at the
// URL.
func (t *registryTest) tags(url string) (all []string) {
	t.Helper()
	t.pages(url, func(page *response) { all = append(all, t.tagsIn(page)...) })
	return all
}

// wantTags reports a violation unless the response lists exactly the tags.
func (t *registryTest) wantTags(r *response, repo string, tags ...string) {
	t.Helper()
	t.want(r, http.StatusOK)
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	t.decode(r, &list)
	if list.Name != repo {
		t.violated("name is %q, not %q", list.Name, repo)
	}
	if !slices.Equal(list.Tags, tags) {
		t.violated("tags is %q, not %q", list.Tags, tags)
	}
}

// wantOrdered reports a violation unless the tags are in byte order or in
// case-insensitive order. Versions of the spec differ in the order that they
// require.
func (t *registryTest) wantOrdered(tags []string) {
	t.Helper()
	lexical := slices.IsSortedFunc(tags, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	if !lexical && !slices.IsSorted(tags) {
		t.violated("the tags are neither in byte order nor in case-insensitive order: %q", tags)
	}
}

// repositories returns the repositories on all pages of a list, starting with
// the page at the URL.
func (t *registryTest) repositories(url string) (all []string) {
	t.Helper()
	t.pages(url, func(page *response) {
		var list struct {
			Repositories []string `json:"repositories"`
		}
		t.decode(page, &list)
		all = append(all, list.Repositories...)
	})
	return all
}
