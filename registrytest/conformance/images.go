package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const octetStream = "application/octet-stream"

// bytes returns n random bytes.
func (t *registryTest) bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// absentDigest returns a digest of random content, which the registry does not
// have.
func (t *registryTest) absentDigest() digest.Digest { return digest.FromBytes(t.bytes(32)) }

// repo returns the name of a new repository, which no other check uses.
func (t *registryTest) repo() string {
	prefix := t.target.Repo
	if prefix == "" {
		prefix = defaultTargetRepo
	}
	if t.id == "" {
		t.id = hex.EncodeToString(t.bytes(6))
	}
	t.repos++
	return fmt.Sprintf("%s/%s-%d", prefix, t.id, t.repos)
}

// param adds a query parameter to a URL. It does not change the rest of the URL,
// because a registry may not recognize another spelling.
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

// A testImage is an image with random content, which the registry does not have
// yet.
type testImage struct {
	ocispec.Manifest
	config, layer []byte
	content       []byte
	digest        digest.Digest
}

// image returns a new image with a config and a layer. Each edit changes its
// manifest.
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

// subject returns an edit of a manifest that makes it a referrer of the image i.
func subject(i testImage) func(*ocispec.Manifest) {
	d := i.descriptor()
	return func(m *ocispec.Manifest) { m.Subject = &d }
}

// artifactType returns an edit of a manifest that sets its artifactType.
func artifactType(mediaType string) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) { m.ArtifactType = mediaType }
}

// descriptor returns the descriptor of the image's manifest.
func (i testImage) descriptor() ocispec.Descriptor { return descriptor(i.MediaType, i.content) }

// descriptor returns the descriptor of the content.
func descriptor(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// index returns the JSON of an index of the images. Each edit changes the index.
func (t *registryTest) index(images []testImage, edit ...func(*ocispec.Index)) []byte {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
		// A random annotation makes even empty indexes differ.
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

// encodeManifest returns a manifest or index as JSON. It panics on an error,
// which is impossible.
func encodeManifest(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// start starts an upload session in the repository and returns its location.
func (t *registryTest) start(repo string) (location string) {
	t.Helper()
	t.prepare("starting an upload", func() {
		r := t.post(uploadsURL(repo))
		t.want(r, http.StatusAccepted)
		location = t.location(r)
	})
	return location
}

// end sends the whole content to the upload session in one PUT, and returns the
// response.
func (t *registryTest) end(location string, d digest.Digest, content []byte) *response {
	t.Helper()
	return t.put(param(location, "digest", string(d)), content, "Content-Type", octetStream)
}

// pushBlob pushes the content as a blob and returns its digest.
func (t *registryTest) pushBlob(repo string, content []byte) (d digest.Digest) {
	t.Helper()
	d = digest.FromBytes(content)
	location := t.start(repo)
	t.prepare("pushing a blob", func() { t.want(t.end(location, d, content), http.StatusCreated) })
	return d
}

// putImage sends a PUT of the image's manifest, and returns the response.
func (t *registryTest) putImage(repo, reference string, i testImage, header ...string) *response {
	t.Helper()
	return t.put(manifestURL(repo, reference), i.content, append(header, "Content-Type", i.MediaType)...)
}

// pushManifest pushes the content as a manifest and returns its digest.
func (t *registryTest) pushManifest(repo, reference, mediaType string, content []byte) digest.Digest {
	t.Helper()
	t.prepare("pushing a manifest", func() {
		t.want(t.put(manifestURL(repo, reference), content, "Content-Type", mediaType), http.StatusCreated)
	})
	return digest.FromBytes(content)
}

// pushBlobsOf pushes the config and the layer of the image.
func (t *registryTest) pushBlobsOf(repo string, i testImage) {
	t.Helper()
	t.pushBlob(repo, i.config)
	t.pushBlob(repo, i.layer)
}

// pushImage pushes an image with the tags. Without tags, it pushes the manifest
// by digest.
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

// A largeList is a list of referrers that is larger than 4 MiB, the limit of many
// registries for manifests. The requirements that need one share it, because
// pushing it takes longer than most checks.
type largeList struct {
	repo  string // "" until the list has been pushed
	of    digest.Digest
	large []ocispec.Descriptor // of the type sbomType
	other ocispec.Descriptor   // of another type
}

// largeList returns a largeList that is in the registry.
func (t *registryTest) largeList() *largeList {
	t.Helper()
	if t.list.repo != "" {
		return t.list
	}
	repo, of := t.repo(), t.image()
	padding := strings.Repeat("x", 900_000)
	shared := t.image()
	t.pushBlobsOf(repo, shared)
	var large []ocispec.Descriptor
	for n := range 5 {
		i := t.image(subject(of), artifactType(sbomType), func(m *ocispec.Manifest) {
			m.Config, m.Layers = shared.Manifest.Config, shared.Layers
			m.Annotations = map[string]string{"org.example.padding": padding, "org.example.number": strconv.Itoa(n)}
		})
		t.pushManifest(repo, string(i.digest), i.MediaType, i.content)
		large = append(large, i.descriptor())
	}
	other := t.pushImage(repo, t.image(subject(of), artifactType(signatureType)))
	*t.list = largeList{repo, of.digest, large, other.descriptor()}
	return t.list
}

// wantCreated reports a violation unless the response is 201 and the content is
// at its Location.
func (t *registryTest) wantCreated(r *response, content []byte) {
	t.Helper()
	t.want(r, http.StatusCreated)
	pulled := t.get(t.location(r))
	if pulled.StatusCode != http.StatusOK {
		t.violated("GET of the Location in the response is %s", pulled.Status)
	}
	t.wantBody(pulled, content)
}

// wantPushed reports a violation unless the response is 201 and the content is
// at the URL.
func (t *registryTest) wantPushed(r *response, url string, content []byte) {
	t.Helper()
	t.want(r, http.StatusCreated)
	t.wantContent(url, content)
}

// wantContent reports a violation unless a GET of the URL returns the content.
func (t *registryTest) wantContent(url string, content []byte) {
	t.Helper()
	r := t.get(url)
	t.want(r, http.StatusOK)
	t.wantBody(r, content)
}

// wantImage reports a violation unless the tag or digest names the image's
// manifest.
func (t *registryTest) wantImage(repo, reference string, i testImage) {
	t.Helper()
	r := t.get(manifestURL(repo, reference), "Accept", i.MediaType)
	t.want(r, http.StatusOK)
	t.wantBody(r, i.content)
}
