package conformance

import (
	"bytes"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

const (
	digests          = imageFormat + "Digests"
	extensibility    = imageFormat + "Extensibility"
	indexProperties  = imageFormat + "Image Index Property Descriptions"
	imageProperties  = imageFormat + "Image Manifest Property Descriptions"
	unknownMediaType = "application/vnd.example.unknown.v1"
)

// unknownDigests are valid digests with algorithms that few registries
// implement. The first algorithm is registered. The second is an example in the
// image spec and is not registered.
var unknownDigests = []digest.Digest{
	"blake3:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b",
	"multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
}

// imageSpecRequirements are the requirements of the image spec on manifests.
var imageSpecRequirements = []Requirement{
	{
		Category: "push", Name: "image of unknown media types", Section: imageProperties, Level: Must, Since: "1.1",
		Text: "Implementations storing or copying image manifests MUST NOT error on encountering a `mediaType` that is unknown to the implementation.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(artifactType(unknownMediaType), func(m *ocispec.Manifest) {
				m.Config.MediaType, m.Layers[0].MediaType = unknownMediaType, unknownMediaType+"+json"
			})
			t.pushBlobsOf(repo, i)
			t.wantPushed(t.putImage(repo, "v1", i), manifestURL(repo, i.digest), i.content)
		},
	},
	{
		Category: "push", Name: "index of unknown media types", Section: indexProperties, Level: Must, Since: "1.1",
		Text: "An encountered `mediaType` that is unknown to the implementation MUST NOT generate an error.",
		check: func(t *registryTest) {
			// A build cache is an index that refers to blobs.
			repo := t.repo()
			blob := t.bytes(1000)
			t.pushBlob(repo, blob)
			content := t.index([]testImage{t.pushImage(repo, t.image())}, func(index *ocispec.Index) {
				index.ArtifactType = unknownMediaType
				index.Manifests = append(index.Manifests, descriptor(unknownMediaType, blob))
			})
			r := t.put(manifestURL(repo, "v1"), content, "Content-Type", ocispec.MediaTypeImageIndex)
			t.wantPushed(r, manifestURL(repo, "v1"), content)
		},
	},
	{
		Category: "push", Name: "unknown properties of a manifest are ignored", Section: extensibility, Level: Should, Since: "1.1",
		Text: "Implementations processing content SHOULD NOT generate an error if they encounter an unknown property in a known media type.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, property := range []string{`"unknown":{"a":[1]}`, `"MediaType":"x/y"`, `"Annotations":5`, `"LAYERS":"none"`, `"manifest":[]`} {
				i := t.withProperty(t.image(), property)
				t.pushBlobsOf(repo, i)
				t.wantPushed(t.putImage(repo, string(i.digest), i), manifestURL(repo, i.digest), i.content)
			}
		},
	},
	{
		Category: "push", Name: "subject of an unknown digest algorithm is accepted", Section: pushing, Level: Must, Since: "1.1",
		Text: "A registry MUST initially accept an otherwise valid manifest with a `subject` field that references a manifest that does not exist in the repository, allowing clients to push a manifest and referrers to that manifest in either order.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, d := range unknownDigests {
				i := t.image(subjectDigest(d))
				t.pushBlobsOf(repo, i)
				t.wantPushed(t.putImage(repo, string(i.digest), i), manifestURL(repo, i.digest), i.content)
			}
		},
	},
	{
		Category: "push", Name: "layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN", Section: digests, Level: Should, Since: "1.1",
		Text: "Implementations SHOULD allow digests with unrecognized algorithms to pass validation if they comply with the above grammar.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, d := range unknownDigests {
				i := t.image(func(m *ocispec.Manifest) { m.Layers[0].Digest = d })
				t.pushBlob(repo, i.config)
				t.wantAcceptedOrUnknown(t.putImage(repo, "v1", i))
				i = t.image(func(m *ocispec.Manifest) { m.Config.Digest = d })
				t.pushBlob(repo, i.layer)
				t.wantAcceptedOrUnknown(t.putImage(repo, "v2", i))
				index := t.index(nil, func(index *ocispec.Index) {
					index.Manifests = []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1000}}
				})
				t.wantAcceptedOrUnknown(t.put(manifestURL(repo, "v3"), index, "Content-Type", ocispec.MediaTypeImageIndex))
			}
		},
	},
	{
		Category: "pull", Name: "content of an unknown digest algorithm is 404", Section: digests, Level: Should, Since: "1.1",
		Text: "Implementations SHOULD allow digests with unrecognized algorithms to pass validation if they comply with the above grammar.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushTagged(repo, "v1")
			for _, d := range unknownDigests {
				for _, url := range []string{blobURL(repo, d), manifestURL(repo, d)} {
					t.want(t.get(url), http.StatusNotFound)
					t.want(t.head(url), http.StatusNotFound)
				}
			}
		},
	},
	{
		Category: "discovery", Name: "property SUBJECT is not the subject", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "Each descriptor is of an image manifest or index in the same `<name>` namespace with a `subject` field that specifies the value of `<digest>`.",
		check: func(t *registryTest) {
			repo, of := t.repo(), t.image()
			i := t.withProperty(t.image(), `"SUBJECT":`+string(encodeManifest(of.descriptor())))
			t.pushBlobsOf(repo, i)
			if r := t.putImage(repo, string(i.digest), i); refused(r) {
				return
			}
			t.wantReferrers(t.referrers(referrersURL(repo, of.digest)))
		},
	},
	{
		Category: "discovery", Name: "referrers of an unknown digest algorithm", Section: listingReferrers, Level: Must, Since: "1.1", with: features{registry.ListReferrers},
		Text: "If the registry supports the referrers API, the registry MUST NOT return a `404 Not Found` to a referrers API requests.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, d := range unknownDigests {
				t.want(t.get(referrersURL(repo, d)), http.StatusOK)
				i := t.pushImage(repo, t.image(subjectDigest(d)))
				t.wantReferrers(t.referrers(referrersURL(repo, d)), i.descriptor())
			}
		},
	},
	{
		Category: "push", Name: "media types are case-insensitive", Section: rfc9110 + "8.3.1", Level: Should, Since: "main",
		Text: "The type and subtype tokens are case-insensitive.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image()
			t.pushBlobsOf(repo, i)
			for n, mediaType := range []string{strings.ToUpper(i.MediaType), strings.Replace(i.MediaType, "a", "A", 1)} {
				tag := "v" + string('1'+rune(n))
				t.want(t.put(manifestURL(repo, tag), i.content, "Content-Type", mediaType), http.StatusCreated)
				r := t.get(manifestURL(repo, tag), "Accept", i.MediaType)
				t.want(r, http.StatusOK)
				if got, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); got != i.MediaType {
					t.violated("Content-Type is %q, not %q", got, i.MediaType)
				}
			}
		},
	},
	{
		Category: "push", Name: "media type never makes a header malformed", Section: rfc9110 + "2.2", Level: Must, Since: "1.0",
		Text: "A sender MUST NOT generate protocol elements that do not match the grammar defined by the corresponding ABNF rules.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, mediaType := range []string{"a\x00b/c", "a\r\nb: c/d", "a b", "é/x", "a/b c", "a", "/", "*/*"} {
				i := t.image(func(m *ocispec.Manifest) { m.MediaType = mediaType })
				t.pushBlobsOf(repo, i)
				r := t.put(manifestURL(repo, i.digest), i.content)
				if refused(r) {
					continue
				}
				t.want(r, http.StatusCreated)
				r = t.get(manifestURL(repo, i.digest))
				t.wantFields(r)
				for _, got := range r.Header.Values("Content-Type") {
					if kind, _, err := mime.ParseMediaType(got); err != nil || !strings.Contains(kind, "/") {
						t.violated("Content-Type is %q, not a media type", got)
					}
				}
			}
		},
	},
}

// subjectDigest returns an edit of a manifest that sets its subject to the
// digest.
func subjectDigest(d digest.Digest) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1000}
	}
}

// withProperty returns the image with one more member in the JSON of its
// manifest.
func (t *registryTest) withProperty(i testImage, property string) testImage {
	i.content = slices.Concat(bytes.TrimSuffix(i.content, []byte("}")), []byte(","+property+"}"))
	i.digest = digest.FromBytes(i.content)
	return i
}

// wantAcceptedOrUnknown reports a violation unless the registry accepted the
// manifest, or refused it with the code MANIFEST_BLOB_UNKNOWN.
func (t *registryTest) wantAcceptedOrUnknown(r *response) {
	t.Helper()
	if r.StatusCode == http.StatusCreated {
		return
	}
	t.wantRefused(r, "the manifest, or accept it")
	if codes, err := codesIn(r); err != nil || !slices.Contains(codes, "MANIFEST_BLOB_UNKNOWN") {
		t.violated("the response has no error with the code MANIFEST_BLOB_UNKNOWN")
	}
}
