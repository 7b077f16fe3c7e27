// Package recipe builds content from a description in JSON, which is the body of
// requests to the control API:
//
//	{"ref": "team/app:v1", "image": {"layers": 3, "platforms": ["linux/amd64"]}}
package recipe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/content"
)

// A Recipe describes content and its reference, for [content.Put]. Exactly one of
// Image, Artifact and Raw is set. Equal recipes build equal content, as long as a
// tag in Subject names the same manifest.
type Recipe struct {
	Ref      string `json:"ref"`
	Image    *Parts `json:"image"`
	Artifact *Parts `json:"artifact"`
	Raw      *Raw   `json:"raw"`
}

// Raw is a text to store as a manifest, which need not be valid.
type Raw struct {
	MediaType string `json:"mediaType"`
	Content   string `json:"content"`
}

// Parts describes the parts of an image or artifact, like the functions of package
// content with these names. With Platforms, an image is an index of images.
type Parts struct {
	Layers       *int                `json:"layers"`
	LayerSizes   []int64             `json:"layerSizes"`
	Files        []map[string]string `json:"files"` // one layer for each map of files
	Platform     string              `json:"platform"`
	Platforms    []string            `json:"platforms"`
	Labels       map[string]string   `json:"labels"`
	Annotations  map[string]string   `json:"annotations"`
	ArtifactType string              `json:"artifactType"`
	Subject      string              `json:"subject"` // a reference, or a tag or digest in the repository of Ref
	Docker       bool                `json:"docker"`
	Seed         uint64              `json:"seed"`
}

// The largest numbers of layers and platforms that a recipe may have.
const (
	maxLayers    = 1000
	maxPlatforms = 100
)

// Build builds the content. A subject must be in the store. Build returns an error if
// the recipe is not valid, or if the sizes in LayerSizes, for all platforms together,
// exceed the limit.
func (r Recipe) Build(ctx context.Context, s registry.Store, limit int64) (content.Content, error) {
	var c content.Content
	ref, err := names.ParseReference(r.Ref)
	if err != nil {
		return c, fmt.Errorf("ref: %w", err)
	}
	switch {
	case r.Raw != nil && r.Image == nil && r.Artifact == nil:
		c = content.Raw(r.Raw.MediaType, []byte(r.Raw.Content))
	case r.Image != nil && r.Raw == nil && r.Artifact == nil:
		c, err = r.Image.image(ctx, s, ref, limit)
	case r.Artifact != nil && r.Raw == nil && r.Image == nil:
		c, err = r.Artifact.artifact(ctx, s, ref, limit)
	default:
		err = errors.New("give one of image, artifact and raw")
	}
	if err == nil {
		err = c.Err()
	}
	return c, err
}

// check returns an error if the content would have too many parts, or if its
// LayerSizes exceed the limit.
func (p *Parts) check(limit int64) error {
	layers := len(p.LayerSizes) + len(p.Files)
	if p.Layers != nil {
		layers += min(*p.Layers, maxLayers+1)
	}
	if layers > maxLayers || len(p.Platforms) > maxPlatforms {
		return fmt.Errorf("want at most %d layers and %d platforms", maxLayers, maxPlatforms)
	}
	left := limit / int64(max(len(p.Platforms), 1))
	for _, size := range p.LayerSizes {
		if size < 0 || size > left {
			return fmt.Errorf("layerSizes: want sizes from 0, and at most %d bytes together", limit)
		}
		left -= size
	}
	return nil
}

// layers returns the parts of package content that determine the layers.
func (p *Parts) layers() []content.ArtifactPart {
	parts := []content.ArtifactPart{content.Seed(p.Seed)}
	if p.Layers != nil {
		parts = append(parts, content.Layers(*p.Layers))
	}
	if p.LayerSizes != nil {
		parts = append(parts, content.LayerSizes(p.LayerSizes...))
	}
	for _, files := range p.Files {
		parts = append(parts, content.Files(files))
	}
	return parts
}

// outer returns the parts of package content that apply to the outermost manifest,
// which is an index, an image or an artifact: its annotations, Docker and the subject.
func (p *Parts) outer(ctx context.Context, s registry.Store, ref names.Reference) (parts []content.Part, err error) {
	for _, k := range slices.Sorted(maps.Keys(p.Annotations)) {
		parts = append(parts, content.Annotation(k, p.Annotations[k]))
	}
	if p.Docker {
		parts = append(parts, content.Docker())
	}
	if p.Subject == "" {
		return parts, nil
	}
	name := p.Subject
	switch repo, _, found := strings.Cut(name, ":"); {
	case !found:
		name = ref.Repository + ":" + name
	case digest.Digest(name).Validate() == nil:
		name = ref.Repository + "@" + name
	case repo == "":
		return nil, fmt.Errorf("subject: %q is not a reference", name)
	}
	of, err := content.Get(ctx, s, name)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	return append(parts, content.Subject(of)), nil
}

func (p *Parts) artifact(ctx context.Context, s registry.Store, ref names.Reference, limit int64) (c content.Content, err error) {
	if p.Labels != nil || p.Platform != "" || p.Platforms != nil || p.Docker {
		return c, errors.New("labels, platforms and docker are for images, not for artifacts")
	}
	outer, err := p.outer(ctx, s, ref)
	if err == nil {
		err = p.check(limit)
	}
	if err != nil {
		return c, err
	}
	parts := p.layers()
	for _, part := range outer {
		parts = append(parts, part)
	}
	return content.Artifact(p.ArtifactType, parts...), nil
}

func (p *Parts) image(ctx context.Context, s registry.Store, ref names.Reference, limit int64) (c content.Content, err error) {
	outer, err := p.outer(ctx, s, ref)
	if err == nil {
		err = p.check(limit)
	}
	if err == nil && p.Platform != "" && p.Platforms != nil {
		err = errors.New("give platform, or platforms for an index, not both")
	}
	if err != nil {
		return c, err
	}
	if p.ArtifactType != "" {
		outer = append(outer, content.ArtifactType(p.ArtifactType))
	}
	image := func(platform string, parts ...content.Part) content.Content {
		var all []content.ImagePart
		for _, part := range p.layers() {
			all = append(all, part)
		}
		for _, part := range parts {
			all = append(all, part)
		}
		if p.Labels != nil {
			all = append(all, content.ImageConfig(ocispec.ImageConfig{Labels: p.Labels}))
		}
		if platform != "" {
			all = append(all, content.Platform(platform))
		}
		return content.Image(all...)
	}
	if p.Platforms == nil {
		return image(p.Platform, outer...), nil
	}
	var children []content.IndexPart
	for _, part := range outer {
		children = append(children, part)
	}
	for _, platform := range p.Platforms {
		var parts []content.Part
		if p.Docker {
			parts = append(parts, content.Docker())
		}
		children = append(children, image(platform, parts...))
	}
	return content.Index(children...), nil
}

// A Summary has the digests of content, for a response of the control API.
type Summary struct {
	Ref       string          `json:"ref,omitempty"`
	MediaType string          `json:"mediaType"`
	Digest    digest.Digest   `json:"digest"`
	Size      int64           `json:"size"`
	Platform  string          `json:"platform,omitempty"`
	Config    digest.Digest   `json:"config,omitempty"`
	Layers    []digest.Digest `json:"layers,omitempty"`
	Manifests []Summary       `json:"manifests,omitempty"` // the manifests of an index
}

// Summarize returns the summary of content with the reference.
func Summarize(ref string, c content.Content) Summary {
	s := Summary{Ref: ref, MediaType: c.MediaType, Digest: c.Digest, Size: c.Size, Config: c.Config.Digest}
	if p := c.Platform; p != nil {
		s.Platform = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	}
	for _, l := range c.Layers {
		s.Layers = append(s.Layers, l.Digest)
	}
	for _, child := range c.Children {
		s.Manifests = append(s.Manifests, Summarize("", child))
	}
	return s
}
