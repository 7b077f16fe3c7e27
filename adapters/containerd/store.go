package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	ctrcontent "github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// Store returns a content store with the content that the references name in the
// server's store, copied by [Fill]. The content store is in a directory that is
// removed at the end of the test. An error ends the test with Fatalf.
func Store(t registrytest.TB, s *registrytest.Server, refs ...string) ctrcontent.Store {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatalf("containerd: making a content store: %v", err)
	}
	for _, ref := range refs {
		if _, err := Fill(context.Background(), store, s.Store, ref); err != nil {
			t.Fatalf("containerd: %v", err)
		}
	}
	return store
}

// Fill copies the manifest that the reference names by tag or digest from a store
// into a content store, with its blobs and children, and returns its descriptor.
// It leaves out children and blobs that the store does not have. It sets no
// labels.
func Fill(ctx context.Context, dst ctrcontent.Ingester, src registry.Store, ref string) (ocispec.Descriptor, error) {
	c, err := content.Get(ctx, src, ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	repo := ref[:strings.IndexAny(ref, ":@")] // Get has checked the reference.
	if err := fill(ctx, dst, src, repo, c); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("copying %s: %w", ref, err)
	}
	return c.Descriptor(), nil
}

// fill copies the parts of a manifest, and then the manifest.
func fill(ctx context.Context, dst ctrcontent.Ingester, src registry.Store, repo string, c content.Content) error {
	for _, child := range c.Children {
		found, err := content.Get(ctx, src, repo+"@"+child.Digest.String())
		if err == nil {
			err = fill(ctx, dst, src, repo, found)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, b := range append(c.Layers, c.Config) {
		if b.Digest == "" {
			continue // An index has no config.
		}
		r, err := src.OpenBlob(ctx, repo, b.Digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(write(ctx, dst, r, b.Descriptor), r.Close())
		}
		if err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
	}
	if err := write(ctx, dst, bytes.NewReader(c.Manifest), c.Descriptor()); err != nil {
		return fmt.Errorf("manifest %s: %w", c.Digest, err)
	}
	return nil
}

func write(ctx context.Context, dst ctrcontent.Ingester, r io.Reader, d ocispec.Descriptor) error {
	return ctrcontent.WriteBlob(ctx, dst, d.Digest.String(), r, d)
}
