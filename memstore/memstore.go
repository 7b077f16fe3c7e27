// Package memstore keeps the content of a registry in memory.
package memstore

import (
	"context"
	"iter"
	"maps"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/ordered"
)

// A Store is a [registry.Store] that keeps its content in memory. It needs no
// Close: the garbage collector frees a store that is no longer used.
//
// The store holds each blob once for all of its repositories. It copies at most
// the end of a large blob to publish it, and nothing to serve it. A large blob
// takes at most a tenth more memory than its size, during the upload and after it.
//
// The zero Store is empty and ready to use.
type Store struct {
	// writing is held by each method that changes the store, from its first read
	// to the change, so that no other change comes between a check and the change.
	// Readers do not wait for it.
	writing sync.Mutex

	// mu guards the fields below. Methods hold it while they look up or change
	// entries, and never while they call a function of their caller. A method that
	// holds writing may read the fields without mu.
	mu    sync.RWMutex
	repos ordered.List // of *repository, by name
	blobs map[digest.Digest]sharedBlob
}

var _ registry.Store = (*Store)(nil)

// A sharedBlob is the content of a blob and the number of repositories that have
// it.
type sharedBlob struct {
	*content
	repos int
}

type repository struct {
	blobs     map[digest.Digest]*content
	manifests map[digest.Digest]*registry.Manifest
	tags      ordered.List // of digest.Digest

	// tagged holds the tags of each manifest that has tags. For each subject,
	// referrers has a list of the manifests with that subject. The digest of a
	// manifest is its key in the list.
	tagged    map[digest.Digest]map[string]struct{}
	referrers map[digest.Digest]*ordered.List // of *registry.Manifest
}

// New returns an empty Store.
func New() *Store {
	return new(Store)
}

// Clone returns an independent copy of the store. The copy shares the bytes of
// blobs and manifests with s, so the time that Clone takes grows with the number
// of blobs, manifests and tags, and not with their sizes.
func (s *Store) Clone() *Store {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := &Store{repos: s.repos.Clone(), blobs: maps.Clone(s.blobs)}
	for name, r := range s.repos.All {
		c.repos.Set(name, r.(*repository).clone())
	}
	return c
}

// clone returns an independent copy of the repository that shares the bytes of
// blobs and manifests with r.
func (r *repository) clone() *repository {
	c := &repository{
		blobs:     maps.Clone(r.blobs),
		manifests: maps.Clone(r.manifests),
		tags:      r.tags.Clone(),
		tagged:    make(map[digest.Digest]map[string]struct{}, len(r.tagged)),
		referrers: make(map[digest.Digest]*ordered.List, len(r.referrers)),
	}
	for d, tags := range r.tagged {
		c.tagged[d] = maps.Clone(tags)
	}
	for subject, referrers := range r.referrers {
		copied := referrers.Clone()
		c.referrers[subject] = &copied
	}
	return c
}

// existing returns the repository with the name, or an error that wraps
// [fs.ErrNotExist]. The caller holds s.mu or s.writing.
func (s *Store) existing(repo string) (*repository, error) {
	r, ok := s.repos.Get(repo).(*repository)
	if !ok {
		return nil, names.NoRepository(repo)
	}
	return r, nil
}

// ensure returns the repository with the name, after creating it if necessary.
// The caller holds s.mu and s.writing.
func (s *Store) ensure(repo string) *repository {
	r, ok := s.repos.Get(repo).(*repository)
	if !ok {
		r = &repository{
			blobs:     map[digest.Digest]*content{},
			manifests: map[digest.Digest]*registry.Manifest{},
			tagged:    map[digest.Digest]map[string]struct{}{},
			referrers: map[digest.Digest]*ordered.List{},
		}
		s.repos.Set(repo, r)
	}
	return r
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

// A listing takes the lock for each batch of entries. The first batch has up to
// firstBatch entries, since callers often want only one, and the others up to
// batchSize. Larger batches would make writers wait longer; smaller ones would lock
// more often.
const (
	firstBatch = 4
	batchSize  = 128
)

// list yields the items that find adds, in batches. For each batch, it calls
// find with the key of the last item while it holds the lock. It ends when find
// adds fewer items than a full batch has.
func list[T any](ctx context.Context, s *Store, after string, find func(after string, add func(key string, item T) bool) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var batch []T
		last := after
		size := firstBatch
		add := func(key string, item T) bool {
			batch, last = append(batch, item), key
			return len(batch) < size
		}
		for ; ; size = batchSize {
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
			if len(batch) < size {
				return
			}
		}
	}
}
