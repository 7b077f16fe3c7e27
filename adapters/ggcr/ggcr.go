// Package ggcr connects package registrytest with go-containerregistry: it puts
// a [v1.Image] or a [v1.ImageIndex] into a registry and reads one from it,
// without a request, and it gives clients the names, the transport and the
// credentials that they need to reach a registry.
//
// The package is a separate module, so that only tests that import it depend
// on go-containerregistry. Its go.mod replaces github.com/ocireg/registry by the
// checkout around it, and a module that uses it replaces both.
package ggcr

import (
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// Push puts an image or an index into the server's store, without a request, and
// returns it, as [registrytest.Server.Push] does. The reference has no host, as in
// "team/app:v1". An error in any part of the image ends the test with Fatalf.
func Push(t registrytest.TB, s *registrytest.Server, ref string, img remote.Taggable) content.Content {
	t.Helper()
	c, err := Content(img)
	if err != nil {
		t.Fatalf("ggcr: pushing %s: %v", ref, err)
	}
	return s.Push(t, ref, c)
}

// Content returns a [v1.Image] or a [v1.ImageIndex] with its children as content,
// for [content.Put], [content.Index] and the like. It reads all layers into
// memory.
//
// As with [remote.Write], layers that are not distributable are in the manifest
// alone. An image with a layer of package stream has no manifest yet: Content
// returns an error that wraps [stream.ErrNotComputed].
func Content(img remote.Taggable) (content.Content, error) {
	switch img := img.(type) {
	case v1.Image:
		return fromImage(img)
	case v1.ImageIndex:
		return fromIndex(img)
	}
	return content.Content{}, fmt.Errorf("a %T is neither a v1.Image nor a v1.ImageIndex", img)
}

func fromImage(img v1.Image) (content.Content, error) {
	c, err := fromManifest(img)
	if err != nil {
		return content.Content{}, fmt.Errorf("reading an image: %w", err)
	}
	m, err := img.Manifest()
	if err != nil {
		return content.Content{}, fmt.Errorf("reading image %s: %w", c.Digest, err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return content.Content{}, fmt.Errorf("reading the config of image %s: %w", c.Digest, err)
	}
	if c.Config, err = blob(m.Config, config); err != nil {
		return content.Content{}, fmt.Errorf("the config of image %s: %w", c.Digest, err)
	}
	for i, d := range m.Layers {
		l, err := fromLayer(d, func() (v1.Layer, error) { return img.LayerByDigest(d.Digest) })
		if err != nil {
			return content.Content{}, fmt.Errorf("layer %d of image %s: %w", i, c.Digest, err)
		}
		c.Layers = append(c.Layers, l)
	}
	return c, nil
}

func fromIndex(index v1.ImageIndex) (content.Content, error) {
	c, err := fromManifest(index)
	if err != nil {
		return content.Content{}, fmt.Errorf("reading an index: %w", err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return content.Content{}, fmt.Errorf("reading index %s: %w", c.Digest, err)
	}
	parts, err := partial.Manifests(index)
	if err != nil {
		return content.Content{}, fmt.Errorf("reading the children of index %s: %w", c.Digest, err)
	}
	if len(parts) != len(m.Manifests) {
		return content.Content{}, fmt.Errorf("index %s lists %d manifests, but the ImageIndex has %d", c.Digest, len(m.Manifests), len(parts))
	}
	for i, d := range m.Manifests {
		child := content.Content{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
		switch part := parts[i].(type) {
		case v1.Layer:
			l, err := fromLayer(d, func() (v1.Layer, error) { return part, nil })
			if err != nil {
				return content.Content{}, fmt.Errorf("blob %d of index %s: %w", i, c.Digest, err)
			}
			c.Layers = append(c.Layers, l)
			continue
		case remote.Taggable:
			if child, err = Content(part); err != nil {
				return content.Content{}, fmt.Errorf("child %d of index %s: %w", i, c.Digest, err)
			}
		}
		if p := d.Platform; p != nil {
			child.Platform = &ocispec.Platform{
				Architecture: p.Architecture, OS: p.OS, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures, Variant: p.Variant,
			}
		}
		c.Children = append(c.Children, child)
	}
	return c, nil
}

// fromManifest returns the content without its parts.
func fromManifest(m interface {
	remote.Taggable
	MediaType() (types.MediaType, error)
}) (content.Content, error) {
	raw, err := m.RawManifest()
	if err != nil {
		return content.Content{}, err
	}
	mediaType, err := m.MediaType()
	if err != nil {
		return content.Content{}, err
	}
	return content.Content{MediaType: string(mediaType), Digest: digest.FromBytes(raw), Size: int64(len(raw)), Manifest: raw}, nil
}

// fromLayer returns the blob with the descriptor. The blob has no bytes if it is
// not distributable.
func fromLayer(d v1.Descriptor, open func() (v1.Layer, error)) (content.Blob, error) {
	if !d.MediaType.IsDistributable() {
		return content.Blob{Descriptor: descriptor(d)}, nil
	}
	l, err := open()
	if err != nil {
		return content.Blob{}, err
	}
	r, err := l.Compressed()
	if err != nil {
		return content.Blob{}, err
	}
	raw, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return content.Blob{}, err
	}
	return blob(d, raw)
}

// blob returns the blob with the descriptor and the bytes, or an error if they
// do not belong together.
func blob(d v1.Descriptor, raw []byte) (content.Blob, error) {
	b := content.Bytes(string(d.MediaType), raw)
	if b.Digest.String() != d.Digest.String() {
		return content.Blob{}, fmt.Errorf("the manifest says %s, but the %d bytes have the digest %s", d.Digest, len(raw), b.Digest)
	}
	b.Descriptor = descriptor(d)
	return b, nil
}

func descriptor(d v1.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size,
		URLs: d.URLs, Annotations: d.Annotations, Data: d.Data,
	}
}
