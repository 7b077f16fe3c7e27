package memstore

import (
	"maps"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/ordered"
)

// Restore replaces repositories of s by those of another store, the argument
// from. It does so for each repository for whose name match returns true, or for
// all if match is nil. It adds repositories that only the other store has, and
// removes those that only s has. Clients see either the content before or the
// content after, and uploads in progress continue. Restore does not change the
// other store, which is usually an earlier [Store.Clone]. Like Clone, it takes
// time that grows with the number of blobs, manifests and tags.
func (s *Store) Restore(from *Store, match func(repo string) bool) {
	from = from.Clone() // Restore moves the repositories of the copy to s.
	s.writing.Lock()
	defer s.writing.Unlock()
	shared := maps.Clone(from.blobs) // with the content of s for a blob that both stores have
	if shared == nil {
		shared = make(map[digest.Digest]sharedBlob)
	}
	maps.Copy(shared, s.blobs)
	var repos ordered.List
	blobs := make(map[digest.Digest]sharedBlob)
	for _, stay := range []bool{true, false} {
		store := from
		if stay {
			store = s
		}
		for name, v := range store.repos.All {
			r := v.(*repository)
			if stay == (match == nil || match(name)) {
				continue
			}
			repos.Set(name, r)
			for d := range r.blobs {
				b := sharedBlob{shared[d].content, blobs[d].repos + 1}
				blobs[d] = b
				if !stay {
					r.blobs[d] = b.content
				}
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos, s.blobs = repos, blobs
}
