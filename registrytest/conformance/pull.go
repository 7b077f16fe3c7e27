package conformance

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

const (
	pullingManifests = "Pulling manifests"
	pullingBlobs     = "Pulling blobs"
	checkingContent  = "Checking if content exists in the registry"
)

// absentDigest is that of content which no registry has.
func (t *registryTest) absentDigest() digest.Digest { return digest.FromBytes(t.bytes(32)) }

var pullRequirements = []Requirement{
	{
		Category: "pull", Name: "manifest by tag and by digest", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "A GET request to an existing manifest URL MUST provide the expected manifest, with a response code that MUST be `200 OK`.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, reference := range []string{"v1", string(i.digest)} {
				a := t.get(manifestURL(repo, reference), "Accept", i.MediaType)
				t.want(a, http.StatusOK)
				t.wantBody(a, i.content)
			}
		},
	},
	{
		Category: "pull", Name: "manifest has Docker-Content-Digest", Section: pullingManifests, Level: Must, Since: "main",
		Text: "A successful response MUST contain the digest of the uploaded blob in the header `Docker-Content-Digest`.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, reference := range []string{"v1", string(i.digest)} {
				a := t.get(manifestURL(repo, reference), "Accept", i.MediaType)
				t.want(a, http.StatusOK)
				t.wantDigest(a, i.content)
			}
		},
	},
	{
		Category: "pull", Name: "manifest has the Content-Type that it was pushed with", Section: pullingManifests, Level: Should, Since: "1.0",
		Text: "The `Content-Type` header SHOULD match what the client pushed as the manifest's `Content-Type`.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image())
			docker := t.pushImage(repo, t.image(func(m *ocispec.Manifest) {
				m.MediaType = manifest.DockerManifest
				m.Config.MediaType = "application/vnd.docker.container.image.v1+json"
				m.Layers[0].MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
			}))
			index := t.index([]testImage{i})
			t.pushManifest(repo, "index", ocispec.MediaTypeImageIndex, index)
			for mediaType, reference := range map[string]string{
				i.MediaType: string(i.digest), docker.MediaType: string(docker.digest), ocispec.MediaTypeImageIndex: "index",
			} {
				for _, method := range []string{"GET", "HEAD"} {
					a := t.do(call{method: method, url: manifestURL(repo, reference), header: []string{"Accept", mediaType}})
					t.want(a, http.StatusOK)
					if got, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); got != mediaType {
						t.violated("the Content-Type is %q, not %q", got, mediaType)
					}
				}
			}
		},
	},
	{
		Category: "pull", Name: "Content-Type of a manifest has no parameters", Section: pullingManifests, Level: Should, Since: "1.1",
		Text: "The registry SHOULD NOT include parameters on the `Content-Type` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, method := range []string{"GET", "HEAD"} {
				a := t.do(call{method: method, url: manifestURL(repo, "v1"), header: []string{"Accept", i.MediaType}})
				t.want(a, http.StatusOK)
				if got := a.Header.Get("Content-Type"); strings.Contains(got, ";") {
					t.violated("the Content-Type is %q", got)
				}
			}
		},
	},
	{
		Category: "pull", Name: "absent manifest is 404", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "If the manifest is not found in the repository, the response code MUST be `404 Not Found`.",
		check: func(t *registryTest) {
			repo, other := t.repo(), t.repo()
			t.pushImage(repo, t.image(), "v1")
			elsewhere := t.pushImage(other, t.image(), "v2")
			for _, reference := range []string{"v2", string(t.absentDigest()), string(elsewhere.digest)} {
				t.want(t.get(manifestURL(repo, reference)), http.StatusNotFound)
			}
		},
	},
	{
		Category: "pull", Name: "absent repository is 404", Section: "Pushing Manifests", Level: Must, Since: "1.0",
		Text: "An attempt to pull a nonexistent repository MUST return response code `404 Not Found`.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, url := range []string{manifestURL(repo, "latest"), manifestURL(repo, t.absentDigest()), blobURL(repo, t.absentDigest())} {
				t.want(t.get(url), http.StatusNotFound)
				t.want(t.head(url), http.StatusNotFound)
			}
			t.want(t.get(tagsURL(repo)), http.StatusNotFound)
		},
	},
	{
		Category: "pull", Name: "blob by digest", Section: pullingBlobs, Level: Must, Since: "1.0",
		Text: "A GET request to an existing blob URL MUST provide the expected blob, with a response code that MUST be `200 OK`.",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, size := range []int{1, 1000, 300_000} {
				content := t.bytes(size)
				a := t.get(blobURL(repo, t.pushBlob(repo, content)))
				t.want(a, http.StatusOK)
				t.wantBody(a, content)
			}
		},
	},
	{
		Category: "pull", Name: "blob has Docker-Content-Digest", Section: pullingBlobs, Level: Must, Since: "main",
		Text: "A successful response MUST contain the digest of the uploaded blob in the header `Docker-Content-Digest`.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			a := t.get(blobURL(repo, t.pushBlob(repo, content)))
			t.want(a, http.StatusOK)
			t.wantDigest(a, content)
		},
	},
	{
		Category: "pull", Name: "Docker-Content-Digest of a blob is true", Section: pullingBlobs, Level: Must, Since: "1.0",
		Text: "If present, the value of this header MUST be a digest matching that of the response body.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			a := t.get(blobURL(repo, t.pushBlob(repo, content)))
			t.want(a, http.StatusOK)
			if a.Header.Get("Docker-Content-Digest") != "" {
				t.wantDigest(a, a.body)
			}
		},
	},
	{
		Category: "pull", Name: "absent blob is 404", Section: pullingBlobs, Level: Must, Since: "1.0",
		Text: "If the blob is not found in the repository, the response code MUST be `404 Not Found`.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushBlob(repo, t.bytes(1000))
			t.want(t.get(blobURL(repo, t.absentDigest())), http.StatusNotFound)
		},
	},
	{
		Category: "pull", Name: "blob of another repository is 404", Section: pullingBlobs, Level: Must, Since: "1.1",
		Text: "If the blob is not found in the repository, the response code MUST be `404 Not Found`.",
		check: func(t *registryTest) {
			repo, other := t.repo(), t.repo()
			t.pushBlob(repo, t.bytes(1000))
			d := t.pushBlob(other, t.bytes(1000))
			t.want(t.get(blobURL(repo, d)), http.StatusNotFound)
			t.want(t.head(blobURL(repo, d)), http.StatusNotFound)
		},
	},
	{
		Category: "pull", Name: "part of a blob", Section: pullingBlobs, Level: Should, Since: "1.1", with: []Feature{FeatureRange},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(repo, content)
			for _, r := range []struct {
				header      string
				first, last int
			}{{"bytes=0-", 0, 999}, {"bytes=10-", 10, 999}, {"bytes=0-0", 0, 0}, {"bytes=5-9", 5, 9}, {"bytes=990-5000", 990, 999}, {"bytes=-10", 990, 999}, {"bytes=-5000", 0, 999}} {
				a := t.get(blobURL(repo, d), "Range", r.header)
				t.want(a, http.StatusPartialContent)
				t.wantHeader(a, "Content-Range", fmt.Sprintf("bytes %d-%d/1000", r.first, r.last))
				t.wantBody(a, content[r.first:r.last+1])
			}
		},
	},
	{
		Category: "pull", Name: "parts of a blob", Section: pullingBlobs, Level: Should, Since: "1.1", with: []Feature{FeatureRange},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			a := t.get(blobURL(repo, t.pushBlob(repo, content)), "Range", "bytes=0-9,100-109")
			if a.StatusCode == http.StatusOK {
				// Section 14.2: a server may ignore the header.
				t.wantBody(a, content)
				return
			}
			t.want(a, http.StatusPartialContent)
			kind, parameters, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
			if kind != "multipart/byteranges" {
				t.violated("the Content-Type of two ranges is %q, not multipart/byteranges", kind)
			}
			parts := multipart.NewReader(bytes.NewReader(a.body), parameters["boundary"])
			for _, first := range []int{0, 100} {
				part, err := parts.NextPart()
				if err != nil {
					t.violated("the part from byte %d on is not there: %v", first, err)
				}
				got, _ := io.ReadAll(part)
				if !bytes.Equal(got, content[first:first+10]) {
					t.violated("the part from byte %d on is not that of the blob", first)
				}
				if want := fmt.Sprintf("bytes %d-%d/1000", first, first+9); part.Header.Get("Content-Range") != want {
					t.violated("the Content-Range of the part is %q, not %q", part.Header.Get("Content-Range"), want)
				}
			}
		},
	},
	{
		Category: "pull", Name: "part beyond the end of a blob is 416", Section: pullingBlobs, Level: Should, Since: "1.1", with: []Feature{FeatureRange},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			a := t.get(blobURL(repo, t.pushBlob(repo, t.bytes(1000))), "Range", "bytes=1000-")
			t.want(a, http.StatusRequestedRangeNotSatisfiable)
			t.wantHeader(a, "Content-Range", "bytes */1000")
		},
	},
	{
		Category: "pull", Name: "unknown range unit is ignored", Section: pullingBlobs, Level: Should, Since: "1.1", with: []Feature{FeatureRange},
		Text: "A registry SHOULD support the `Range` request header in accordance with RFC 9110 (section 14).",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			a := t.get(blobURL(repo, t.pushBlob(repo, content)), "Range", "lines=1-2")
			t.want(a, http.StatusOK)
			t.wantBody(a, content)
		},
	},
	{
		Category: "pull", Name: "HEAD of what is there is 200", Section: checkingContent, Level: Must, Since: "1.0",
		Text: "A HEAD request to an existing blob or manifest URL MUST return `200 OK`.",
		check: func(t *registryTest) {
			for _, h := range t.heads() {
				t.want(t.head(h.url), http.StatusOK)
			}
		},
	},
	{
		Category: "pull", Name: "HEAD has Docker-Content-Digest", Section: checkingContent, Level: Must, Since: "main",
		Text: "A successful response MUST contain the digest of the uploaded blob or manifest in the header `Docker-Content-Digest`.",
		check: func(t *registryTest) {
			for _, h := range t.heads() {
				a := t.head(h.url)
				t.want(a, http.StatusOK)
				t.wantDigest(a, h.content)
			}
		},
	},
	{
		Category: "pull", Name: "HEAD has Content-Length", Section: checkingContent, Level: Must, Since: "main",
		Text: "A successful response MUST contain the size in bytes of the uploaded blob or manifest in the header `Content-Length`.",
		check: func(t *registryTest) {
			for _, h := range t.heads() {
				a := t.head(h.url)
				t.want(a, http.StatusOK)
				t.wantHeader(a, "Content-Length", strconv.Itoa(len(h.content)))
			}
		},
	},
	{
		Category: "pull", Name: "HEAD of what is absent is 404", Section: checkingContent, Level: Must, Since: "1.0",
		Text: "If the blob or manifest is not found in the repository, the response code MUST be `404 Not Found`.",
		check: func(t *registryTest) {
			repo := t.repo()
			t.pushImage(repo, t.image(), "v1")
			for _, url := range []string{manifestURL(repo, "v2"), manifestURL(repo, t.absentDigest()), blobURL(repo, t.absentDigest())} {
				t.want(t.head(url), http.StatusNotFound)
			}
		},
	},
}

// wantDigest reports a violation unless Docker-Content-Digest is a digest of
// the content, of whatever algorithm.
func (t *registryTest) wantDigest(a *answer, content []byte) {
	t.Helper()
	text := a.Header.Get("Docker-Content-Digest")
	d, err := digest.Parse(text)
	if err != nil {
		t.violated("Docker-Content-Digest is %q: %v", text, err)
	}
	if want := d.Algorithm().FromBytes(content); d != want {
		t.violated("Docker-Content-Digest is %s, not %s", d, want)
	}
}

// A headCheck is something to ask for with HEAD.
type headCheck struct {
	url     string
	content []byte
}

func (t *registryTest) heads() []headCheck {
	t.Helper()
	repo := t.repo()
	i := t.pushImage(repo, t.image(), "v1")
	return []headCheck{
		{manifestURL(repo, "v1"), i.content},
		{manifestURL(repo, i.digest), i.content},
		{blobURL(repo, i.Layers[0].Digest), i.layer},
	}
}
