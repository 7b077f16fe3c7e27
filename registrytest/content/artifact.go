package content

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Artifact returns an artifact of the type: an image manifest with an
// artifactType, whose layers are the parts that are blobs ([Bytes], [Random])
// or layers, and whose config is the empty JSON object if there is no
// [Config] (image-spec, Guidelines for Artifact Usage). If there are no layers,
// it has one that is the empty JSON object too, as the guidelines have it.
//
// The type may be empty if there is a Config: the artifact is of the config's
// media type then, as all artifacts were before artifactType came to be.
func Artifact(artifactType string, parts ...Part) Content {
	r := newRecipe(append([]Part{ArtifactType(artifactType)}, parts...))
	if r.config == nil {
		if r.artifactType == "" {
			r.failf("an artifact needs a type or a config")
		}
		empty := emptyJSON()
		r.config = &empty
	}
	if r.layers == nil {
		emptyJSON().addTo(r)
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
