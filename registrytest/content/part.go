package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An ImagePart is an argument of [Image]. Blobs are parts that add themselves
// as layers.
type ImagePart interface {
	addToImage(*recipe)
}

// An ArtifactPart is an argument of [Artifact]. It is an argument of [Image], too.
type ArtifactPart interface {
	ImagePart
	addToArtifact(*recipe)
}

// An IndexPart is an argument of [Index]. [Content] is a part that adds itself
// as a child.
type IndexPart interface {
	addToIndex(*recipe)
}

// A Part is an argument of [Image], [Artifact] and [Index].
type Part interface {
	ArtifactPart
	IndexPart
}

// Each of these functions is a part that changes a recipe. An imagePart is for images,
// an artifactPart is for images and artifacts, and a part is for indexes, too.
type (
	imagePart    func(*recipe)
	artifactPart func(*recipe)
	part         func(*recipe)
)

func (p imagePart) addToImage(r *recipe)       { p(r) }
func (p artifactPart) addToImage(r *recipe)    { p(r) }
func (p artifactPart) addToArtifact(r *recipe) { p(r) }
func (p part) addToImage(r *recipe)            { p(r) }
func (p part) addToArtifact(r *recipe)         { p(r) }
func (p part) addToIndex(r *recipe)            { p(r) }

func (b Blob) addToImage(r *recipe)    { layerPart(b).addToImage(r) }
func (b Blob) addToArtifact(r *recipe) { layerPart(b).addToImage(r) }

func (c Content) addToIndex(r *recipe) { childPart(c).addToIndex(r) }

// A LayerPart adds layers to an image or an artifact, from the lowest to the
// highest.
type LayerPart struct {
	layers []layer
	err    error
}

func layerPart(b Blob) LayerPart { return LayerPart{[]layer{{blob: &b}}, b.err} }

func (p LayerPart) addToImage(r *recipe) {
	r.fail(p.err)
	if p.layers != nil && r.layers == nil {
		r.layers = []layer{}
	}
	r.layers = append(r.layers, p.layers...)
}

func (p LayerPart) addToArtifact(r *recipe) { p.addToImage(r) }

// each returns the part with copies of its layers, after calling edit for each copy.
func (p LayerPart) each(edit func(*layer)) LayerPart {
	p.layers = slices.Clone(p.layers)
	for i := range p.layers {
		edit(&p.layers[i])
	}
	return p
}

// Absent returns a part that names the layers in the manifest but does not put
// them into the store.
func (p LayerPart) Absent() LayerPart {
	return p.each(func(l *layer) { l.absent = true })
}

// Annotated returns a part that adds the layers with an annotation on the
// descriptor of each.
func (p LayerPart) Annotated(key, value string) LayerPart {
	return p.each(func(l *layer) { l.annotations = with(l.annotations, key, value) })
}

// Uncompressed returns a part that adds the layers as plain tar archives. Other
// layers are in gzip's format, but are not smaller; see [Layers]. Uncompressed does not
// change a [Blob].
func (p LayerPart) Uncompressed() LayerPart {
	return p.each(func(l *layer) { l.uncompressed = true })
}

// NonDistributable returns a part that adds the layers as non-distributable layers
// (image-spec, Non-Distributable Layers). They have such a media type and the URL,
// and are not put into the store. A [Blob] keeps its media type.
func (p LayerPart) NonDistributable(url string) LayerPart {
	return p.Absent().each(func(l *layer) { l.urls = append(slices.Clip(l.urls), url) })
}

// Layers adds n layers; Layers(0) makes an image without layers. Each layer is a tar
// archive with one small text file. The file is different in every layer and for
// every platform.
//
// Layers are in gzip's format, but stored rather than compressed, because the
// output of a compressor may change from one release of Go to the next.
func Layers(n int) LayerPart {
	p := LayerPart{layers: []layer{}}
	if n < 0 {
		p.err = fmt.Errorf("an image cannot have %d layers", n)
	}
	for range n {
		p.layers = append(p.layers, layer{pack: packText})
	}
	return p
}

// LayerSizes adds a layer of each size, in bytes. Each layer is a tar archive with one
// file of random bytes, which are different in every layer and for every platform.
// Sizes below 2071 (2048 if [LayerPart.Uncompressed]) have no room for an archive:
// such a layer is just random bytes.
//
// As with [Random], content larger than 1 MiB is generated whenever it is read.
// Building a layer takes about two seconds for 1 GiB, and one if it is uncompressed.
func LayerSizes(sizes ...int64) LayerPart {
	var p LayerPart
	for _, size := range sizes {
		if size < 0 && p.err == nil {
			p.err = fmt.Errorf("a layer cannot have a size of %d bytes", size)
		}
		p.layers = append(p.layers, layer{pack: packSize(size)})
	}
	return p
}

// Files adds a layer with files and their parent directories. The keys are the paths
// of the files, which are slash-separated and do not begin with a slash. A file
// whose name begins with .wh. removes a file of the layers below (image-spec,
// Whiteouts). For permissions, empty directories and symbolic links, use [FS].
func Files(files map[string]string) LayerPart {
	files = maps.Clone(files)
	var p LayerPart
	for name := range files {
		if !fs.ValidPath(name) || name == "." {
			p.err = &fs.PathError{Op: "building a layer", Path: name, Err: fs.ErrInvalid}
		}
	}
	p.layers = []layer{{pack: func(_ layerID, compressed bool) (source, int64, error) {
		return packFiles(files, compressed)
	}}}
	return p
}

// FS adds a layer with the directories, regular files and symbolic links of the
// file system. To be the same on every machine, the layer gives all of them to root,
// and has the permissions 0755 for directories and executable files, and 0644 for
// other files. On Windows, [os.DirFS] has no executable files.
func FS(fsys fs.FS) LayerPart {
	return LayerPart{layers: []layer{{pack: func(_ layerID, compressed bool) (source, int64, error) {
		return packFS(fsys, compressed)
	}}}}
}

// A ChildPart adds children to an index.
type ChildPart struct {
	children []child
	err      error
}

func childPart(c Content) ChildPart {
	c.absent = false
	return ChildPart{[]child{{content: c}}, c.err}
}

func (p ChildPart) addToIndex(r *recipe) {
	r.fail(p.err)
	r.children = append(r.children, p.children...)
}

// each returns the part with copies of its children, after calling edit for each copy.
func (p ChildPart) each(edit func(*child)) ChildPart {
	p.children = slices.Clone(p.children)
	for i := range p.children {
		edit(&p.children[i])
	}
	return p
}

// Absent returns a part that lists the children in the index but does not put
// them into the store. An index with such a part is sparse.
func (p ChildPart) Absent() ChildPart {
	return p.each(func(c *child) { c.content.absent = true })
}

// Annotated returns a part that adds the children with an annotation on the
// descriptor of each.
func (p ChildPart) Annotated(key, value string) ChildPart {
	return p.each(func(c *child) { c.annotations = with(c.annotations, key, value) })
}

// Platforms adds an [Image] for each platform; see [Platform].
func Platforms(platforms ...string) ChildPart {
	var p ChildPart
	for _, platform := range platforms {
		c := childPart(Image(Platform(platform)))
		p.children = append(p.children, c.children...)
		if p.err == nil {
			p.err = c.err
		}
	}
	return p
}

// A recipe collects the settings from the parts of an image, artifact or index.
type recipe struct {
	docker       bool
	algorithm    digest.Algorithm
	seed         uint64
	platform     *ocispec.Platform
	config       *Blob
	imageConfig  ocispec.ImageConfig
	layers       []layer // nil if no part adds layers
	children     []child
	subject      *ocispec.Descriptor
	artifactType string
	annotations  map[string]string
	size         int
	err          error // the first error of a part
}

// A child is an entry of an index.
type child struct {
	content     Content
	annotations map[string]string
}

func newRecipe() *recipe { return &recipe{algorithm: digest.Canonical} }

// fail notes err, unless it is nil or the recipe has an error already.
func (r *recipe) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *recipe) failf(format string, args ...any) { r.fail(fmt.Errorf(format, args...)) }

// content returns the content whose manifest is v, encoded as JSON.
func (r *recipe) content(mediaType string, v any) Content {
	// The indentation exposes clients that decode a manifest and encode it again
	// instead of passing on its bytes.
	raw, err := json.MarshalIndent(v, "", "  ")
	r.fail(err)
	if r.size > 0 {
		if len(raw) > r.size {
			r.failf("the manifest has %d bytes, which is more than the requested size of %d", len(raw), r.size)
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

// with returns a copy of the annotations with one more annotation.
func with(annotations map[string]string, key, value string) map[string]string {
	annotations = maps.Clone(annotations)
	if annotations == nil {
		annotations = make(map[string]string)
	}
	annotations[key] = value
	return annotations
}

// Subject makes the content a referrer of another manifest: it sets the property
// subject of the content's manifest. [Put] does not put the other manifest.
func Subject(of Content) Part {
	return part(func(r *recipe) {
		r.fail(of.err)
		d := of.Descriptor()
		r.subject = &d
	})
}

// ArtifactType sets the artifactType of the manifest.
func ArtifactType(t string) Part {
	return part(func(r *recipe) { r.artifactType = t })
}

// ManifestSize pads the manifest with spaces at its end to a size of exactly n
// bytes.
func ManifestSize(n int) Part {
	return part(func(r *recipe) {
		if n <= 0 {
			r.failf("a manifest cannot have a size of %d bytes", n)
		}
		r.size = n
	})
}

// Docker replaces the media types of OCI by those of Docker (image manifest version 2,
// schema 2): those of the manifest, and of the config and the layers that this package
// builds. A [Blob] keeps its media type.
func Docker() Part {
	return part(func(r *recipe) { r.docker = true })
}

// Algorithm sets the algorithm of the manifest's digest, and of the digests of its
// config and layers; the default is SHA-256. It does not change the digests of
// children and of the subject. DiffIDs of layers that this package builds are always
// SHA-256.
func Algorithm(a digest.Algorithm) Part {
	return part(func(r *recipe) {
		if !a.Available() {
			r.failf("digest algorithm %q: %w", a, errors.ErrUnsupported)
			return
		}
		r.algorithm = a
	})
}

// Platform sets the platform of an image: an operating system, an architecture
// and possibly a variant, as in "linux/arm64" or "linux/arm/v7". An index that
// lists the content gives it this platform.
func Platform(platform string) Part {
	return part(func(r *recipe) {
		p := strings.Split(platform, "/")
		if len(p) < 2 || len(p) > 3 || p[0] == "" || p[1] == "" {
			r.failf("%q is not a platform: write it as linux/amd64 or linux/arm/v7", platform)
			return
		}
		r.platform = &ocispec.Platform{OS: p[0], Architecture: p[1]}
		if len(p) == 3 {
			r.platform.Variant = p[2]
		}
	})
}

// Seed changes the content of [Layers], of the default layer and of [LayerSizes]. Images
// with such a layer and different seeds differ, even if their other parts are the same.
// The default is 0.
func Seed(seed uint64) ArtifactPart {
	return artifactPart(func(r *recipe) { r.seed = seed })
}

// Config sets the config, instead of the config that [Image] or [Artifact] makes.
func Config(b Blob) ArtifactPart {
	return artifactPart(func(r *recipe) {
		r.fail(b.err)
		b.absent = false
		r.config = &b
	})
}

// ImageConfig sets the property config of the image's config: its entrypoint,
// environment, labels and so on.
func ImageConfig(c ocispec.ImageConfig) ImagePart {
	return imagePart(func(r *recipe) { r.imageConfig = c })
}
