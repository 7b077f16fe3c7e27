package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// A Store is a [registry.Store] that keeps its content in image layouts.
type Store struct {
	disk     *disk
	readOnly bool
	onlyTag  string // set by [Tag]

	referrersTags bool // set by [ReferrersTags]

	// single is the layout that was opened, or nil if a tree was opened.
	single *imageLayout

	// layouts holds the layouts of a tree that were used before, by repository.
	// The map images holds images of the Buildpacks lifecycle (see images.go), by
	// directory. The mutex mu guards both.
	mu      sync.RWMutex
	layouts map[string]*imageLayout
	images  map[string]*imageLayout
}

var _ registry.Store = (*Store)(nil)

// Close releases the resources of the store and discards blobs that were not
// committed. Readers of open blobs remain usable; all other calls fail. A store
// from [OpenFS], or of a directory with the option [ReadOnly], has no resources,
// and Close has no effect on it.
func (s *Store) Close() error {
	if s.disk.archive != nil {
		return s.disk.archive.Close()
	}
	if s.disk.root == nil {
		return nil
	}
	s.disk.byPath.Store(false)
	s.disk.temps.close()
	return s.disk.root.Close()
}

// layout returns the layout of a repository. If the repository does not exist,
// the error wraps [fs.ErrNotExist].
func (s *Store) layout(repo string) (*imageLayout, error) {
	l, known, err := s.lookup(repo)
	if known || err != nil {
		return l, err
	}
	if yes, err := s.disk.isLayout(l.dir); err != nil {
		return nil, err
	} else if !yes {
		if _, err := s.disk.stat(l.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", names.NoRepository(repo), err)
		}
		return nil, names.NoRepository(repo)
	}
	return s.add(l), nil
}

// loaded is like the method layout, for a caller that needs the index. If the
// layout was not used before, loaded reads its index, which also shows that the
// directory is a layout. This saves 4 system calls of the first GET request.
func (s *Store) loaded(repo string) (*imageLayout, error) {
	l, known, err := s.lookup(repo)
	if known || err != nil {
		return l, err
	}
	switch _, _, err := l.read(); {
	case err == nil:
		return s.add(l), nil
	case errors.Is(err, errNoLayout):
		return nil, names.NoRepository(repo)
	default:
		return s.layout(repo) // The store serves blobs even if it cannot read index.json.
	}
}

// lookup returns the layout of a repository. If known is false, the layout was
// not used before: only the caller has it, and its directory may not be a layout.
func (s *Store) lookup(repo string) (l *imageLayout, known bool, err error) {
	if s.single != nil {
		return s.single, true, nil
	}
	s.mu.RLock()
	l, known = s.layouts[repo]
	s.mu.RUnlock()
	if known {
		return l, true, nil
	}
	if !names.Repository(repo) {
		return nil, false, names.NoRepository(repo)
	}
	dir, err := s.disk.dirFor(repo)
	if err != nil {
		return nil, false, err
	}
	return s.newLayout(repo, dir), false, nil
}

// writable returns an error if the repository name is not valid, if the store is
// read-only, or if the repository consists of images of the Buildpacks
// lifecycle.
func (s *Store) writable(repo string) error {
	if s.readOnly {
		return fmt.Errorf("writing to repository %s: the store is read-only: %w", repo, errors.ErrUnsupported)
	}
	if !names.Repository(repo) {
		return fmt.Errorf("%q is not a valid repository name", repo)
	}
	if s.single != nil {
		return nil
	}
	return s.checkNoImages(repo)
}

// change calls f with the layout of a repository, which need not exist yet. If f
// fails and the repository still does not exist, the store forgets the layout.
func (s *Store) change(repo string, f func(*imageLayout) error) error {
	if err := s.writable(repo); err != nil {
		return err
	}
	l, err := s.layout(repo)
	if errors.Is(err, fs.ErrNotExist) {
		var dir string
		if dir, err = s.disk.dirFor(repo); err == nil {
			err = s.disk.checkUsable(repo, dir)
		}
		if err == nil {
			l = s.add(s.newLayout(repo, dir))
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	l.changing++
	s.mu.Unlock()
	err = f(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.changing--
	if err != nil && l.changing == 0 && l != s.single && l.cur.Load() == nil {
		delete(s.layouts, repo)
	}
	return err
}

// existingForWriting returns the layout of a repository that exists and can be
// written to, or an error.
func (s *Store) existingForWriting(repo string) (*imageLayout, error) {
	if err := s.writable(repo); err != nil {
		return nil, err
	}
	return s.layout(repo)
}

// newLayout returns the layout of a repository of a tree, which is in the
// directory dir.
func (s *Store) newLayout(repo, dir string) *imageLayout {
	l := newImageLayout(s.disk, dir, repo, true, s.onlyTag)
	l.referrersTags = s.referrersTags
	return l
}

// add adds a layout to those that were used. If another goroutine has just added
// a layout for the same repository, add returns that layout.
func (s *Store) add(l *imageLayout) *imageLayout {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.layouts[l.name] == nil {
		s.layouts[l.name] = l
	}
	return s.layouts[l.name]
}

// SharesBlobs reports whether the store is one layout. The repositories of one
// layout share their blobs: each can read a blob that was pushed to another. The
// repositories of a tree have separate blobs.
func (s *Store) SharesBlobs() bool { return s.single != nil }

// Repositories implements [registry.Store]. In one layout, a repository exists
// while it has manifests. If the layout has blobs and no manifests, the default
// repository exists.
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	if s.single != nil {
		return func(yield func(string, error) bool) { s.single.repositories(ctx, after, yield) }
	}
	return func(yield func(string, error) bool) {
		stopped := errors.New("stopped")
		w := walker{store: s, after: after, visit: ctx.Err, skipped: s.disk.warn, found: func(repo string) error {
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

// StatBlob implements [registry.Store]. Like OpenBlob, it verifies the content,
// so a damaged blob is missing for HEAD requests too. To verify a blob, the
// store reads and hashes the whole file once, and keeps the result until the
// size, the modification time or the identity of the file changes. It does not
// read back a blob that it received itself, unless the file system cannot
// store exact modification times.
func (s *Store) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	return read(s, repo, func(l *imageLayout) (int64, error) { return l.statBlob(ctx, repo, d) })
}

// OpenBlob implements [registry.Store]. The reader is an [*os.File] if the
// layout is on disk.
func (s *Store) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	return read(s, repo, func(l *imageLayout) (io.ReadSeekCloser, error) { return l.openBlob(ctx, repo, d) })
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

// DeleteBlob implements [registry.Store]. In one layout, it deletes the blob
// from all repositories. If a manifest of another repository needs the blob,
// the error wraps [errors.ErrUnsupported]. A manifest is not a blob unless it
// was pushed as one too.
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	l, err := s.existingForWriting(repo)
	if err != nil {
		return err
	}
	return l.deleteBlob(ctx, repo, d)
}

// StatManifest implements [registry.Store]. It reads and verifies the manifest,
// unless the store has done so before and the file has not changed since.
func (s *Store) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	return read(s, repo, func(l *imageLayout) (ocispec.Descriptor, error) { return l.statManifest(ctx, repo, reference) })
}

// GetManifest implements [registry.Store].
func (s *Store) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	return read(s, repo, func(l *imageLayout) (registry.Manifest, error) { return l.getManifest(ctx, repo, reference) })
}

// PutManifest implements [registry.Store]. Concurrent calls can share one write of
// index.json. The function check may read from the store but must not write to
// it. The store calls check again if another program changes index.json during
// the write.
func (s *Store) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	return s.change(repo, func(l *imageLayout) error { return l.putManifest(ctx, repo, m, tags, check) })
}

// DeleteManifest implements [registry.Store]. It also removes the file of the
// manifest, unless another repository of the layout needs the file or the
// manifest was pushed as a blob too. If the file must stay and an index of this
// repository names the manifest, the error wraps [errors.ErrUnsupported].
func (s *Store) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	l, err := s.existingForWriting(repo)
	if err != nil {
		return err
	}
	return l.deleteManifest(ctx, repo, d)
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(ctx context.Context, repo, tag string) error {
	l, err := s.existingForWriting(repo)
	if err != nil {
		return err
	}
	return l.deleteTag(ctx, repo, tag)
}

// Tags implements [registry.Store].
func (s *Store) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { s.tags(ctx, repo, after, yield) }
}

// Untagged yields the descriptors of the manifests that index.json names without
// a tag, in ascending byte order of their digests. It omits signatures and other
// manifests that carry the name of their image.
func (s *Store) Untagged(ctx context.Context, repo string) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		err := s.eachDescriptor(repo, yield, func(l *imageLayout, yield func(ocispec.Descriptor, error) bool) error {
			return l.untagged(ctx, repo, yield)
		})
		if err != nil {
			yield(ocispec.Descriptor{}, err)
		}
	}
}

// Referrers implements [registry.Store]. The first call for a repository reads
// all of its manifests.
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		err := s.eachDescriptor(repo, yield, func(l *imageLayout, yield func(ocispec.Descriptor, error) bool) error {
			return l.listReferrers(ctx, repo, subject, after, yield)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(ocispec.Descriptor{}, err)
		}
	}
}
