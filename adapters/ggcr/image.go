package ggcr

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// Image returns the image in the server's store that the reference names by tag
// or digest, as [GetImage] does. An error ends the test with Fatalf.
func Image(t registrytest.TB, s *registrytest.Server, ref string) v1.Image {
	t.Helper()
	img, err := GetImage(context.Background(), s.Store, ref)
	if err != nil {
		t.Fatalf("ggcr: %v", err)
	}
	return img
}

// Index returns the index in the server's store that the reference names by tag
// or digest, as [GetIndex] does. An error ends the test with Fatalf.
func Index(t registrytest.TB, s *registrytest.Server, ref string) v1.ImageIndex {
	t.Helper()
	index, err := GetIndex(context.Background(), s.Store, ref)
	if err != nil {
		t.Fatalf("ggcr: %v", err)
	}
	return index
}

// GetImage returns the image that the reference names by tag or digest in a
// store. The image reads its config and layers from the store, with ctx, when
// they are asked for. If the store does not have the manifest, the error wraps
// [io/fs.ErrNotExist].
func GetImage(ctx context.Context, s registry.Store, ref string) (v1.Image, error) {
	m, err := get(ctx, s, ref)
	if err != nil {
		return nil, err
	}
	if !m.mediaType.IsImage() {
		return nil, fmt.Errorf("reading %s: %s is not the media type of an image; use Index for an index", ref, m.mediaType)
	}
	return partial.CompressedToImage(image{m})
}

// GetIndex returns the index that the reference names by tag or digest in a
// store. The index reads its children from the store, with ctx, when they are
// asked for. If the store does not have the manifest, the error wraps
// [io/fs.ErrNotExist].
func GetIndex(ctx context.Context, s registry.Store, ref string) (v1.ImageIndex, error) {
	m, err := get(ctx, s, ref)
	if err != nil {
		return nil, err
	}
	if !m.mediaType.IsIndex() {
		return nil, fmt.Errorf("reading %s: %s is not the media type of an index; use Image for an image", ref, m.mediaType)
	}
	return index{m}, nil
}

// stored is a manifest in a repository of a store.
type stored struct {
	ctx       context.Context
	store     registry.Store
	repo      string
	mediaType types.MediaType
	raw       []byte
}

func get(ctx context.Context, s registry.Store, ref string) (stored, error) {
	c, err := content.Get(ctx, s, ref)
	if err != nil {
		return stored{}, err
	}
	repo := ref[:strings.IndexAny(ref, ":@")] // Get has checked the reference.
	return stored{ctx, s, repo, types.MediaType(c.MediaType), c.Manifest}, nil
}

func (m stored) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m stored) MediaType() (types.MediaType, error) { return m.mediaType, nil }
func (m stored) Digest() (v1.Hash, error)            { return partial.Digest(m) }
func (m stored) Size() (int64, error)                { return int64(len(m.raw)), nil }
func (m stored) child(h v1.Hash) string              { return m.repo + "@" + h.String() }
func (m stored) open(h v1.Hash) (io.ReadCloser, error) {
	return m.store.OpenBlob(m.ctx, m.repo, digest.Digest(h.String()))
}

// An image has the methods from which package partial makes a v1.Image.
type image struct{ stored }

func (i image) RawConfigFile() ([]byte, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	r, err := i.open(m.Config.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (i image) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	for _, d := range append(m.Layers, m.Config) {
		if d.Digest == h {
			return layer{i.stored, d}, nil
		}
	}
	return nil, fmt.Errorf("the manifest has no layer %s", h)
}

// An index is a v1.ImageIndex.
type index struct{ stored }

func (i index) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.raw))
}

func (i index) Image(h v1.Hash) (v1.Image, error) { return GetImage(i.ctx, i.store, i.child(h)) }

func (i index) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	return GetIndex(i.ctx, i.store, i.child(h))
}

// Layer returns a blob that the index lists. Package partial looks for this method.
func (i index) Layer(h v1.Hash) (v1.Layer, error) {
	m, err := i.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		if d.Digest == h {
			return partial.CompressedToLayer(layer{i.stored, d})
		}
	}
	return nil, fmt.Errorf("the index has no entry %s", h)
}

// A layer has the methods from which package partial makes a v1.Layer.
type layer struct {
	in   stored
	desc v1.Descriptor
}

func (l layer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l layer) Size() (int64, error)                { return l.desc.Size, nil }
func (l layer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l layer) Compressed() (io.ReadCloser, error)  { return l.in.open(l.desc.Digest) }
func (l layer) Descriptor() (*v1.Descriptor, error) { return &l.desc, nil }
