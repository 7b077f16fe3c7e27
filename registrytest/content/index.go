package content

import (
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

// Index returns an image index, or with [Docker] a manifest list. Its children
// are the parts that are [Content], in their order, other indexes among them;
// without any, it is empty.
func Index(parts ...Part) Content {
	r := newRecipe(parts)
	if len(r.layers) > 0 {
		r.failf("an index has no layers")
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
		d := child.Descriptor()
		d.Platform, d.ArtifactType, d.Annotations = child.Platform, child.ArtifactType, child.annotations
		m.Manifests = append(m.Manifests, d)
		children = append(children, child.Content)
	}
	c := r.content(m.MediaType, m)
	if c.err == nil {
		c.Children = children
	}
	return c
}

// Platforms is an [Image] for each of the platforms, as children of an index.
func Platforms(platforms ...string) Part {
	return part(func(r *recipe) {
		for _, p := range platforms {
			Image(Platform(p)).addTo(r)
		}
	})
}
