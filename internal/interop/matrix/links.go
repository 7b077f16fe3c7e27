package matrix

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

// Links returns the manifests and the blobs that a manifest refers to, for
// clients that do not follow these references themselves.
func Links(raw []byte) (manifests, blobs []ocispec.Descriptor, err error) {
	m, err := manifest.Parse("", raw)
	if err != nil {
		return nil, nil, err
	}
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	return m.Manifests, append(blobs, m.Layers...), nil
}
