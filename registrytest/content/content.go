// Package content builds images, indexes, artifacts and broken manifests for
// tests of registries and their clients. The same call builds the same bytes on
// every machine, so a test can compare digests with constants.
//
//	app := content.Image(content.Platform("linux/arm64"), content.Layers(2))
//	all := content.Index(app, content.Platforms("linux/amd64"))
//	if err := content.Put(ctx, store, "team/app:v1", all); err != nil {
//		return err
//	}
//
// [Put], [Get] and [Copy] work on any [registry.Store], without a request. [State]
// does the same in a test, and fails the test instead of returning an error.
// Package referrer builds signatures, attestations and SBOMs.
package content

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

// Content is a manifest with its config, layers and children. [Image], [Index],
// [Artifact], [Raw] and others build it. [Put] puts it into a store, and [Get] reads
// it from a store.
type Content struct {
	// MediaType, Digest and Size are those of the manifest.
	MediaType string
	Digest    digest.Digest
	Size      int64

	// Manifest has the bytes of the manifest. Callers must not modify them. If it
	// is nil, the Content only names a manifest: it can be a child or a subject,
	// but Put does not put it.
	Manifest []byte

	// ArtifactType and Annotations are the properties of the manifest with these
	// names.
	ArtifactType string
	Annotations  map[string]string

	// Platform is the platform in an index entry for this manifest, or nil.
	Platform *ocispec.Platform

	// Config is the config of an image or an artifact.
	Config Blob

	// Layers are the layers of an image or the blobs of an artifact, in the
	// order of the manifest.
	Layers []Blob

	// Children are the manifests that an index lists, in the order of the index.
	Children []Content

	absent bool
	err    error
}

// Err returns the reason why the content could not be built, or nil. If there is a
// reason, all fields of the Content are empty, and [Put] returns the reason.
func (c Content) Err() error { return c.err }

// Descriptor returns the media type, digest and size of the manifest.
func (c Content) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: c.MediaType, Digest: c.Digest, Size: c.Size}
}

// Absent returns a part that lists the content in an index but does not put it
// into the store with the index. An index with such a part is sparse.
func (c Content) Absent() ChildPart { return childPart(c).Absent() }

// Annotated returns a part that lists the content in an index, with an annotation on
// its descriptor there.
func (c Content) Annotated(key, value string) ChildPart { return childPart(c).Annotated(key, value) }

// Manifests yields the manifests that [Put] puts into a repository: children before
// the index that lists them, and the content's own manifest last. It omits absent
// children and children without bytes, and yields each manifest once.
func (c Content) Manifests() iter.Seq[Content] {
	return func(yield func(Content) bool) {
		for _, m := range c.manifests(make(map[digest.Digest]bool)) {
			if !yield(*m) {
				return
			}
		}
	}
}

// manifests returns the manifests of [Content.Manifests] whose digests are not in
// seen, and adds these digests to seen.
func (c *Content) manifests(seen map[digest.Digest]bool) (all []*Content) {
	if seen[c.Digest] {
		return nil
	}
	seen[c.Digest] = true
	for i := range c.Children {
		if child := &c.Children[i]; !child.absent && child.Manifest != nil {
			all = append(all, child.manifests(seen)...)
		}
	}
	return append(all, c)
}

// Blobs yields the blobs that [Put] puts into a repository: the config and the
// layers of each of the [Content.Manifests]. It omits absent layers and blobs
// without content, and yields each blob once.
func (c Content) Blobs() iter.Seq[Blob] {
	return func(yield func(Blob) bool) {
		for _, b := range c.blobs() {
			if !yield(*b) {
				return
			}
		}
	}
}

func (c *Content) blobs() (all []*Blob) {
	seen := make(map[digest.Digest]bool)
	for _, m := range c.manifests(make(map[digest.Digest]bool)) {
		for _, b := range m.ownBlobs() {
			if !b.absent && b.source != nil && !seen[b.Digest] {
				seen[b.Digest] = true
				all = append(all, b)
			}
		}
	}
	return all
}

// ownBlobs returns the config and the layers of the manifest.
func (c *Content) ownBlobs() (all []*Blob) {
	if c.Config.Digest != "" {
		all = append(all, &c.Config)
	}
	for i := range c.Layers {
		all = append(all, &c.Layers[i])
	}
	return all
}

// A Blob is a blob with its descriptor. As a part, it adds itself to the layers
// of an image or an artifact. If a Blob has only a descriptor, the manifest names
// it, but [Put] does not put it.
type Blob struct {
	ocispec.Descriptor
	source source
	absent bool
	err    error
}

// Bytes returns a blob with the media type and the content. Callers must not
// modify the content afterwards.
func Bytes(mediaType string, content []byte) Blob {
	return newBlob(mediaType, bytes.NewReader(content), digest.FromBytes(content))
}

// Random returns a blob with the media type and the size, in bytes. Its content is
// generated from the seed. If it is larger than 1 MiB, it is generated again whenever
// it is read, so it takes no memory. See [PutBlob] for the memory of stores. Random
// computes the digest, which takes about a second for 1 GiB.
func Random(mediaType string, size int64, seed uint64) Blob {
	if size < 0 {
		return Blob{err: fmt.Errorf("a blob cannot have a size of %d bytes", size)}
	}
	s := random{seed, size}
	return newBlob(mediaType, s, digestOf(s, digest.Canonical))
}

// maxHeld is the largest size, in bytes, of generated content that a Blob holds in
// memory instead of generating it again.
const maxHeld = 1 << 20

func newBlob(mediaType string, s source, d digest.Digest) Blob {
	if _, held := s.(*bytes.Reader); !held && (s.Size() <= maxHeld || packed(s)) {
		content := make([]byte, s.Size())
		s.ReadAt(content, 0)
		s = bytes.NewReader(content)
	}
	return Blob{Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: s.Size()}, source: s}
}

// packed reports whether s is the gzip form of content that is in memory already.
func packed(s source) bool {
	g, ok := s.(gzipped)
	if !ok {
		return false
	}
	_, ok = g.source.(*bytes.Reader)
	return ok
}

// generated reports whether reading the blob generates its content.
func (b Blob) generated() bool {
	_, held := b.source.(*bytes.Reader)
	return b.source != nil && !held
}

// Open returns a reader of the content. Reading returns an error if the Blob
// has only a descriptor.
func (b Blob) Open() *io.SectionReader {
	if b.source == nil {
		return io.NewSectionReader(noContent{b.Digest}, 0, max(b.Size, 1))
	}
	return newReader(b.source)
}

type noContent struct{ digest digest.Digest }

func (n noContent) ReadAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("reading blob %s: %w", n.digest, errOnlyDescriptor)
}

// Absent returns a part that names the blob in the manifest but does not put it
// into the store.
func (b Blob) Absent() LayerPart { return layerPart(b).Absent() }

// Annotated returns a part that adds the blob with an annotation on its
// descriptor.
func (b Blob) Annotated(key, value string) LayerPart { return layerPart(b).Annotated(key, value) }

// NonDistributable returns a part that adds the blob with the URL in its
// descriptor and does not put it into the store.
func (b Blob) NonDistributable(url string) LayerPart { return layerPart(b).NonDistributable(url) }

// read returns the content that a manifest describes. Its config, layers and children
// have only descriptors.
func read(mediaType string, d digest.Digest, raw []byte) Content {
	c := Content{MediaType: mediaType, Digest: d, Size: int64(len(raw)), Manifest: raw}
	doc, err := manifest.Parse(mediaType, raw)
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
