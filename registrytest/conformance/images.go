package conformance

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// bytes returns content that no registry has yet.
func (t *registryTest) bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// location returns the URL in the header Location of an answer.
func (t *registryTest) location(a *answer) string {
	t.Helper()
	text := a.Header.Get("Location")
	if text == "" {
		t.violated("there is no Location")
	}
	u, err := a.Response.Request.URL.Parse(text)
	if err != nil {
		t.violated("Location %q is no URL: %v", text, err)
	}
	return u.String()
}

// param returns the URL with one more parameter, all else as it was.
func param(target, name, value string) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + name + "=" + url.QueryEscape(value)
}

func blobURL(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/blobs/" + string(d)
}

func manifestURL[T ~string](repo string, reference T) string {
	return "/v2/" + repo + "/manifests/" + string(reference)
}

func uploadsURL(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }

func tagsURL(repo string) string { return "/v2/" + repo + "/tags/list" }

func referrersURL(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/referrers/" + string(d)
}

// start starts an upload and returns where it goes on.
func (t *registryTest) start(repo string) (location string) {
	t.Helper()
	t.prepare("starting an upload", func() {
		a := t.post(uploadsURL(repo))
		t.want(a, http.StatusAccepted)
		location = t.location(a)
	})
	return location
}

// pushBlob pushes the content as a blob.
func (t *registryTest) pushBlob(repo string, content []byte) (d digest.Digest) {
	t.Helper()
	d = digest.FromBytes(content)
	location := t.start(repo)
	t.prepare("pushing a blob", func() {
		t.want(t.put(param(location, "digest", string(d)), content, "Content-Type", "application/octet-stream"), http.StatusCreated)
	})
	return d
}

// pushManifest pushes the content as a manifest.
func (t *registryTest) pushManifest(repo, reference, mediaType string, content []byte) digest.Digest {
	t.Helper()
	t.prepare("pushing a manifest", func() {
		t.want(t.put(manifestURL(repo, reference), content, "Content-Type", mediaType), http.StatusCreated)
	})
	return digest.FromBytes(content)
}

// A testImage is an image that no registry has yet.
type testImage struct {
	ocispec.Manifest
	config, layer []byte
	content       []byte
	digest        digest.Digest
}

// image returns an image with a config and a layer, after it was edited.
func (t *registryTest) image(edit ...func(*ocispec.Manifest)) testImage {
	i := testImage{layer: t.bytes(1000)}
	layer := descriptor(ocispec.MediaTypeImageLayer, i.layer)
	i.config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, layer.Digest)
	i.Manifest = ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    descriptor(ocispec.MediaTypeImageConfig, i.config),
		Layers:    []ocispec.Descriptor{layer},
	}
	for _, e := range edit {
		e(&i.Manifest)
	}
	i.content = encodeManifest(i.Manifest)
	i.digest = digest.FromBytes(i.content)
	return i
}

// descriptor returns the descriptor of content.
func descriptor(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// descriptor returns the descriptor of the manifest.
func (i testImage) descriptor() ocispec.Descriptor { return descriptor(i.MediaType, i.content) }

// index returns an index of the images, after it was edited.
func (t *registryTest) index(images []testImage, edit ...func(*ocispec.Index)) []byte {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
		// An index of nothing is to have a digest of its own as well.
		Annotations: map[string]string{"org.example.unique": digest.FromBytes(t.bytes(8)).Encoded()},
	}
	for _, i := range images {
		index.Manifests = append(index.Manifests, i.descriptor())
	}
	for _, e := range edit {
		e(&index)
	}
	return encodeManifest(index)
}

// encodeManifest returns the JSON of a manifest. It cannot fail.
func encodeManifest(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// pushBlobsOf pushes what the image is made of.
func (t *registryTest) pushBlobsOf(repo string, i testImage) {
	t.Helper()
	t.pushBlob(repo, i.config)
	t.pushBlob(repo, i.layer)
}

// pushImage pushes an image with the tags, or with none by its digest.
func (t *registryTest) pushImage(repo string, i testImage, tags ...string) testImage {
	t.Helper()
	t.pushBlobsOf(repo, i)
	if len(tags) == 0 {
		tags = []string{string(i.digest)}
	}
	for _, tag := range tags {
		t.pushManifest(repo, tag, i.MediaType, i.content)
	}
	return i
}

// decode reads the JSON in the body of an answer.
func (t *registryTest) decode(a *answer, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.violated("the body is not the JSON that it should be: %v", err)
	}
}
