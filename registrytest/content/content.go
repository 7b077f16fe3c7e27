package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

// Content is a manifest and what it is made of, for a test to put into a
// registry and to compare with what comes out of it. [Image], [Index],
// [Artifact], [Raw] and others build it, and [Put] puts it into a store.
//
// The same call builds the same Content, byte for byte, on every machine.
type Content struct {
	// MediaType, Digest and Size are those of the manifest.
	MediaType string
	Digest    digest.Digest
	Size      int64

	// Manifest is the manifest. A test does not modify it. If it is nil, the
	// Content only names a manifest: it can be the subject of others and stand
	// in an index, and nothing is put into a registry for it.
	Manifest []byte

	// ArtifactType and Annotations are those in the manifest.
	ArtifactType string
	Annotations  map[string]string

	// Platform is what an index says of the platform of this manifest, or nil.
	Platform *ocispec.Platform

	// Config is the config of an image or an artifact.
	Config Blob

	// Layers are the layers of an image or the blobs of an artifact, in the
	// order of the manifest.
	Layers []Blob

	// Children are what an index lists, in its order.
	Children []Content

	absent bool
	err    error
}

// Err returns why the content could not be built, or nil. If it is not nil,
// the other fields are empty, and [Put] returns it.
func (c Content) Err() error { return c.err }

// Descriptor returns the media type, digest and size of the manifest.
func (c Content) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: c.MediaType, Digest: c.Digest, Size: c.Size}
}

// Manifests yields the manifests that [Put] puts into a repository: those of
// the children, their children's before them, and then the content's own. None
// of them is [Absent], and none is there twice.
func (c Content) Manifests() iter.Seq[Content] {
	return func(yield func(Content) bool) {
		c.walk(make(map[digest.Digest]bool), yield)
	}
}

func (c Content) walk(seen map[digest.Digest]bool, yield func(Content) bool) bool {
	if seen[c.Digest] {
		return true
	}
	seen[c.Digest] = true
	for _, child := range c.Children {
		if !child.absent && child.Manifest != nil && !child.walk(seen, yield) {
			return false
		}
	}
	return yield(c)
}

// Blobs yields the blobs that [Put] puts into a repository: the config and the
// layers of every one of the [Content.Manifests]. None of them is [Absent] or
// without content, and none is there twice.
func (c Content) Blobs() iter.Seq[Blob] {
	return func(yield func(Blob) bool) {
		seen := make(map[digest.Digest]bool)
		for m := range c.Manifests() {
			for b := range m.blobs {
				if b.absent || b.source == nil || seen[b.Digest] {
					continue
				}
				seen[b.Digest] = true
				if !yield(b) {
					return
				}
			}
		}
	}
}

// blobs yields the manifest's own config and layers.
func (c Content) blobs(yield func(Blob) bool) {
	if c.Config.Digest != "" && !yield(c.Config) {
		return
	}
	for _, b := range c.Layers {
		if !yield(b) {
			return
		}
	}
}

// A Blob is a blob and its descriptor. As a part of an image or an artifact,
// it is a layer that is taken as it is. One without content, of which there is
// but the descriptor, is named in the manifest and not put into a registry.
type Blob struct {
	ocispec.Descriptor
	source source
	absent bool
	err    error
}

// Bytes returns a blob of the media type that has the given content. The
// caller does not modify the content afterwards.
func Bytes(mediaType string, content []byte) Blob {
	return newBlob(mediaType, bytes.NewReader(content), digest.FromBytes(content))
}

// Random returns a blob of the media type and the size, in bytes, whose
// content is computed from the seed when it is read. It takes no memory, not
// even in a store that [PutBlob] puts it into, if that is one in memory. Random
// computes the digest, which takes about a second for 1 GiB.
func Random(mediaType string, size int64, seed uint64) Blob {
	if size < 0 {
		return Blob{err: fmt.Errorf("no blob has a size of %d bytes", size)}
	}
	s := random{seed, size}
	return newBlob(mediaType, s, digestOf(s, digest.Canonical))
}

// maxHeld is the size up to which content that could be computed is held in
// memory instead, in bytes.
const maxHeld = 1 << 20

func newBlob(mediaType string, s source, d digest.Digest) Blob {
	if _, held := s.(*bytes.Reader); !held && (s.Size() <= maxHeld || packed(s)) {
		content := make([]byte, s.Size())
		s.ReadAt(content, 0)
		s = bytes.NewReader(content)
	}
	return Blob{Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: s.Size()}, source: s}
}

// packed reports whether the source is another form of content from memory, so
// that there is nothing to be won by computing it each time.
func packed(s source) bool {
	g, ok := s.(gzipped)
	if !ok {
		return false
	}
	_, ok = g.source.(*bytes.Reader)
	return ok
}

// generated reports whether the content is computed when it is read.
func (b Blob) generated() bool {
	_, held := b.source.(*bytes.Reader)
	return b.source != nil && !held
}

// Open returns a reader of the content. If the blob has no content, reading
// fails.
func (b Blob) Open() *io.SectionReader {
	if b.source == nil {
		return io.NewSectionReader(noContent{b.Digest}, 0, max(b.Size, 1))
	}
	return newReader(b.source)
}

type noContent struct{ digest digest.Digest }

func (n noContent) ReadAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("reading blob %s: its content is not known here", n.digest)
}

// A Part says something of the content that is being built: what it is made
// of, or what is special about it. A layer in an index is an error, and so is
// [Content] in what is not one; other parts do nothing where they make no
// sense.
type Part interface {
	addTo(*recipe)
}

type part func(*recipe)

func (p part) addTo(r *recipe) { p(r) }

func (b Blob) addTo(r *recipe) {
	if b.err != nil {
		r.fail(b.err)
	}
	r.layers = append(r.layers, layer{blob: &b})
}

func (c Content) addTo(r *recipe) {
	if c.err != nil {
		r.fail(c.err)
	}
	c.absent = false
	r.children = append(r.children, child{Content: c})
}

// A recipe is what the parts of some content have said.
type recipe struct {
	docker       bool
	algorithm    digest.Algorithm
	seed         uint64
	platform     *ocispec.Platform
	config       *Blob
	imageConfig  ocispec.ImageConfig
	layers       []layer // nil if no part has said anything of layers
	children     []child
	subject      *ocispec.Descriptor
	artifactType string
	annotations  map[string]string
	size         int
	err          error
}

// A child is what stands in an index.
type child struct {
	Content
	annotations map[string]string
}

func newRecipe(parts []Part) *recipe {
	r := &recipe{algorithm: digest.Canonical}
	for _, p := range parts {
		p.addTo(r)
	}
	return r
}

// fail has the content be an error, unless it is one already.
func (r *recipe) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *recipe) failf(format string, args ...any) { r.fail(fmt.Errorf(format, args...)) }

// added applies the parts and returns the layers and children that they add.
func (r *recipe) added(parts []Part) ([]layer, []child) {
	layers, children := len(r.layers), len(r.children)
	for _, p := range parts {
		p.addTo(r)
	}
	return r.layers[layers:], r.children[children:]
}

// content returns the content whose manifest is v in JSON.
func (r *recipe) content(mediaType string, v any) Content {
	// Clients that hand on a manifest that they have read and written again,
	// instead of its bytes, would not be found out if it came without spaces.
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		r.fail(err)
	}
	if r.size > 0 {
		if len(raw) > r.size {
			r.failf("the manifest has %d bytes already, more than the %d that it should have", len(raw), r.size)
		} else {
			raw = append(raw, bytes.Repeat([]byte{' '}, r.size-len(raw))...)
		}
	}
	if r.err != nil {
		return Content{err: r.err}
	}
	return Content{
		MediaType:    mediaType,
		Digest:       r.algorithm.FromBytes(raw),
		Size:         int64(len(raw)),
		Manifest:     raw,
		ArtifactType: r.artifactType,
		Annotations:  r.annotations,
		Platform:     r.platform,
	}
}

// Annotation adds an annotation to the manifest.
func Annotation(key, value string) Part {
	return part(func(r *recipe) { r.annotations = with(r.annotations, key, value) })
}

// Annotated is the parts with an annotation on the descriptor of each layer
// and each child among them.
func Annotated(key, value string, parts ...Part) Part {
	return part(func(r *recipe) {
		layers, children := r.added(parts)
		for i := range layers {
			layers[i].annotations = with(layers[i].annotations, key, value)
		}
		for i := range children {
			children[i].annotations = with(children[i].annotations, key, value)
		}
	})
}

func with(annotations map[string]string, key, value string) map[string]string {
	annotations = maps.Clone(annotations)
	if annotations == nil {
		annotations = make(map[string]string)
	}
	annotations[key] = value
	return annotations
}

// Absent is the parts with each layer and each child among them named in the
// manifest but not put into the registry, as in a sparse index. A child that
// was absent can still be put by itself.
func Absent(parts ...Part) Part {
	return part(func(r *recipe) {
		layers, children := r.added(parts)
		for i := range layers {
			layers[i].absent = true
		}
		for i := range children {
			children[i].absent = true
		}
	})
}

// Subject makes the content a referrer of another: its manifest's subject. It
// is not put into a registry with its referrer.
func Subject(of Content) Part {
	return part(func(r *recipe) {
		if of.err != nil {
			r.fail(of.err)
		}
		d := of.Descriptor()
		r.subject = &d
	})
}

// ArtifactType sets the artifactType of the manifest.
func ArtifactType(t string) Part {
	return part(func(r *recipe) { r.artifactType = t })
}

// ManifestSize has the manifest be of exactly n bytes, by spaces at its end.
func ManifestSize(n int) Part {
	return part(func(r *recipe) {
		if n <= 0 {
			r.failf("no manifest has a size of %d bytes", n)
		}
		r.size = n
	})
}

// Docker has the manifest, the config and the layers be of Docker's media
// types (image manifest version 2, schema 2) instead of the OCI's.
func Docker() Part {
	return part(func(r *recipe) { r.docker = true })
}

// Seed tells apart what would else be the same: with another seed, [Layers]
// and [LayerSizes] have other content. The seed is 0 if nothing is said.
func Seed(seed uint64) Part {
	return part(func(r *recipe) { r.seed = seed })
}

// Algorithm sets the algorithm of all digests in the manifest and of its own,
// which is SHA-256 if nothing is said. Digests of children and of the subject
// are what they are, and those of uncompressed layers in an image's config are
// always of SHA-256.
func Algorithm(a digest.Algorithm) Part {
	return part(func(r *recipe) {
		if !a.Available() {
			r.failf("digest algorithm %q: %w", a, errors.ErrUnsupported)
			return
		}
		r.algorithm = a
	})
}

// read returns what can be seen of content in its manifest.
func read(mediaType string, d digest.Digest, raw []byte) Content {
	c := Content{MediaType: mediaType, Digest: d, Size: int64(len(raw)), Manifest: raw}
	doc, err := manifest.Parse(raw)
	if err != nil || manifest.Opaque(mediaType) {
		return c
	}
	c.ArtifactType, c.Annotations = doc.ArtifactType, doc.Annotations
	if doc.Config != nil {
		c.Config = Blob{Descriptor: *doc.Config}
	}
	for _, list := range [][]ocispec.Descriptor{doc.Layers, doc.Blobs} {
		for _, desc := range list {
			c.Layers = append(c.Layers, Blob{Descriptor: desc})
		}
	}
	for _, desc := range doc.Manifests {
		c.Children = append(c.Children, Content{
			MediaType:    desc.MediaType,
			Digest:       desc.Digest,
			Size:         desc.Size,
			ArtifactType: desc.ArtifactType,
			Platform:     desc.Platform,
		})
	}
	return c
}
