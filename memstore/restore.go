package memstore

import (
	"maps"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/ordered"
)

// Restore makes each repository for whose name match returns true the same as in
// from, and removes it if from does not have it. If match is nil, Restore does so
// for all repositories. Clients see either the content before or the content
// after, and an upload that has begun goes on. Restore does not change from, which
// is usually an earlier [Store.Clone]. The time that Restore takes grows with the
// number of blobs, manifests and tags, as for Clone.
func (s *Store) Restore(from *Store, match func(repo string) bool) {
	from = from.Clone() // The repositories become those of s.
	s.writing.Lock()
	defer s.writing.Unlock()
	shared := maps.Clone(from.blobs) // with the bytes of s where both stores have a blob
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
