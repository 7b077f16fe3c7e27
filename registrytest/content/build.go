package content

import (
	"encoding/json"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

const dockerImageConfig = "application/vnd.docker.container.image.v1+json"

// Image returns an image that a runtime can unpack. By default it is for
// linux/amd64 and has one small layer.
//
// Parts that add layers ([Layers], [LayerSizes], [Files], [FS] and [Blob]) replace
// the default layer; the first of them adds the lowest layer. Unless a part is a
// [Config], the config names the platform and the DiffIDs of the layers.
func Image(parts ...ImagePart) Content {
	r := newRecipe()
	for _, p := range parts {
		p.addToImage(r)
	}
	if r.platform == nil {
		r.platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	if r.layers == nil {
		Layers(1).addToImage(r)
	}
	layers, diffIDs := r.packLayers()
	if r.config == nil {
		at := created()
		c := ocispec.Image{
			Created:  &at,
			Platform: *r.platform,
			Config:   r.imageConfig,
			RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
		}
		for range layers {
			c.History = append(c.History, ocispec.History{Created: &at, CreatedBy: "registrytest"})
		}
		raw, err := json.Marshal(c)
		r.fail(err)
		config := Bytes(ocispec.MediaTypeImageConfig, raw)
		if r.docker {
			config.MediaType = dockerImageConfig
		}
		r.config = &config
	}
	return r.image(layers)
}

// Artifact returns an artifact of the type (image-spec, Guidelines for Artifact
// Usage): an image manifest with an artifactType. Its layers come from the parts that
// are a [Blob] or add layers. By default its config and its only layer are the empty
// JSON object.
//
// The type may be empty if a part is a [Config]. The media type of the config is
// then the type of the artifact, as it was before artifactType existed.
func Artifact(artifactType string, parts ...ArtifactPart) Content {
	r := newRecipe()
	r.artifactType = artifactType
	for _, p := range parts {
		p.addToArtifact(r)
	}
	if r.config == nil {
		if r.artifactType == "" {
			r.failf("an artifact needs a type or a config")
		}
		empty := emptyJSON()
		r.config = &empty
	}
	if r.layers == nil {
		emptyJSON().addToArtifact(r)
	}
	layers, _ := r.packLayers()
	return r.image(layers)
}

func emptyJSON() Blob {
	d := ocispec.DescriptorEmptyJSON
	b := Bytes(d.MediaType, d.Data)
	b.Data = d.Data
	return b
}

// image returns the content whose image manifest has the config of the recipe and
// these layers.
func (r *recipe) image(layers []Blob) Content {
	config := r.rehash(*r.config)
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: r.artifactType,
		Config:       config.Descriptor,
		Layers:       []ocispec.Descriptor{},
		Subject:      r.subject,
		Annotations:  r.annotations,
	}
	if r.docker {
		m.MediaType = manifest.DockerManifest
	}
	for _, b := range layers {
		m.Layers = append(m.Layers, b.Descriptor)
	}
	c := r.content(m.MediaType, m)
	if c.err == nil {
		c.Config, c.Layers = config, layers
	}
	return c
}

// Index returns an image index, or a manifest list if a part is [Docker]. Its
// children are the parts that are [Content], which may be other indexes, and the
// images of [Platforms]. Without such parts the index is empty.
func Index(parts ...IndexPart) Content {
	r := newRecipe()
	for _, p := range parts {
		p.addToIndex(r)
	}
	m := ocispec.Index{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageIndex,
		ArtifactType: r.artifactType,
		Manifests:    []ocispec.Descriptor{},
		Subject:      r.subject,
		Annotations:  r.annotations,
	}
	if r.docker {
		m.MediaType = manifest.DockerManifestList
	}
	children := []Content{}
	for _, child := range r.children {
		d := child.content.Descriptor()
		d.Platform, d.ArtifactType, d.Annotations = child.content.Platform, child.content.ArtifactType, child.annotations
		m.Manifests = append(m.Manifests, d)
		children = append(children, child.content)
	}
	c := r.content(m.MediaType, m)
	if c.err == nil {
		c.Children = children
	}
	return c
}
