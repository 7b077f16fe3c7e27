package registry_test

import (
	"context"
	"errors"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// A statOnly is a store that embeds UnimplementedStore and implements only
// StatManifest.
type statOnly struct{ registry.UnimplementedStore }

func (statOnly) StatManifest(context.Context, string, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{MediaType: imageType, Digest: sum("x"), Size: 1}, nil
}

func TestUnimplementedStore(t *testing.T) {
	t.Parallel()
	h := &registryTest{t, registry.New(statOnly{}), nil}
	h.want(200, h.call("HEAD", "/v2/app/manifests/v1", ""))
	d := string(sum("x"))
	for _, r := range [][2]string{
		{"GET", "/v2/app/blobs/" + d}, {"DELETE", "/v2/app/blobs/" + d},
		{"POST", "/v2/app/blobs/uploads/?digest=" + d}, {"POST", "/v2/app/blobs/uploads/?from=b&mount=" + d},
		{"GET", "/v2/app/manifests/v1"}, {"DELETE", "/v2/app/manifests/v1"}, {"DELETE", "/v2/app/manifests/" + d},
		{"GET", "/v2/app/tags/list"}, {"GET", "/v2/app/referrers/" + d}, {"GET", "/v2/_catalog"},
	} {
		h.wantError(405, h.call(r[0], r[1], ""), registry.CodeUnsupported)
	}
	var s registry.UnimplementedStore
	_, err := s.StatBlob(t.Context(), "app", sum("x"))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "StatBlob")
	require.ErrorIs(t, s.PutManifest(t.Context(), "app", registry.Manifest{}, nil, nil), errors.ErrUnsupported)
}
