package content

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/ordered"
)

// Generated returns a store that is s, except that blobs whose content is
// computed ([Random], [LayerSizes]) are not written to s when [Put], [PutBlob]
// or [Copy] put them into the store that is returned. It serves them by
// computing them: a blob of 10 GiB takes no memory, and no time to be put.
// Blobs of up to 1 MiB are written to s.
//
// What s has besides the methods of a [registry.Store], the store that is
// returned does not have.
func Generated(s registry.Store) registry.Store {
	if g, ok := s.(*generatedStore); ok {
		return g
	}
	return &generatedStore{Store: s}
}

type generatedStore struct {
	registry.Store

	mu sync.RWMutex
	// repos has the blobs of each repository that has ever had any: a
	// repository stays when its last blob is deleted.
	repos ordered.Map[map[digest.Digest]Blob]
}

func (s *generatedStore) put(repo string, b Blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blobs, ok := s.repos.Get(repo)
	if !ok {
		blobs = make(map[digest.Digest]Blob)
		s.repos.Set(repo, blobs)
	}
	blobs[b.Digest] = b
}

// get returns a blob of a repository or, if repo is empty, of any.
func (s *generatedStore) get(repo string, d digest.Digest) (Blob, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if repo != "" {
		blobs, _ := s.repos.Get(repo)
		b, ok := blobs[d]
		return b, ok
	}
	for _, blobs := range s.repos.All() {
		if b, ok := blobs[d]; ok {
			return b, true
		}
	}
	return Blob{}, false
}

func (s *generatedStore) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	if b, ok := s.get(repo, d); ok {
		return b.Size, nil
	}
	return s.Store.StatBlob(ctx, repo, d)
}

// A generatedReader reads a blob that is computed.
type generatedReader struct {
	*io.SectionReader
	blob Blob
}

// WriteTo implements [io.WriterTo], for the sake of its larger pieces: they
// are sent in half the time.
func (r generatedReader) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, r.SectionReader, make([]byte, 256<<10))
}

func (generatedReader) Close() error { return nil }

func (s *generatedStore) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	if b, ok := s.get(repo, d); ok {
		return generatedReader{b.Open(), b}, nil
	}
	return s.Store.OpenBlob(ctx, repo, d)
}

func (s *generatedStore) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	if b, ok := s.get(from, d); ok {
		s.put(repo, b)
		return nil
	}
	return s.Store.MountBlob(ctx, repo, d, from)
}

func (s *generatedStore) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	s.mu.Lock()
	blobs, _ := s.repos.Get(repo)
	_, found := blobs[d]
	delete(blobs, d)
	s.mu.Unlock()
	// A client may have pushed the same blob.
	err := s.Store.DeleteBlob(ctx, repo, d)
	if found && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *generatedStore) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var own []string
		s.mu.RLock()
		for repo := range s.repos.After(after) {
			own = append(own, repo)
		}
		s.mu.RUnlock()
		for repo, err := range s.Store.Repositories(ctx, after) {
			for ; err == nil && len(own) > 0 && own[0] <= repo; own = own[1:] {
				if own[0] != repo && !yield(own[0], nil) {
					return
				}
			}
			if !yield(repo, err) {
				return
			}
		}
		for _, repo := range own {
			if !yield(repo, nil) {
				return
			}
		}
	}
}

func (s *generatedStore) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for tag, err := range s.Store.Tags(ctx, repo, after) {
			if errors.Is(err, fs.ErrNotExist) && s.has(repo) {
				return
			}
			if !yield(tag, err) {
				return
			}
		}
	}
}

func (s *generatedStore) has(repo string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.repos.Get(repo)
	return ok
}
