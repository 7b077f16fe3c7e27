package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// Copy copies repositories, or all that src has if none are named, to dst,
// where what was there before stays.
//
// A store does not list its manifests. Copied are those that can be reached
// from a tag, however many steps away: what an index lists, the subject and
// the referrers of what is copied; with their tags, media types and exact
// bytes, and with their blobs. What they name and src does not have is left
// out. Blobs that no such manifest names are not copied.
func Copy(ctx context.Context, dst, src registry.Store, repos ...string) error {
	if len(repos) == 0 {
		for repo, err := range src.Repositories(ctx, "") {
			if err != nil {
				return fmt.Errorf("copying repositories: %w", err)
			}
			repos = append(repos, repo)
		}
	}
	for _, repo := range repos {
		if err := copyRepository(ctx, dst, src, repo); err != nil {
			return fmt.Errorf("copying repository %s: %w", repo, err)
		}
	}
	return nil
}

func copyRepository(ctx context.Context, dst, src registry.Store, repo string) error {
	all, err := reach(ctx, src, repo)
	if err != nil {
		return err
	}
	for _, m := range all.manifests {
		for b := range read(m.MediaType, m.Digest, m.Content).blobs {
			if err := copyBlob(ctx, dst, src, repo, b); err != nil {
				return fmt.Errorf("manifest %s: %w", m.Digest, err)
			}
		}
		if err := dst.PutManifest(ctx, repo, stored(m.MediaType, m.Digest, m.Content), all.tags[m.Digest], nil); err != nil {
			return fmt.Errorf("manifest %s: %w", m.Digest, err)
		}
	}
	return nil
}

// copyBlob copies a blob if src has it.
func copyBlob(ctx context.Context, dst, src registry.Store, repo string, b Blob) error {
	if b.Digest.Validate() != nil {
		return nil
	}
	r, err := src.OpenBlob(ctx, repo, b.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest, err)
	}
	defer r.Close()
	if kept, ok := sourceOf(r); ok {
		b.source = kept
		return PutBlob(ctx, dst, repo, b)
	}
	return putBlob(ctx, dst, repo, b.Digest, b.Size, r)
}

// sourceOf returns the source that PutBlob gave to the store from which the
// reader comes.
func sourceOf(r io.Reader) (source, bool) {
	section, ok := r.(interface {
		Outer() (r io.ReaderAt, off, n int64)
	})
	if !ok {
		return nil, false
	}
	at, _, _ := section.Outer()
	kept, ok := at.(keptSource)
	return kept.source, ok
}

// A reached is what of a repository can be found from its tags on.
type reached struct {
	// manifests has what an index lists before the index.
	manifests []registry.Manifest
	tags      map[digest.Digest][]string
	// from says of each manifest how it was found first.
	from map[digest.Digest]string
}

// reach finds the manifests of a repository.
func reach(ctx context.Context, s registry.Store, repo string) (*reached, error) {
	found := &reached{tags: make(map[digest.Digest][]string), from: make(map[digest.Digest]string)}
	var visit func(m registry.Manifest, from string) error
	find := func(d digest.Digest, from string) error {
		// What is no digest, a store would take for a tag.
		if d.Validate() != nil || found.from[d] != "" {
			return nil
		}
		m, err := s.GetManifest(ctx, repo, string(d))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("manifest %s: %w", d, err)
		}
		return visit(m, from)
	}
	visit = func(m registry.Manifest, from string) error {
		if found.from[m.Digest] != "" {
			return nil
		}
		found.from[m.Digest] = from
		doc, err := manifest.Parse(m.Content)
		if err == nil {
			for _, child := range doc.Manifests {
				if err := find(child.Digest, "listed by "+string(m.Digest)); err != nil {
					return err
				}
			}
		}
		found.manifests = append(found.manifests, m)
		if subject := doc.SubjectDigest(); subject != "" {
			if err := find(subject, "the subject of "+string(m.Digest)); err != nil {
				return err
			}
		}
		for d, err := range s.Referrers(ctx, repo, m.Digest, "") {
			if err != nil {
				return fmt.Errorf("referrers of %s: %w", m.Digest, err)
			}
			if err := find(d.Digest, "a referrer of "+string(m.Digest)); err != nil {
				return err
			}
		}
		return nil
	}
	for tag, err := range s.Tags(ctx, repo, "") {
		if err != nil {
			return nil, fmt.Errorf("tags: %w", err)
		}
		m, err := s.GetManifest(ctx, repo, tag)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", tag, err)
		}
		found.tags[m.Digest] = append(found.tags[m.Digest], tag)
		if err := visit(m, "tagged "+tag); err != nil {
			return nil, err
		}
	}
	return found, nil
}
