// Package oras connects package registrytest with oras-go: it makes a target of a
// repository in a store, without HTTP, and a client for a repository of a server.
// It has the same name as oras-go's own package, so a file that imports both gives
// this package another name, as in orastest.Target.
//
// The package is a separate module, so that only tests that import it depend
// on oras-go. Its go.mod replaces github.com/ocireg/registry by the checkout
// around it, and a module that uses it replaces both.
package oras

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
)

// Target returns a repository of a store as a target of oras-go: its methods read
// and write the store, without a request. Predecessors are the referrers of a
// manifest, as with a remote repository.
//
// Content with a media type of manifests is a manifest, and all other content is a
// blob. For missing content, the error wraps [errdef.ErrNotFound] and
// [io/fs.ErrNotExist]. For a push of content that the store already has, the error
// wraps [errdef.ErrAlreadyExists].
func Target(store registry.Store, repo string) oras.GraphTarget { return target{store, repo} }

type target struct {
	store registry.Store
	repo  string
}

func (t target) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	d, err := t.store.StatManifest(ctx, t.repo, reference)
	if err != nil {
		return ocispec.Descriptor{}, t.failed("resolving", reference, err)
	}
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

func (t target) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	var err error
	if isManifest(d) {
		_, err = t.store.StatManifest(ctx, t.repo, string(d.Digest))
	} else {
		_, err = t.store.StatBlob(ctx, t.repo, d.Digest)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, t.failed("looking for", string(d.Digest), err)
	}
	return true, nil
}

func (t target) Fetch(ctx context.Context, d ocispec.Descriptor) (r io.ReadCloser, err error) {
	if isManifest(d) {
		var m registry.Manifest
		m, err = t.store.GetManifest(ctx, t.repo, string(d.Digest))
		r = io.NopCloser(bytes.NewReader(m.Content))
	} else {
		r, err = t.store.OpenBlob(ctx, t.repo, d.Digest)
	}
	if err != nil {
		return nil, t.failed("fetching", string(d.Digest), err)
	}
	return r, nil
}

func (t target) Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	exists, err := t.Exists(ctx, d)
	if err != nil {
		return err
	}
	if exists {
		return t.failed("pushing", string(d.Digest), errdef.ErrAlreadyExists)
	}
	if err := t.push(ctx, d, r); err != nil {
		return t.failed("pushing", string(d.Digest), err)
	}
	return nil
}

func (t target) push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if isManifest(d) {
		raw, err := orascontent.ReadAll(r, d)
		if err != nil {
			return err
		}
		return content.Put(ctx, t.store, t.repo, manifest(d.MediaType, d.Digest, raw))
	}
	w, err := t.store.CreateBlob(ctx, t.repo, d.Size)
	if err != nil {
		return err
	}
	defer w.Close()
	verified := orascontent.NewVerifyReader(r, d)
	if _, err := io.Copy(w, verified); err != nil {
		return err
	}
	if err := verified.Verify(); err != nil {
		return err
	}
	return w.Commit(ctx, d.Digest)
}

// Tag puts the manifest again, because a store sets a tag only when it gets a
// manifest.
func (t target) Tag(ctx context.Context, d ocispec.Descriptor, reference string) error {
	m, err := t.store.GetManifest(ctx, t.repo, string(d.Digest))
	if err != nil {
		return t.failed("tagging", string(d.Digest), err)
	}
	separator := ":"
	if strings.Contains(reference, ":") {
		separator = "@" // The reference is a digest, which names the manifest already.
	}
	err = content.Put(ctx, t.store, t.repo+separator+reference, manifest(m.MediaType, m.Digest, m.Content))
	if err != nil {
		return t.failed("tagging", string(d.Digest), err)
	}
	return nil
}

func (t target) Predecessors(ctx context.Context, d ocispec.Descriptor) (all []ocispec.Descriptor, err error) {
	for r, err := range t.store.Referrers(ctx, t.repo, d.Digest, "") {
		if err != nil {
			return nil, t.failed("listing the referrers of", string(d.Digest), err)
		}
		all = append(all, r)
	}
	return all, nil
}

// failed adds to an error the action of a method, such as "tagging", and the name of
// the content. If the content does not exist, the result wraps [errdef.ErrNotFound].
func (t target) failed(doing, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errdef.ErrNotFound, err)
	}
	return fmt.Errorf("%s %s in %s: %w", doing, name, t.repo, err)
}

func manifest(mediaType string, d digest.Digest, raw []byte) content.Content {
	return content.Content{MediaType: mediaType, Digest: d, Size: int64(len(raw)), Manifest: raw}
}

// isManifest reports whether oras-go treats the content as a manifest.
func isManifest(d ocispec.Descriptor) bool {
	switch d.MediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.oci.artifact.manifest.v1+json":
		return true
	}
	return false
}
