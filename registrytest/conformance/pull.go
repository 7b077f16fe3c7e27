package conformance

import (
	"mime"
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

// pullRequirements are the requirements of pulls of manifests and blobs.
var pullRequirements = []Requirement{
	{
		Category: "pull", Name: "manifest by tag and by digest", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "A GET request to an existing manifest URL MUST provide the expected manifest, with a response code that MUST be `200 OK`.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.pushImage(repo, t.image(), "v1")
			for _, reference := range []string{"v1", string(i.digest)} {
				t.wantImage(repo, reference, i)
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
				r := t.get(manifestURL(repo, reference), "Accept", i.MediaType)
				t.want(r, http.StatusOK)
				t.wantDigest(r, i.content)
			}
		},
	},
	{
		Category: "pull", Name: "manifest keeps its Content-Type", Section: pullingManifests, Level: Should, Since: "1.0",
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
					r := t.do(call{method: method, url: manifestURL(repo, reference), header: []string{"Accept", mediaType}})
					t.want(r, http.StatusOK)
					if got, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); got != mediaType {
						t.violated("Content-Type is %q, not %q", got, mediaType)
					}
				}
			}
		},
	},
	{
		Category: "pull", Name: "tag keeps its Content-Type when the manifest is pushed again", Section: pullingManifests, Level: Should, Since: "1.0",
		Text: "The `Content-Type` header SHOULD match what the client pushed as the manifest's `Content-Type`.",
		check: func(t *registryTest) {
			repo := t.repo()
			i := t.image(func(m *ocispec.Manifest) { m.MediaType = "" })
			t.pushBlobsOf(repo, i)
			t.want(t.put(manifestURL(repo, "v1"), i.content, "Content-Type", ocispec.MediaTypeImageManifest), http.StatusCreated)
			t.put(manifestURL(repo, "v2"), i.content, "Content-Type", manifest.DockerManifest) // the registry may refuse this push
			r := t.get(manifestURL(repo, "v1"), "Accept", ocispec.MediaTypeImageManifest)
			if got, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); got != ocispec.MediaTypeImageManifest {
				t.violated("Content-Type is %q, not %q", got, ocispec.MediaTypeImageManifest)
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
				r := t.do(call{method: method, url: manifestURL(repo, "v1"), header: []string{"Accept", i.MediaType}})
				t.want(r, http.StatusOK)
				if got := r.Header.Get("Content-Type"); strings.Contains(got, ";") {
					t.violated("Content-Type %q has parameters", got)
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
		Category: "pull", Name: "blob in an index is no manifest", Section: pullingManifests, Level: Must, Since: "1.0",
		Text: "If the manifest is not found in the repository, the response code MUST be `404 Not Found`.",
		check: func(t *registryTest) {
			// A build cache is an index that refers to blobs.
			repo := t.repo()
			layer := t.bytes(1000)
			t.pushBlob(repo, layer)
			blob := descriptor(ocispec.MediaTypeImageLayerGzip, layer)
			content := t.index(nil, func(index *ocispec.Index) { index.Manifests = append(index.Manifests, blob) })
			t.put(manifestURL(repo, "v1"), content, "Content-Type", ocispec.MediaTypeImageIndex)
			if r := t.get(manifestURL(repo, blob.Digest)); !refused(r) {
				t.want(r, http.StatusNotFound)
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
				t.wantContent(blobURL(repo, t.pushBlob(repo, content)), content)
			}
		},
	},
	{
		Category: "pull", Name: "blob has Docker-Content-Digest", Section: pullingBlobs, Level: Must, Since: "main",
		Text: "A successful response MUST contain the digest of the uploaded blob in the header `Docker-Content-Digest`.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			r := t.get(blobURL(repo, t.pushBlob(repo, content)))
			t.want(r, http.StatusOK)
			t.wantDigest(r, content)
		},
	},
	{
		Category: "pull", Name: "Docker-Content-Digest of a blob matches its content", Section: pullingBlobs, Level: Must, Since: "1.0",
		Text: "If present, the value of this header MUST be a digest matching that of the response body.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			r := t.get(blobURL(repo, t.pushBlob(repo, content)))
			t.want(r, http.StatusOK)
			if r.Header.Get("Docker-Content-Digest") != "" {
				t.wantDigest(r, r.body)
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
		Category: "pull", Name: "HEAD of existing content is 200", Section: checkingContent, Level: Must, Since: "1.0",
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
				r := t.head(h.url)
				t.want(r, http.StatusOK)
				t.wantDigest(r, h.content)
			}
		},
	},
	{
		Category: "pull", Name: "HEAD has Content-Length", Section: checkingContent, Level: Must, Since: "main",
		Text: "A successful response MUST contain the size in bytes of the uploaded blob or manifest in the header `Content-Length`.",
		check: func(t *registryTest) {
			for _, h := range t.heads() {
				r := t.head(h.url)
				t.want(r, http.StatusOK)
				t.wantHeader(r, "Content-Length", strconv.Itoa(len(h.content)))
			}
		},
	},
	{
		Category: "pull", Name: "HEAD of absent content is 404", Section: checkingContent, Level: Must, Since: "1.0",
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

// wantDigest reports a violation unless Docker-Content-Digest is a digest of the
// content, with any algorithm.
func (t *registryTest) wantDigest(r *response, content []byte) {
	t.Helper()
	text := r.Header.Get("Docker-Content-Digest")
	d, err := digest.Parse(text)
	if err != nil {
		t.violated("Docker-Content-Digest is %q: %v", text, err)
	}
	if want := d.Algorithm().FromBytes(content); d != want {
		t.violated("Docker-Content-Digest is %s, not %s", d, want)
	}
}

// A headCheck has a URL and the content that a GET of it returns.
type headCheck struct {
	url     string
	content []byte
}

// heads pushes an image and returns the URLs and the content of its manifest and layer.
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
