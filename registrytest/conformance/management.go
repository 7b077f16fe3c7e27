package conformance

import (
	"net/http"
	"slices"

	"github.com/ocireg/registry"
)

const (
	deletingTags      = "Deleting tags"
	deletingManifests = "Deleting Manifests"
	deletingBlobs     = "Deleting Blobs"
)

// deleteRequirements are the requirements of deletions.
var deleteRequirements = []Requirement{
	{
		Category: "management", Name: "deleting a tag is 202", Section: deletingTags, Level: Must, Since: "1.0", with: features{registry.DeleteTag},
		Text: "Upon success, the registry MUST respond with a `202 Accepted` code.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			t.want(t.delete(manifestURL(repo, "v1")), http.StatusAccepted)
		},
	},
	{
		Category: "management", Name: "deleted tag is 404", Section: deletingTags, Level: Must, Since: "1.0", with: features{registry.DeleteTag},
		Text: "Once deleted, a `GET` to `/v2/<name>/manifests/<tag>` will return a 404.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1", "v2")
			t.prepare("deleting a tag", func() { t.want(t.delete(manifestURL(repo, "v1")), http.StatusAccepted) })
			t.want(t.get(manifestURL(repo, "v1")), http.StatusNotFound)
			if tags := t.tagsIn(t.get(tagsURL(repo))); slices.Contains(tags, "v1") {
				t.violated("the list has the deleted tag")
			}
		},
	},
	{
		Category: "management", Name: "manifest stays when its tag is deleted", Section: deletingTags, Level: Must, Since: "1.0", with: features{registry.DeleteTag},
		Text: "`<name>` is the namespace of the repository, and `<tag>` is the name of the tag to be deleted.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1", "v2")
			t.prepare("deleting a tag", func() { t.want(t.delete(manifestURL(repo, "v1")), http.StatusAccepted) })
			for _, reference := range []string{"v2", string(i.digest)} {
				t.wantImage(repo, reference, i)
			}
		},
	},
	{
		Category: "management", Name: "deleting a tag is 400 or 405 if disabled", Section: deletingTags, Level: Must, Since: "1.0", without: features{registry.DeleteTag},
		Text: "If tag deletion is disabled, the registry MUST respond with either a `400 Bad Request` or a `405 Method Not Allowed`.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			t.want(t.delete(manifestURL(repo, "v1")), http.StatusBadRequest, http.StatusMethodNotAllowed)
			t.want(t.get(manifestURL(repo, "v1")), http.StatusOK)
		},
	},
	{
		Category: "management", Name: "deleting a manifest is 202", Section: deletingManifests, Level: Must, Since: "1.0", with: features{registry.DeleteManifest},
		Text: "Upon success, the registry MUST respond with a `202 Accepted` code.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image())
			t.want(t.delete(manifestURL(repo, i.digest)), http.StatusAccepted)
		},
	},
	{
		Category: "management", Name: "deleted manifest and its tags are 404", Section: deletingManifests, Level: Must, Since: "1.0", with: features{registry.DeleteManifest},
		Text: "Once deleted, a `GET` to `/v2/<name>/manifests/<digest>` and any tag pointing to that digest will return a 404.",
		check: func(t *registryTest) {
			repo := t.repo()
			stays := t.pushImage(repo, t.image(), "v3")
			i := t.pushImage(repo, t.image(), "v1", "v2")
			t.prepare("deleting a manifest", func() { t.want(t.delete(manifestURL(repo, i.digest)), http.StatusAccepted) })
			for _, reference := range []string{string(i.digest), "v1", "v2"} {
				t.want(t.get(manifestURL(repo, reference)), http.StatusNotFound)
				t.want(t.head(manifestURL(repo, reference)), http.StatusNotFound)
			}
			t.want(t.get(manifestURL(repo, "v3"), "Accept", stays.MediaType), http.StatusOK)
		},
	},
	{
		Category: "management", Name: "deleting a manifest of an absent repository is 404", Section: deletingManifests, Level: Must, Since: "1.0", with: features{registry.DeleteManifest},
		Text: "If the repository does not exist, the response MUST return `404 Not Found`.",
		check: func(t *registryTest) {
			t.want(t.delete(manifestURL(t.repo(), t.absentDigest())), http.StatusNotFound)
		},
	},
	{
		Category: "management", Name: "deleting a manifest is 400 or 405 if disabled", Section: deletingManifests, Level: Must, Since: "1.0", without: features{registry.DeleteManifest},
		Text: "If manifest deletion is disabled, the registry MUST respond with either a `400 Bad Request` or a `405 Method Not Allowed`.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image())
			t.want(t.delete(manifestURL(repo, i.digest)), http.StatusBadRequest, http.StatusMethodNotAllowed)
			t.want(t.get(manifestURL(repo, i.digest)), http.StatusOK)
		},
	},
	{
		Category: "management", Name: "deleting a blob is 202", Section: deletingBlobs, Level: Must, Since: "1.0", with: features{registry.DeleteBlob},
		Text: "Upon success, the registry MUST respond with code `202 Accepted`.",
		check: func(t *registryTest) {
			repo := t.repo()
			d := t.pushBlob(repo, t.bytes(1000))
			t.want(t.delete(blobURL(repo, d)), http.StatusAccepted)
		},
	},
	{
		Category: "management", Name: "deleted blob is 404", Section: deletingBlobs, Level: Must, Since: "1.0", with: features{registry.DeleteBlob},
		Text: "If the blob is not found, a `404 Not Found` code MUST be returned.",
		check: func(t *registryTest) {
			repo, other := t.repo(), t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(repo, content)
			t.pushBlob(other, content)
			t.prepare("deleting a blob", func() { t.want(t.delete(blobURL(repo, d)), http.StatusAccepted) })
			t.want(t.get(blobURL(repo, d)), http.StatusNotFound)
			t.want(t.head(blobURL(repo, d)), http.StatusNotFound)
			t.want(t.delete(blobURL(repo, d)), http.StatusNotFound)
			// The blob is still in the other repository.
			t.want(t.get(blobURL(other, d)), http.StatusOK)
		},
	},
	{
		Category: "management", Name: "deleting an absent blob is 404", Section: deletingBlobs, Level: Must, Since: "1.0", with: features{registry.DeleteBlob},
		Text: "If the blob is not found, a `404 Not Found` code MUST be returned.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushBlob(repo, t.bytes(10))
			t.want(t.delete(blobURL(repo, t.absentDigest())), http.StatusNotFound)
		},
	},
	{
		Category: "management", Name: "deleting a blob is 400 or 405 if disabled", Section: deletingBlobs, Level: Must, Since: "1.0", without: features{registry.DeleteBlob},
		Text: "If blob deletion is disabled, the registry MUST respond with either a `400 Bad Request` or a `405 Method Not Allowed`.",
		check: func(t *registryTest) {
			repo := t.repo()
			d := t.pushBlob(repo, t.bytes(1000))
			t.want(t.delete(blobURL(repo, d)), http.StatusBadRequest, http.StatusMethodNotAllowed)
			t.want(t.get(blobURL(repo, d)), http.StatusOK)
		},
	},
	{
		Category: "management", Name: "If-Match and If-None-Match guard a tag from deletion", Section: rfc9110 + "13.1.1", Level: Must, Since: "main",
		with: features{registry.DeleteTag, registry.ConditionalReads, registry.ConditionalWrites},
		Text: "When an origin server receives a request that selects a representation and that request includes an If-Match header field, the origin server MUST evaluate the If-Match condition per Section 13.2 prior to performing the method.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			t.wantGuarded(manifestURL(repo, "v1"), i.MediaType)
		},
	},
	{
		Category: "management", Name: "If-Match and If-None-Match guard a manifest from deletion", Section: rfc9110 + "13.1.1", Level: Must, Since: "main",
		with: features{registry.DeleteManifest, registry.ConditionalReads, registry.ConditionalWrites},
		Text: "When an origin server receives a request that selects a representation and that request includes an If-Match header field, the origin server MUST evaluate the If-Match condition per Section 13.2 prior to performing the method.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image())
			t.wantGuarded(manifestURL(repo, i.digest), i.MediaType)
		},
	},
	{
		Category: "management", Name: "If-Match and If-None-Match guard a blob from deletion", Section: rfc9110 + "13.1.1", Level: Must, Since: "main",
		with: features{registry.DeleteBlob, registry.ConditionalReads, registry.ConditionalWrites},
		Text: "When an origin server receives a request that selects a representation and that request includes an If-Match header field, the origin server MUST evaluate the If-Match condition per Section 13.2 prior to performing the method.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.wantGuarded(blobURL(repo, t.pushBlob(repo, t.bytes(1000))), octetStream)
		},
	},
}

// wantGuarded reports a violation if a DELETE of the URL deletes the content although
// its condition, such as If-Match, is false, or if it fails although its condition is
// true. The GET requests have the value accept in Accept.
func (t *registryTest) wantGuarded(url, accept string) {
	t.Helper()
	etag := t.get(url, "Accept", accept).Header.Get("ETag")
	if etag == "" {
		t.violated("the response has no ETag")
	}
	for _, condition := range [][]string{{"If-Match", `"other"`}, {"If-None-Match", etag}, {"If-None-Match", "*"}} {
		r := t.delete(url, condition...)
		if t.get(url, "Accept", accept).StatusCode != http.StatusOK {
			t.last = r
			t.violated("the content was deleted, although the condition was false")
		}
	}
	t.want(t.delete(url, "If-Match", `"other", `+etag), http.StatusAccepted)
}
