// Package archive puts the images of an archive into a store, and the content of
// a store into an archive. It reads the archives of docker save and tar files of OCI
// image layouts, and writes the latter.
//
//	_, err := archive.Import(t.Context(), reg.Store, "testdata/app.tar")
package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// Import copies the images of an archive into a store, and returns their
// references in the order of their names, such as "library/app:v1" or, for an image
// without a tag that is part of no index, "app@sha256:…". The names are those that
// [layout.Open] gives them; package layout describes the kinds of archives. The
// options change the names, such as [layout.Repository] and [layout.Tag] for an
// image without a name.
//
// Import verifies the digests of everything before it changes the store. It is an
// error if an image lacks its config or a layer, but not if an index lacks the
// images of some platforms, as in an archive that was saved for one of them.
func Import(ctx context.Context, s registry.Store, file string, opts ...layout.Option) (refs []string, err error) {
	src, err := layout.Open(file, append(slices.Clip(opts), layout.ReadOnly())...)
	if err != nil {
		return nil, fmt.Errorf("importing an archive: %w", err)
	}
	defer src.Close()
	if refs, err = check(ctx, src); err == nil {
		err = content.Copy(ctx, s, src)
	}
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", file, err)
	}
	return refs, nil
}

// check verifies the images and returns their references.
func check(ctx context.Context, src *layout.Store) (refs []string, err error) {
	for repo, err := range src.Repositories(ctx, "") {
		if err != nil {
			return nil, err
		}
		c := checker{ctx: ctx, store: src, repo: repo, seen: make(map[digest.Digest]bool), listed: make(map[digest.Digest]bool)}
		for tag, err := range src.Tags(ctx, repo, "") {
			if err == nil {
				err = c.image(tag)
			}
			if err != nil {
				return nil, fmt.Errorf("%s:%s: %w", repo, tag, err)
			}
			refs = append(refs, repo+":"+tag)
		}
		var untagged []digest.Digest
		for d, err := range src.Untagged(ctx, repo) {
			if err == nil {
				err = c.image(string(d.Digest))
			}
			if err != nil {
				return nil, fmt.Errorf("%s@%s: %w", repo, d.Digest, err)
			}
			untagged = append(untagged, d.Digest)
		}
		for _, d := range untagged {
			if !c.listed[d] {
				refs = append(refs, repo+"@"+string(d))
			}
		}
	}
	return refs, nil
}

// A checker verifies the images of a repository.
type checker struct {
	ctx   context.Context
	store registry.Store
	repo  string

	seen   map[digest.Digest]bool // the manifests that were verified
	listed map[digest.Digest]bool // those that an index lists
}

// image verifies the manifest with the reference, those that it lists, and the
// blobs of all of them.
func (c *checker) image(reference string) error {
	m, err := c.store.GetManifest(c.ctx, c.repo, reference)
	if err != nil {
		return err
	}
	for left := []registry.Manifest{m}; len(left) > 0; {
		m, left = left[len(left)-1], left[:len(left)-1]
		doc, err := manifest.Parse(m.MediaType, m.Content)
		if err != nil || c.seen[m.Digest] {
			continue
		}
		c.seen[m.Digest] = true
		for d := range doc.RequiredBlobs {
			if _, err := c.store.StatBlob(c.ctx, c.repo, d); err != nil {
				return fmt.Errorf("manifest %s: %w", m.Digest, err)
			}
		}
		for _, d := range doc.Manifests {
			if d.Digest.Validate() != nil {
				continue
			}
			c.listed[d.Digest] = true
			child, err := c.store.GetManifest(c.ctx, c.repo, string(d.Digest))
			switch {
			case err == nil:
				left = append(left, child)
			case !errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*registry.Error)):
				return err // The content exists, but is damaged.
			}
		}
	}
	return nil
}
