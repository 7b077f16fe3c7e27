package content

import (
	"encoding/json"
	"strings"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

const dockerImageConfig = "application/vnd.docker.container.image.v1+json"

// Image returns an image that a runtime can unpack: if no part says otherwise,
// one for linux/amd64 with one small layer.
//
// [Layers], [LayerSizes], [Files], [FS] and blobs ([Bytes], [Random]) are its
// layers, from the lowest to the highest; Layers(0) makes an image without
// any. Its config names the platform and how the layers unpack, unless there
// is a [Config] of another kind.
func Image(parts ...Part) Content {
	r := newRecipe(parts)
	if r.platform == nil {
		r.platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	if r.layers == nil {
		Layers(1).addTo(r)
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
		if err != nil {
			r.fail(err)
		}
		config := Bytes(ocispec.MediaTypeImageConfig, raw)
		if r.docker {
			config.MediaType = dockerImageConfig
		}
		r.config = &config
	}
	return r.image(layers)
}

// image returns the content whose manifest has the recipe's config and the
// layers.
func (r *recipe) image(layers []Blob) Content {
	if len(r.children) > 0 {
		r.failf("only an index has children")
	}
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

// Platform sets the platform of an image: an operating system, an
// architecture and, for some, a variant, as in "linux/arm64" and
// "linux/arm/v7". Of other content, it is what an index says its platform is.
func Platform(platform string) Part {
	return part(func(r *recipe) {
		p := strings.Split(platform, "/")
		if len(p) < 2 || len(p) > 3 || p[0] == "" || p[1] == "" {
			r.failf("%q is not a platform, as linux/amd64 and linux/arm/v7 are", platform)
			return
		}
		r.platform = &ocispec.Platform{OS: p[0], Architecture: p[1]}
		if len(p) == 3 {
			r.platform.Variant = p[2]
		}
	})
}

// Config sets the config of an artifact, or of an image whose config is to be
// another than that of an image.
func Config(b Blob) Part {
	return part(func(r *recipe) {
		if b.err != nil {
			r.fail(b.err)
		}
		b.absent = false
		r.config = &b
	})
}

// ImageConfig sets what the config of an image says of running it: its
// entrypoint, environment, labels and so on.
func ImageConfig(c ocispec.ImageConfig) Part {
	return part(func(r *recipe) { r.imageConfig = c })
}
