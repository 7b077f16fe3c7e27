package conformance

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

const (
	pushing             = "Push"
	pushingManifests    = "Pushing Manifests"
	pushingWithSubject  = "Pushing Manifests with Subject"
	leastManifestLimit  = 4_000_000 // 4 megabytes
	enoughTagParameters = 10
)

// manifestRequirements are the requirements of manifest pushes.
var manifestRequirements = []Requirement{
	{
		Category: "push", Name: "manifest is 201 with the Location of the manifest", Section: pushingManifests, Level: Must, Since: "1.0",
		Text: "Upon a successful upload, the registry MUST return response code `201 Created`, and MUST have the following header: Location: <location>",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			for _, reference := range []string{"v1", string(i.digest)} {
				t.wantCreated(t.putImage(repo, reference, i), i.content)
			}
		},
	},
	{
		Category: "push", Name: "manifest is kept byte by byte", Section: pushingManifests, Level: Must, Since: "1.0",
		Text: "The registry MUST store the manifest in the exact byte representation provided by the client.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			i.content = slices.Concat([]byte("\r\n\t "), bytes.ReplaceAll(i.content, []byte(","), []byte("\r\n,\t ")), []byte(" \n"))
			d := t.pushManifest(repo, "v1", i.MediaType, i.content)
			for _, reference := range []string{"v1", string(d)} {
				t.wantImage(repo, reference, i)
			}
		},
	},
	{
		Category: "push", Name: "pushed manifest has its digest in Docker-Content-Digest", Section: pushingManifests, Level: Must, Since: "1.1",
		Text: "The Docker-Content-Digest header returns the digest of the uploaded blob, and MUST be equal to the client provided digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			r := t.putImage(repo, string(i.digest), i)
			t.want(r, http.StatusCreated)
			t.wantHeader(r, "Docker-Content-Digest", string(i.digest))
		},
	},
	{
		Category: "push", Name: "manifest that does not match its digest is refused", Section: pushingManifests, Level: Must, Since: "1.1",
		Text: "The Docker-Content-Digest header returns the digest of the uploaded blob, and MUST be equal to the client provided digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			d := t.absentDigest()
			t.wantRefused(t.putImage(repo, string(d), i), "a manifest that does not match the digest")
			for _, d := range []digest.Digest{d, i.digest} {
				t.want(t.get(manifestURL(repo, d)), http.StatusNotFound)
			}
		},
	},
	{
		Category: "push", Name: "manifest by a digest other than sha256", Section: pushingManifests, Level: Must, Since: "1.1", with: features{registry.SHA512},
		Text: "The Docker-Content-Digest header returns the digest of the uploaded blob, and MUST be equal to the client provided digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			d := digest.SHA512.FromBytes(i.content)
			r := t.putImage(repo, string(d), i)
			t.want(r, http.StatusCreated)
			t.wantHeader(r, "Docker-Content-Digest", string(d))
			t.wantImage(repo, string(d), i)
		},
	},
	{
		Category: "push", Name: "parameters of the Content-Type are ignored", Section: pushingManifests, Level: Should, Since: "1.1",
		Text: "The registry SHOULD ignore parameters on the `Content-Type` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			t.want(t.put(manifestURL(repo, "v1"), i.content, "Content-Type", i.MediaType+"; charset=utf-8"), http.StatusCreated)
			r := t.get(manifestURL(repo, "v1"), "Accept", i.MediaType)
			t.want(r, http.StatusOK)
			t.wantHeader(r, "Content-Type", i.MediaType)
		},
	},
	{
		Category: "push", Name: "manifest without layers", Section: pushingManifests, Level: Must, Since: "1.0",
		Text: "However, the list of blobs MAY be empty.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(func(m *ocispec.Manifest) { m.Layers = []ocispec.Descriptor{} })
			t.pushBlob(repo, i.config)
			t.want(t.putImage(repo, "v1", i), http.StatusCreated)
		},
	},
	{
		Category: "push", Name: "index of images", Section: pushingManifests, Level: Must, Since: "1.0",
		Text: "Upon a successful upload, the registry MUST return response code `201 Created`, and MUST have the following header: Location: <location>",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.index([]testImage{t.pushImage(repo, t.image()), t.pushImage(repo, t.image())})
			t.wantPushed(t.put(manifestURL(repo, "v1"), content, "Content-Type", ocispec.MediaTypeImageIndex), manifestURL(repo, "v1"), content)
		},
	},
	{
		Category: "push", Name: "tag moves to the last manifest pushed", Section: "Definitions", Level: Must, Since: "1.0",
		Text: "Tag: a custom, human-readable pointer to a manifest.",
		check: func(t *registryTest) {
			repo := t.repo()
			before := t.pushImage(repo, t.image(), "latest")
			after := t.pushImage(repo, t.image(), "latest")
			t.wantImage(repo, "latest", after)
			t.want(t.get(manifestURL(repo, before.digest)), http.StatusOK)
		},
	},
	{
		Category: "push", Name: "tag syntax is enforced", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "`<tag-or-digest>` as a tag MUST be at most 128 characters in length and MUST match the following regular expression: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			for _, tag := range []string{"0", "_", "Z", "a.b-c_D", "_.-", strings.Repeat("t", 128)} {
				t.want(t.putImage(repo, tag, i), http.StatusCreated)
				t.want(t.get(manifestURL(repo, tag), "Accept", i.MediaType), http.StatusOK)
			}
			for _, tag := range []string{"-a", ".a", "a+b", "a%20b", "a@b", strings.Repeat("t", 129)} {
				t.wantRefused(t.putImage(repo, tag, i), strconv.Quote(tag)+" as a tag")
			}
		},
	},
	{
		Category: "push", Name: "repository name syntax is enforced", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "Throughout this document, `<name>` MUST match the following regular expression: `[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*`",
		check: func(t *registryTest) {
			for _, suffix := range []string{"a.b_c__d-e---f", "0/1/a2b"} {
				t.want(t.post(uploadsURL(t.repo()+suffix)), http.StatusAccepted)
			}
			for _, suffix := range []string{"-", "_", ".", "A", "a..b", "a___b", "a._b", "/-a", "/_a", "/é"} {
				t.wantRefused(t.post(uploadsURL(t.repo()+suffix)), strconv.Quote(suffix)+" at the end of a name")
			}
		},
	},
	{
		Category: "push", Name: "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN", Section: pushing, Level: Must, Since: "1.1",
		Text: "When a manifest is rejected for this reason, it MUST result in one or more `MANIFEST_BLOB_UNKNOWN` errors",
		check: func(t *registryTest) {
			repo := t.repo()
			noLayer, noConfig := t.image(), t.image(func(m *ocispec.Manifest) { m.Config.Digest = t.absentDigest() })
			t.pushBlob(repo, noLayer.config)
			t.pushBlob(repo, noConfig.layer)
			for _, m := range []struct {
				mediaType string
				content   []byte
			}{
				{noLayer.MediaType, noLayer.content},
				{noConfig.MediaType, noConfig.content},
				{ocispec.MediaTypeImageIndex, t.index([]testImage{t.image()})},
			} {
				t.wantAcceptedOrUnknown(t.put(manifestURL(repo, "v1"), m.content, "Content-Type", m.mediaType))
			}
		},
	},
	{
		Category: "push", Name: "manifest of a missing subject is accepted", Section: pushing, Level: Must, Since: "1.1",
		Text: "A registry MUST initially accept an otherwise valid manifest with a `subject` field that references a manifest that does not exist in the repository, allowing clients to push a manifest and referrers to that manifest in either order.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(subject(t.image()))
			t.pushBlobsOf(repo, i)
			t.wantPushed(t.putImage(repo, string(i.digest), i), manifestURL(repo, i.digest), i.content)
		},
	},
	{
		Category: "push", Name: "subject is confirmed by OCI-Subject", Section: pushingWithSubject, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "When processing a request for an image manifest with the `subject` field, a registry implementation that supports the referrers API MUST respond with the response header `OCI-Subject: <subject digest>` to indicate to the client that the registry processed the request's `subject`.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image(), "v1")
			for _, s := range []testImage{of, t.image()} {
				i := t.image(subject(s))
				t.pushBlobsOf(repo, i)
				for _, reference := range []string{string(i.digest), "v2"} {
					r := t.putImage(repo, reference, i)
					t.want(r, http.StatusCreated)
					t.wantHeader(r, "OCI-Subject", string(s.digest))
				}
			}
		},
	},
	{
		Category: "push", Name: "OCI-Subject is absent without the referrers API", Section: pushingWithSubject, Level: Must, Since: "1.1", without: features{registry.ListReferrers},
		Text: "When pushing a manifest with the `subject` field and the `OCI-Subject` header was not set, the client MUST:",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(subject(t.image()))
			t.pushBlobsOf(repo, i)
			r := t.putImage(repo, string(i.digest), i)
			t.want(r, http.StatusCreated)
			t.wantHeader(r, "OCI-Subject", "")
		},
	},
	{
		Category: "push", Name: "tags in parameters are confirmed by OCI-Tag", Section: pushingManifests, Level: Must, Since: "main", with: features{registry.TagParameters},
		Text: "MUST include an `OCI-Tag` response header, in accordance with RFC 9110 (section 5) semantics, for each accepted tag.",
		check: func(t *registryTest) {
			t.pushTags(3)
		},
	},
	{
		Category: "push", Name: "ten tags in parameters", Section: pushingManifests, Level: Should, Since: "main", with: features{registry.TagParameters},
		Text: "SHOULD support pushing at least 10 tags per request.",
		check: func(t *registryTest) {
			if accepted := t.pushTags(enoughTagParameters); accepted < enoughTagParameters {
				t.violated("the registry accepted %d of %d tags", accepted, enoughTagParameters)
			}
		},
	},
	{
		Category: "push", Name: "manifest of 4 megabytes", Section: pushingManifests, Level: Should, Since: "1.1",
		Text: "Client and registry implementations SHOULD expect to be able to support manifest pushes of at least 4 megabytes.",
		check: func(t *registryTest) {
			t.want(t.pushLarge(leastManifestLimit), http.StatusCreated)
		},
	},
	{
		Category: "push", Name: "manifest size is limited", Section: pushingManifests, Level: Should, Since: "1.1", with: features{registry.ManifestLimit},
		Text: "A registry SHOULD enforce some limit on the maximum manifest size that it can accept.",
		check: func(t *registryTest) {
			r := t.pushLarge(t.excessive())
			if r.StatusCode == http.StatusCreated {
				t.violated("the registry accepted a manifest of %d bytes", t.excessive())
			}
		},
	},
	{
		Category: "push", Name: "oversized manifest is 413", Section: pushingManifests, Level: Should, Since: "1.1", with: features{registry.ManifestLimit},
		Text: "A registry that enforces this limit SHOULD respond to a request to push a manifest over this limit with a response code `413 Payload Too Large`.",
		check: func(t *registryTest) {
			t.want(t.pushLarge(t.excessive()), http.StatusRequestEntityTooLarge)
		},
	},
	{
		Category: "push", Name: "If-Match and If-None-Match guard a tag", Section: "Referrers Tag Schema", Level: Must, Since: "1.1", with: features{registry.ConditionalReads, registry.ConditionalWrites},
		Text: "Clients MAY use a conditional HTTP push for registries that support ETag conditions to avoid conflicts with other clients.",
		check: func(t *registryTest) {
			repo := t.repo()
			one, two := t.image(), t.image()
			t.pushBlobsOf(repo, one)
			t.pushBlobsOf(repo, two)
			put := func(i testImage, header ...string) *response {
				return t.putImage(repo, "latest", i, header...)
			}
			t.want(put(one, "If-None-Match", "*"), http.StatusCreated)
			t.want(put(two, "If-None-Match", "*"), http.StatusPreconditionFailed)
			etag := t.get(manifestURL(repo, "latest"), "Accept", one.MediaType).Header.Get("ETag")
			if etag == "" {
				t.violated("the response has no ETag")
			}
			t.want(put(two, "If-Match", etag), http.StatusCreated)
			t.want(put(one, "If-Match", etag), http.StatusPreconditionFailed)
			t.wantImage(repo, "latest", two)
		},
	},
}

// pushTags pushes a manifest with n tags in query parameters, and returns the
// number of tags that the registry accepted. It reports a violation unless the
// header field OCI-Tag names exactly the accepted tags, and at least one.
func (t *registryTest) pushTags(n int) (accepted int) {
	t.Helper()
	repo := t.repo()
	i := t.image()
	t.pushBlobsOf(repo, i)
	tags := url.Values{}
	for n := range n {
		tags.Add("tag", "v"+strconv.Itoa(n))
	}
	r := t.put(manifestURL(repo, i.digest)+"?"+tags.Encode(), i.content, "Content-Type", i.MediaType)
	t.want(r, http.StatusCreated)
	var confirmed []string
	for _, value := range r.Header.Values("OCI-Tag") {
		for tag := range strings.SplitSeq(value, ",") {
			confirmed = append(confirmed, strings.TrimSpace(tag))
		}
	}
	for _, tag := range tags["tag"] {
		pulled := t.get(manifestURL(repo, tag), "Accept", i.MediaType)
		switch named := slices.Contains(confirmed, tag); {
		case named && (pulled.StatusCode != http.StatusOK || !bytes.Equal(pulled.body, i.content)):
			t.violated("OCI-Tag was %q, but the tag %s does not lead to the manifest", confirmed, tag)
		case !named && pulled.StatusCode == http.StatusOK:
			t.violated("OCI-Tag was %q, but the tag %s exists, too", confirmed, tag)
		case named:
			accepted++
		}
	}
	if accepted == 0 {
		t.violated("OCI-Tag was %q: the registry accepted no tag", confirmed)
	}
	return accepted
}

// pushLarge pushes a manifest of the given size in bytes, and returns the
// response.
func (t *registryTest) pushLarge(size int64) *response {
	t.Helper()
	const padding = `"org.example.padding":"`
	repo := t.repo()
	i := t.image(func(m *ocispec.Manifest) { m.Annotations = map[string]string{"org.example.padding": ""} })
	t.pushBlobsOf(repo, i)
	// Encoding megabytes of JSON would take too long, so insert the padding
	// afterwards.
	before, after, _ := bytes.Cut(i.content, []byte(padding))
	long := max(int(size)-10_000, 0)
	content := bytes.Repeat([]byte(" "), max(int(size), len(i.content)+long))
	n := copy(content, before)
	n += copy(content[n:], padding)
	for j := range content[n : n+long] {
		content[n+j] = 'x'
	}
	copy(content[n+long:], after)
	return t.do(call{method: "PUT", url: manifestURL(repo, "v1"), header: []string{"Content-Type", i.MediaType}, body: content, announce: true})
}

// excessive returns the size in bytes of a manifest that the registry must
// refuse.
func (t *registryTest) excessive() int64 {
	if t.target.ManifestLimit > 0 {
		return t.target.ManifestLimit + 1
	}
	return excessiveManifest
}
