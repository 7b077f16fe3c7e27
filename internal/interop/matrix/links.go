package matrix

import (
	"encoding/json"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Links returns the manifests and the blobs that a manifest names, for clients
// that leave it to their callers to follow them.
func Links(raw []byte) (manifests, blobs []ocispec.Descriptor, err error) {
	var m struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	return m.Manifests, append(blobs, m.Layers...), nil
}
