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
)

const (
	pushing             = "Push"
	pushingManifests    = "Pushing Manifests"
	pushingWithSubject  = "Pushing Manifests with Subject"
	leastManifestLimit  = 4_000_000 // 4 megabytes
	enoughTagParameters = 10
)

var manifestRequirements = []Requirement{
	{
		Category: "push", Name: "manifest is 201 with the Location of the manifest", Section: pushingManifests, Level: Must, Since: "1.0",
		Text: "Upon a successful upload, the registry MUST return response code `201 Created`, and MUST have the following header: Location: <location>",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			for _, reference := range []string{"v1", string(i.digest)} {
				t.wantCreated(t.put(manifestURL(repo, reference), i.content, "Content-Type", i.MediaType), i.content)
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
				a := t.get(manifestURL(repo, reference), "Accept", i.MediaType)
				t.want(a, http.StatusOK)
				t.wantBody(a, i.content)
			}
		},
	},
	{
		Category: "push", Name: "manifest is given the digest that it was pushed with", Section: pushingManifests, Level: Must, Since: "1.1",
		Text: "The Docker-Content-Digest header returns the digest of the uploaded blob, and MUST be equal to the client provided digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			a := t.put(manifestURL(repo, i.digest), i.content, "Content-Type", i.MediaType)
			t.want(a, http.StatusCreated)
			t.wantHeader(a, "Docker-Content-Digest", string(i.digest))
		},
	},
	{
		Category: "push", Name: "manifest of another digest is not taken", Section: pushingManifests, Level: Must, Since: "1.1",
		Text: "The Docker-Content-Digest header returns the digest of the uploaded blob, and MUST be equal to the client provided digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			d := t.absentDigest()
			t.wantRefused(t.put(manifestURL(repo, d), i.content, "Content-Type", i.MediaType), "a manifest that the digest is not of")
			for _, d := range []digest.Digest{d, i.digest} {
				t.want(t.get(manifestURL(repo, d)), http.StatusNotFound)
			}
		},
	},
	{
		Category: "push", Name: "manifest by a digest other than sha256", Section: pushingManifests, Level: Must, Since: "1.1", with: []Feature{FeatureSHA512},
		Text: "The Docker-Content-Digest header returns the digest of the uploaded blob, and MUST be equal to the client provided digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			d := digest.SHA512.FromBytes(i.content)
			a := t.put(manifestURL(repo, d), i.content, "Content-Type", i.MediaType)
			t.want(a, http.StatusCreated)
			t.wantHeader(a, "Docker-Content-Digest", string(d))
			a = t.get(manifestURL(repo, d), "Accept", i.MediaType)
			t.want(a, http.StatusOK)
			t.wantBody(a, i.content)
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
			a := t.get(manifestURL(repo, "v1"), "Accept", i.MediaType)
			t.want(a, http.StatusOK)
			t.wantHeader(a, "Content-Type", i.MediaType)
		},
	},
	{
		Category: "push", Name: "manifest without layers", Section: pushingManifests, Level: Must, Since: "1.0",
		Text: "However, the list of blobs MAY be empty.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(func(m *ocispec.Manifest) { m.Layers = []ocispec.Descriptor{} })
			t.pushBlob(repo, i.config)
			t.want(t.put(manifestURL(repo, "v1"), i.content, "Content-Type", i.MediaType), http.StatusCreated)
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
		Category: "push", Name: "tag moves to what is pushed last", Section: "Definitions", Level: Must, Since: "1.0",
		Text: "Tag: a custom, human-readable pointer to a manifest.",
		check: func(t *registryTest) {
			repo := t.repo()
			before := t.pushImage(repo, t.image(), "latest")
			after := t.pushImage(repo, t.image(), "latest")
			a := t.get(manifestURL(repo, "latest"), "Accept", after.MediaType)
			t.want(a, http.StatusOK)
			t.wantBody(a, after.content)
			t.want(t.get(manifestURL(repo, before.digest)), http.StatusOK)
		},
	},
	{
		Category: "push", Name: "tags have the form of tags", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "`<tag-or-digest>` as a tag MUST be at most 128 characters in length and MUST match the following regular expression: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			for _, tag := range []string{"0", "_", "Z", "a.b-c_D", "_.-", strings.Repeat("t", 128)} {
				t.want(t.put(manifestURL(repo, tag), i.content, "Content-Type", i.MediaType), http.StatusCreated)
				t.want(t.get(manifestURL(repo, tag), "Accept", i.MediaType), http.StatusOK)
			}
			for _, tag := range []string{"-a", ".a", "a+b", "a%20b", "a@b", strings.Repeat("t", 129)} {
				t.wantRefused(t.put(manifestURL(repo, tag), i.content, "Content-Type", i.MediaType), strconv.Quote(tag)+" as a tag")
			}
		},
	},
	{
		Category: "push", Name: "repositories have the form of names", Section: pullingManifests, Level: Must, Since: "1.0",
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
		Category: "push", Name: "manifest of what is missing is accepted or MANIFEST_BLOB_UNKNOWN", Section: pushing, Level: Must, Since: "1.1",
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
				a := t.put(manifestURL(repo, "v1"), m.content, "Content-Type", m.mediaType)
				if a.StatusCode == http.StatusCreated {
					continue
				}
				t.wantRefused(a, "a manifest of what is missing, if it is not accepted,")
				if codes, err := codesIn(a); err != nil || !slices.Contains(codes, "MANIFEST_BLOB_UNKNOWN") {
					t.violated("the error is not MANIFEST_BLOB_UNKNOWN")
				}
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
			t.wantPushed(t.put(manifestURL(repo, i.digest), i.content, "Content-Type", i.MediaType), manifestURL(repo, i.digest), i.content)
		},
	},
	{
		Category: "push", Name: "subject is confirmed by OCI-Subject", Section: pushingWithSubject, Level: Must, Since: "1.1", with: []Feature{FeatureReferrers},
		Text: "When processing a request for an image manifest with the `subject` field, a registry implementation that supports the referrers API MUST respond with the response header `OCI-Subject: <subject digest>` to indicate to the client that the registry processed the request's `subject`.",
		check: func(t *registryTest) {
			repo := t.repo()
			of := t.pushImage(repo, t.image(), "v1")
			for _, s := range []testImage{of, t.image()} {
				i := t.image(subject(s))
				t.pushBlobsOf(repo, i)
				for _, reference := range []string{string(i.digest), "v2"} {
					a := t.put(manifestURL(repo, reference), i.content, "Content-Type", i.MediaType)
					t.want(a, http.StatusCreated)
					t.wantHeader(a, "OCI-Subject", string(s.digest))
				}
			}
		},
	},
	{
		Category: "push", Name: "subject is not confirmed without the referrers API", Section: pushingWithSubject, Level: Must, Since: "1.1", without: []Feature{FeatureReferrers},
		Text: "When pushing a manifest with the `subject` field and the `OCI-Subject` header was not set, the client MUST:",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(subject(t.image()))
			t.pushBlobsOf(repo, i)
			a := t.put(manifestURL(repo, i.digest), i.content, "Content-Type", i.MediaType)
			t.want(a, http.StatusCreated)
			t.wantHeader(a, "OCI-Subject", "")
		},
	},
	{
		Category: "push", Name: "tags in parameters are confirmed by OCI-Tag", Section: pushingManifests, Level: Must, Since: "main", with: []Feature{FeatureTagParameters},
		Text: "MUST include an `OCI-Tag` response header, in accordance with RFC 9110 (section 5) semantics, for each accepted tag.",
		check: func(t *registryTest) {
			t.pushTags(3)
		},
	},
	{
		Category: "push", Name: "ten tags in parameters", Section: pushingManifests, Level: Should, Since: "main", with: []Feature{FeatureTagParameters},
		Text: "SHOULD support pushing at least 10 tags per request.",
		check: func(t *registryTest) {
			if accepted := t.pushTags(enoughTagParameters); accepted < enoughTagParameters {
				t.violated("%d of %d tags were accepted", accepted, enoughTagParameters)
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
		Category: "push", Name: "size of a manifest is limited", Section: pushingManifests, Level: Should, Since: "1.1", with: []Feature{FeatureManifestLimit},
		Text: "A registry SHOULD enforce some limit on the maximum manifest size that it can accept.",
		check: func(t *registryTest) {
			a := t.pushLarge(t.excessive())
			if a.StatusCode == http.StatusCreated {
				t.violated("a manifest of %d bytes was accepted", t.excessive())
			}
		},
	},
	{
		Category: "push", Name: "too large a manifest is 413", Section: pushingManifests, Level: Should, Since: "1.1", with: []Feature{FeatureManifestLimit},
		Text: "A registry that enforces this limit SHOULD respond to a request to push a manifest over this limit with a response code `413 Payload Too Large`.",
		check: func(t *registryTest) {
			t.want(t.pushLarge(t.excessive()), http.StatusRequestEntityTooLarge)
		},
	},
	{
		Category: "push", Name: "manifest is pushed on a condition", Section: "Referrers Tag Schema", Level: Must, Since: "1.1", with: []Feature{FeatureConditionalWrites},
		Text: "Clients MAY use a conditional HTTP push for registries that support ETag conditions to avoid conflicts with other clients.",
		check: func(t *registryTest) {
			repo := t.repo()
			one, two := t.image(), t.image()
			t.pushBlobsOf(repo, one)
			t.pushBlobsOf(repo, two)
			put := func(i testImage, header ...string) *answer {
				return t.put(manifestURL(repo, "latest"), i.content, append(header, "Content-Type", i.MediaType)...)
			}
			t.want(put(one, "If-None-Match", "*"), http.StatusCreated)
			t.want(put(two, "If-None-Match", "*"), http.StatusPreconditionFailed)
			etag := t.get(manifestURL(repo, "latest"), "Accept", one.MediaType).Header.Get("ETag")
			if etag == "" {
				t.violated("the manifest has no ETag")
			}
			t.want(put(two, "If-Match", etag), http.StatusCreated)
			t.want(put(one, "If-Match", etag), http.StatusPreconditionFailed)
			a := t.get(manifestURL(repo, "latest"), "Accept", two.MediaType)
			t.want(a, http.StatusOK)
			t.wantBody(a, two.content)
		},
	},
}

// subject returns an edit that makes an image refer to another.
func subject(i testImage) func(*ocispec.Manifest) {
	d := i.descriptor()
	return func(m *ocispec.Manifest) { m.Subject = &d }
}

// pushTags pushes a manifest with n tags in parameters, and returns how many
// of them were accepted.
func (t *registryTest) pushTags(n int) (accepted int) {
	t.Helper()
	repo := t.repo()
	i := t.image()
	t.pushBlobsOf(repo, i)
	tags := url.Values{}
	for n := range n {
		tags.Add("tag", "v"+strconv.Itoa(n))
	}
	a := t.put(manifestURL(repo, i.digest)+"?"+tags.Encode(), i.content, "Content-Type", i.MediaType)
	t.want(a, http.StatusCreated)
	var confirmed []string
	for _, value := range a.Header.Values("OCI-Tag") {
		for tag := range strings.SplitSeq(value, ",") {
			confirmed = append(confirmed, strings.TrimSpace(tag))
		}
	}
	for _, tag := range tags["tag"] {
		pulled := t.get(manifestURL(repo, tag), "Accept", i.MediaType)
		switch told := slices.Contains(confirmed, tag); {
		case told && (pulled.StatusCode != http.StatusOK || !bytes.Equal(pulled.body, i.content)):
			t.violated("OCI-Tag was %q, but %s does not lead to the manifest", confirmed, tag)
		case !told && pulled.StatusCode == http.StatusOK:
			t.violated("OCI-Tag was %q, but there is %s as well", confirmed, tag)
		case told:
			accepted++
		}
	}
	if accepted == 0 {
		t.violated("OCI-Tag was %q: no tag was accepted", confirmed)
	}
	return accepted
}

// pushLarge pushes a manifest of the size.
func (t *registryTest) pushLarge(size int64) *answer {
	t.Helper()
	repo := t.repo()
	i := t.image(func(m *ocispec.Manifest) {
		m.Annotations = map[string]string{"org.example.padding": strings.Repeat("x", max(int(size)-10_000, 0))}
	})
	t.pushBlobsOf(repo, i)
	i.content = append(i.content, bytes.Repeat([]byte(" "), max(int(size)-len(i.content), 0))...)
	return t.do(call{method: "PUT", url: manifestURL(repo, "v1"), header: []string{"Content-Type", i.MediaType}, body: i.content, announce: true})
}

// excessive returns the size of a manifest that is too large.
func (t *registryTest) excessive() int64 {
	if t.target.ManifestLimit > 0 {
		return t.target.ManifestLimit + 1
	}
	return excessiveManifest
}
