package registry_test

import (
	"context"
	"sync"

	"github.com/ocireg/registry"
)

// A watchedStore counts the blob writers that were closed.
type watchedStore struct {
	registry.Store
	mu     sync.Mutex
	closed int
}

func (s *watchedStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := s.Store.CreateBlob(ctx, repo, size)
	return &watchedWriter{w, s}, err
}

type watchedWriter struct {
	registry.BlobWriter
	store *watchedStore
}

func (w *watchedWriter) Close() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.closed++
	return w.BlobWriter.Close()
}
