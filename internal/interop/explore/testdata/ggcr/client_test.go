package client

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

func options(t *explore.T, reg *registrytest.Server) []remote.Option {
	return []remote.Option{remote.WithTransport(reg.Transport()), remote.WithContext(t.Context()), remote.WithJobs(1)}
}

func TestPull(t *testing.T) {
	everyFault(t, seed, func(t *explore.T, reg *registrytest.Server) error {
		ref, err := name.ParseReference(reg.Ref("team/app:v1"))
		if err != nil {
			return err
		}
		img, err := remote.Image(ref, options(t, reg)...)
		if err != nil {
			return err
		}
		manifest, err := img.RawManifest()
		if err != nil {
			return err
		}
		t.Result("manifest", manifest)
		config, err := img.RawConfigFile()
		if err != nil {
			return err
		}
		t.Result("config", config)
		layers, err := img.Layers()
		if err != nil {
			return err
		}
		for _, layer := range layers {
			r, err := layer.Compressed()
			if err != nil {
				return err
			}
			content, err := io.ReadAll(r)
			if closing := r.Close(); err == nil {
				err = closing
			}
			if err != nil {
				return err
			}
			t.Result("layer", content)
		}
		return nil
	})
}

func TestPush(t *testing.T) {
	everyFault(t, nothing, func(t *explore.T, reg *registrytest.Server) error {
		ref, err := name.ParseReference(reg.Ref("team/app:v1"))
		if err != nil {
			return err
		}
		img, err := mutate.AppendLayers(empty.Image, layer(bytes.Repeat([]byte("layer"), 1000)))
		if err != nil {
			return err
		}
		return remote.Write(ref, img, options(t, reg)...)
	})
}

// A layer is the content of an uncompressed layer.
type layer []byte

func (l layer) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l))
	return h, err
}
func (l layer) DiffID() (v1.Hash, error)             { return l.Digest() }
func (l layer) Compressed() (io.ReadCloser, error)   { return io.NopCloser(bytes.NewReader(l)), nil }
func (l layer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
func (l layer) Size() (int64, error)                 { return int64(len(l)), nil }
func (l layer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
