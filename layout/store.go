package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// A Store is a [registry.Store] on image layouts.
type Store struct {
	disk     *disk
	readOnly bool
	onlyTag  string // see [Tag]

	// single is the layout if there is only one.
	single *imageLayout

	// layouts are those of a tree that somebody has asked for, by repository.
	mu      sync.RWMutex
	layouts map[string]*imageLayout
}

var _ registry.Store = (*Store)(nil)

// Close releases what the store holds, and removes what has come of blobs that
// are not committed. Blobs that are open stay open, but nothing else works any
// more.
func (s *Store) Close() error {
	if s.disk.root == nil {
		return nil
	}
	s.disk.temps.close()
	return s.disk.root.Close()
}

// layout returns the layout that a repository is in, if there is one.
func (s *Store) layout(repo string) (*imageLayout, error) {
	if s.single != nil {
		return s.single, nil
	}
	s.mu.RLock()
	l := s.layouts[repo]
	s.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	if !names.Repository(repo) {
		return nil, noRepository(repo)
	}
	dir, err := s.disk.dirFor(repo)
	if err != nil {
		return nil, err
	}
	if yes, err := s.disk.isLayout(dir); err != nil {
		return nil, err
	} else if !yes {
		return nil, noRepository(repo)
	}
	return s.add(repo, dir), nil
}

// writable returns an error if nothing can be written to a repository.
func (s *Store) writable(repo string) error {
	if s.readOnly {
		return fmt.Errorf("writing to repository %s: opened read-only: %w", repo, errors.ErrUnsupported)
	}
	if !names.Repository(repo) {
		return fmt.Errorf("%q is no valid name of a repository", repo)
	}
	return nil
}

// forWriting returns the layout that a repository is in or will be.
func (s *Store) forWriting(repo string) (*imageLayout, error) {
	if err := s.writable(repo); err != nil {
		return nil, err
	}
	l, err := s.layout(repo)
	if !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	dir, err := s.disk.dirFor(repo)
	if err != nil {
		return nil, err
	}
	return s.add(repo, dir), nil
}

// existingForWriting returns the layout that a repository is in.
func (s *Store) existingForWriting(repo string) (*imageLayout, error) {
	if err := s.writable(repo); err != nil {
		return nil, err
	}
	return s.layout(repo)
}

func (s *Store) add(repo, dir string) *imageLayout {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.layouts[repo] == nil {
		s.layouts[repo] = newImageLayout(s.disk, dir, repo, true, s.onlyTag)
	}
	return s.layouts[repo]
}

// SharesBlobs reports whether the repositories have their blobs in common, as
// those of one layout do: a blob that is pushed to one of them can be read in
// all. The repositories of a tree have each their own.
func (s *Store) SharesBlobs() bool { return s.single != nil }

// Repositories implements [registry.Store]. Of one layout, these are the
// repositories that have manifests or, if none has, the default repository if
// there are blobs.
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	if s.single != nil {
		return func(yield func(string, error) bool) { s.single.repositories(ctx, after, yield) }
	}
	return func(yield func(string, error) bool) {
		stopped := errors.New("stopped")
		w := walker{disk: s.disk, after: after, visit: ctx.Err, skipped: s.disk.warn, found: func(repo string) error {
			if !yield(repo, nil) {
				return stopped
			}
			return nil
		}}
		if err := w.walk(".", ""); err != nil && err != stopped {
			yield("", err)
		}
	}
}

// StatBlob implements [registry.Store]. The size is that of the file, whose
// content is not verified for it.
func (s *Store) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	l, err := s.layout(repo)
	if err != nil {
		return 0, err
	}
	return l.statBlob(repo, d)
}

// OpenBlob implements [registry.Store]. What it returns is an [*os.File] if
// the layout is on disk.
func (s *Store) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	l, err := s.layout(repo)
	if err != nil {
		return nil, err
	}
	return l.openBlob(ctx, repo, d)
}

// CreateBlob implements [registry.Store].
func (s *Store) CreateBlob(_ context.Context, repo string, _ int64) (registry.BlobWriter, error) {
	if err := s.writable(repo); err != nil {
		return nil, err
	}
	file, temp, err := s.disk.temps.create()
	if err != nil {
		return nil, err
	}
	return &blobWriter{store: s, repo: repo, file: file, temp: temp}, nil
}

// MountBlob implements [registry.Store]. In a tree, the blob is linked, or
// copied where there are no links.
func (s *Store) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	l, err := s.forWriting(repo)
	if err != nil {
		return err
	}
	if blobPath(d) == "" {
		return missing(from, "blob", string(d))
	}
	if l == s.single {
		return l.mountBlob(repo, d)
	}
	if from == repo {
		_, err := l.statBlob(repo, d)
		return err
	}
	if from != "" {
		return s.mountFrom(ctx, l, d, from)
	}
	// Those that were used before are most likely to have it, and found without
	// a walk.
	s.mu.RLock()
	names := slices.Collect(maps.Keys(s.layouts))
	s.mu.RUnlock()
	for _, name := range names {
		if err := s.mountFrom(ctx, l, d, name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for name, err := range s.Repositories(ctx, "") {
		if err != nil {
			return err
		}
		if err := s.mountFrom(ctx, l, d, name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
}

// mountFrom makes a blob of another repository of a tree one of l's.
func (s *Store) mountFrom(ctx context.Context, l *imageLayout, d digest.Digest, from string) error {
	src, err := s.layout(from)
	if err != nil {
		return err
	}
	if _, err := src.statBlob(from, d); err != nil || src == l {
		return err
	}
	return l.linkBlob(ctx, l.name, d, src)
}

// DeleteBlob implements [registry.Store]. If several repositories have one
// layout in common, the blob is deleted from all of them. A blob that a manifest
// of another repository needs cannot be deleted: the error wraps
// [errors.ErrUnsupported]. A digest that is that of a manifest, and was not
// pushed as a blob too, is none of a blob.
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	l, err := s.existingForWriting(repo)
	if err != nil {
		return err
	}
	return l.deleteBlob(ctx, repo, d)
}

// StatManifest implements [registry.Store]. The manifest is read and verified
// for it.
func (s *Store) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	m, err := s.GetManifest(ctx, repo, reference)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}, nil
}

// GetManifest implements [registry.Store].
func (s *Store) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	l, err := s.layout(repo)
	if err != nil {
		return registry.Manifest{}, err
	}
	return l.getManifest(ctx, repo, reference)
}

// PutManifest implements [registry.Store]. Manifests that are put at the same
// time are written to index.json together. The check may read the store but
// not write to it.
func (s *Store) PutManifest(_ context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	l, err := s.forWriting(repo)
	if err != nil {
		return err
	}
	return l.putManifest(repo, m, tags, check)
}

// DeleteManifest implements [registry.Store]. The manifest's file is removed,
// unless another repository of the same layout needs it or it was pushed as a
// blob too. If the file has to stay and an index of this repository names the
// manifest, it cannot be deleted: the error wraps [errors.ErrUnsupported].
func (s *Store) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	l, err := s.existingForWriting(repo)
	if err != nil {
		return err
	}
	return l.deleteManifest(ctx, repo, d)
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(_ context.Context, repo, tag string) error {
	l, err := s.existingForWriting(repo)
	if err != nil {
		return err
	}
	return l.deleteTag(repo, tag)
}

// Tags implements [registry.Store].
func (s *Store) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		l, err := s.layout(repo)
		if err != nil {
			yield("", err)
			return
		}
		l.tags(ctx, repo, after, yield)
	}
}

// Untagged yields the descriptors of the manifests of a repository that
// index.json names without a tag, in ascending byte order of their digests.
// Signatures and the like that have the name of their image are not among them.
func (s *Store) Untagged(ctx context.Context, repo string) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		l, err := s.layout(repo)
		if err == nil {
			err = l.untagged(ctx, repo, yield)
		}
		if err != nil {
			yield(ocispec.Descriptor{}, err)
		}
	}
}

// Referrers implements [registry.Store]. The first call for a repository reads
// all of its manifests.
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		l, err := s.layout(repo)
		if err == nil {
			err = l.listReferrers(ctx, repo, subject, after, yield)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(ocispec.Descriptor{}, err)
		}
	}
}
