// Package memstore keeps the content of a registry in memory.
package memstore

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/ordered"
)

// A Store is a [registry.Store] in memory. What it holds is gone when the
// garbage collector finds that nobody uses it any more; there is nothing to
// close.
//
// A blob is held once, however many repositories have it, and is never copied
// to be read or published: while it is uploaded, and after that, a large one
// takes at most a tenth more memory than it has bytes.
//
// The zero Store is empty and ready to use.
type Store struct {
	// writing is held by all that changes the store, from its first look at
	// what is there. So nothing comes between a check and the change, while
	// those who only read need not wait for the check.
	writing sync.Mutex

	// mu guards what follows. It is held for as long as it takes to find or
	// change some entries, never while anybody else's code runs. Who holds
	// writing may look things up without it.
	mu    sync.RWMutex
	repos ordered.Map[*repository]
	blobs map[digest.Digest]sharedBlob
}

var _ registry.Store = (*Store)(nil)

// A sharedBlob is a blob with the number of repositories that have it.
type sharedBlob struct {
	*content
	repos int
}

type repository struct {
	blobs     map[digest.Digest]*content
	manifests map[digest.Digest]*registry.Manifest
	tags      ordered.Map[digest.Digest]

	// tagged has the tags of each manifest that has any. Referrers has, by the
	// digest of each subject, the manifests that refer to it, by their own
	// digests.
	tagged    map[digest.Digest]map[string]struct{}
	referrers map[digest.Digest]*ordered.Map[*registry.Manifest]
}

// New returns an empty Store.
func New() *Store {
	return new(Store)
}

// Clone returns a store that has what s has at the moment and is independent
// of s from then on. The two share the bytes of their blobs and manifests, so
// that Clone takes the longer the more blobs, manifests and tags there are,
// but no longer if they are large.
func (s *Store) Clone() *Store {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := &Store{repos: *s.repos.Clone(), blobs: maps.Clone(s.blobs)}
	for name, r := range s.repos.All() {
		c.repos.Set(name, r.clone())
	}
	return c
}

// clone returns a repository with the same content, independent of r.
func (r *repository) clone() *repository {
	c := &repository{
		blobs:     maps.Clone(r.blobs),
		manifests: maps.Clone(r.manifests),
		tags:      *r.tags.Clone(),
		tagged:    make(map[digest.Digest]map[string]struct{}, len(r.tagged)),
		referrers: make(map[digest.Digest]*ordered.Map[*registry.Manifest], len(r.referrers)),
	}
	for d, tags := range r.tagged {
		c.tagged[d] = maps.Clone(tags)
	}
	for subject, referrers := range r.referrers {
		c.referrers[subject] = referrers.Clone()
	}
	return c
}

// existing returns a repository that is there. The caller holds one of the
// locks.
func (s *Store) existing(repo string) (*repository, error) {
	r, ok := s.repos.Get(repo)
	if !ok {
		return nil, fmt.Errorf("repository %s: %w", repo, fs.ErrNotExist)
	}
	return r, nil
}

// ensure returns a repository that is there from now on. The caller holds
// both locks.
func (s *Store) ensure(repo string) *repository {
	r, ok := s.repos.Get(repo)
	if !ok {
		r = &repository{
			blobs:     map[digest.Digest]*content{},
			manifests: map[digest.Digest]*registry.Manifest{},
			tagged:    map[digest.Digest]map[string]struct{}{},
			referrers: map[digest.Digest]*ordered.Map[*registry.Manifest]{},
		}
		s.repos.Set(repo, r)
	}
	return r
}

// missing returns the error for a thing that is not in the repository.
func missing(repo, kind, name string) error {
	return fmt.Errorf("%s %s in repository %s: %w", kind, name, repo, fs.ErrNotExist)
}

// Repositories implements [registry.Store].
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return list(ctx, s, after, func(after string, add func(string, string) bool) error {
		for name := range s.repos.After(after) {
			if !add(name, name) {
				break
			}
		}
		return nil
	})
}

// batchSize is the number of entries that a list takes at once, so that it
// neither locks for each nor for long.
const batchSize = 128

// list yields the items that find adds. It calls find with the lock held and
// the key of the last item, until find adds fewer items than a batch has.
func list[T any](ctx context.Context, s *Store, after string, find func(after string, add func(key string, item T) bool) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var batch []T
		last := after
		add := func(key string, item T) bool {
			batch, last = append(batch, item), key
			return len(batch) < batchSize
		}
		for {
			batch = batch[:0]
			err := ctx.Err()
			if err == nil {
				s.mu.RLock()
				err = find(last, add)
				s.mu.RUnlock()
			}
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range batch {
				if !yield(item, nil) {
					return
				}
			}
			if len(batch) < batchSize {
				return
			}
		}
	}
}
