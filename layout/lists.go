package layout

import (
	"context"
	"io/fs"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/names"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// repositories yields the names of the repositories of the layout that sort
// after the given name.
func (l *imageLayout) repositories(ctx context.Context, after string, yield func(string, error) bool) {
	names, err := l.repositoryNames()
	for _, name := range names {
		if name <= after {
			continue
		}
		if err = ctx.Err(); err != nil {
			break
		}
		if !yield(name, nil) {
			return
		}
	}
	if err != nil {
		yield("", err)
	}
}

// repositoryNames returns the sorted names of the repositories that index.json
// names. If it names none but the layout has blobs, the result is the default
// repository.
func (l *imageLayout) repositoryNames() ([]string, error) {
	x, err := l.index()
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range x.repos.All() {
		names = append(names, name)
	}
	if len(names) == 0 {
		if blobs, err := fs.Glob(l.disk.FS, l.path(blobsDir+"/*/*")); err == nil && len(blobs) > 0 {
			names = []string{l.name}
		}
	}
	return names, nil
}

// tags yields the tags of a repository that sort after the given tag.
func (l *imageLayout) tags(ctx context.Context, repo, after string, yield func(string, error) bool) {
	x, err := l.index()
	if err != nil {
		yield("", err)
		return
	}
	r, ok := x.repos.Get(repo)
	if !ok {
		if l.tree {
			return
		}
		known, err := l.repositoryNames()
		if err == nil && !slices.Contains(known, repo) {
			err = names.NoRepository(repo)
		}
		if err != nil {
			yield("", err)
		}
		return
	}
	for tag := range r.tags.After(after) {
		if err := ctx.Err(); err != nil {
			yield("", err)
			return
		}
		if !yield(strings.Clone(tag), nil) {
			return
		}
	}
}

// untagged yields the descriptors of the manifests of a repository that have no
// tag, in the order of their digests. It leaves out attached manifests, such as
// signatures.
func (l *imageLayout) untagged(ctx context.Context, repo string, yield func(ocispec.Descriptor, error) bool) error {
	x, err := l.index()
	if err != nil {
		return err
	}
	r, ok := x.repos.Get(repo)
	if !ok {
		return nil
	}
	for _, g := range r.manifests.All() {
		if slices.ContainsFunc(g.all(), func(e *entry) bool { return e.tag != "" || e.attached }) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(g.first().descriptor(), nil) {
			return nil
		}
	}
	return nil
}

// listReferrers yields the descriptors of the manifests with the given subject
// whose digests sort after the given digest.
func (l *imageLayout) listReferrers(ctx context.Context, repo string, subject, after digest.Digest, yield func(ocispec.Descriptor, error) bool) error {
	x, err := l.index()
	if err != nil {
		return err
	}
	r, ok := x.repos.Get(repo)
	if !ok {
		return nil
	}
	for {
		page, err := r.reach.page(ctx, subject, after)
		if err != nil {
			return err
		}
		for _, d := range page {
			if !yield(d, nil) {
				return nil
			}
			after = d.Digest
		}
		if len(page) < maxPage {
			return nil
		}
	}
}
