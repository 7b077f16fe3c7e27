package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// WithUploadExpiry sets the time from the last request of an upload session
// until the session expires. The default is an hour. The clock is that of
// [Request.Now], also in a bubble of testing/synctest. WithUploadExpiry panics if
// the time is negative.
func WithUploadExpiry(d time.Duration) Option {
	notNegative("WithUploadExpiry", d < 0, d)
	return setting{"expiry of uploads", fmt.Sprintf("WithUploadExpiry(%v)", d), func(c *config) { c.uploadExpiry = d }}
}

// WithUploadLimit limits the number of upload sessions that may be open. The
// response to a request that would start one more is 429 with TOOMANYREQUESTS, and
// its Retry-After is the time until a session can expire. By default there is no
// limit, and a limit of 0 permits no session. WithUploadLimit panics if the number is
// negative.
func WithUploadLimit(sessions int) Option {
	notNegative("WithUploadLimit", sessions < 0, sessions)
	return setting{"limit of uploads", fmt.Sprintf("WithUploadLimit(%d)", sessions), func(c *config) { c.maxSessions = sessions }}
}

// WithStorageLimit limits the number of bytes that clients may add to the store. The
// response to a request that would add more is 507 with DENIED. By default there is
// no limit, and a limit of 0 permits no bytes.
//
// Unfinished uploads count. A blob counts in each repository that has it, but a
// mount is never refused. Content that is in the store when New is called does
// not count. Deletions make room.
//
// WithStorageLimit panics if the number is negative.
func WithStorageLimit(bytes int64) Option {
	notNegative("WithStorageLimit", bytes < 0, bytes)
	return setting{"limit of storage", fmt.Sprintf("WithStorageLimit(%d)", bytes), func(c *config) { c.maxBytes = bytes }}
}

// A limitedStore is a store to which clients can add only a limited number of
// bytes.
type limitedStore struct {
	Store
	limit int64
	used  atomic.Int64

	// changing holds a value while a method checks whether content exists and then
	// changes it, so that each byte counts once.
	changing chan struct{}
}

func newLimitedStore(s Store, limit int64) *limitedStore {
	return &limitedStore{Store: s, limit: limit, changing: make(chan struct{}, 1)}
}

// lock keeps other changes waiting until unlock is called. A change may take long
// if the store waits for another process, so lock returns an error if ctx is
// cancelled first.
func (s *limitedStore) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.changing <- struct{}{}:
		return func() { <-s.changing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the change of another request: %w", ctx.Err())
	}
}

// take adds n bytes to the bytes in use, or returns an error if they exceed the
// limit.
func (s *limitedStore) take(n int64) error {
	if s.used.Add(n) > s.limit {
		s.used.Add(-n)
		return s.full()
	}
	return nil
}

func (s *limitedStore) full() error {
	e := Errorf(CodeDenied, "the registry has %d of the %d bytes that it may store", s.used.Load(), s.limit)
	e.Status = http.StatusInsufficientStorage
	return e
}

// CreateBlob refuses a blob if the size that the client announced exceeds what is
// left of the limit.
func (s *limitedStore) CreateBlob(ctx context.Context, repo string, size int64) (BlobWriter, error) {
	if size > s.limit-s.used.Load() {
		return nil, s.full()
	}
	w, err := s.Store.CreateBlob(ctx, repo, size)
	if err != nil {
		return nil, err
	}
	return &limitedWriter{BlobWriter: w, store: s, repo: repo}, nil
}

// A limitedWriter counts the bytes of an upload as they arrive.
type limitedWriter struct {
	BlobWriter
	store *limitedStore
	repo  string
	taken int64
}

func (w *limitedWriter) take(n int) error {
	if n == 0 {
		return nil // The end of a body needs no room, even if a mount has exceeded the limit.
	}
	err := w.store.take(int64(n))
	if err == nil {
		w.taken += int64(n)
	}
	return err
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if err := w.take(len(p)); err != nil {
		return 0, err
	}
	return w.BlobWriter.Write(p)
}

// ReadFrom passes the reader on, so that the writer of the store can read
// without a copy.
func (w *limitedWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(w.BlobWriter, &limitedReader{r, w})
}

// A limitedReader counts the bytes that are read, for a limitedWriter.
type limitedReader struct {
	io.Reader
	to *limitedWriter
}

func (r *limitedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if full := r.to.take(n); full != nil {
		return 0, full
	}
	return n, err
}

// Commit lets Close free the counted bytes if the commit fails or the repository
// already has the blob.
func (w *limitedWriter) Commit(ctx context.Context, d digest.Digest) error {
	unlock, err := w.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	_, statErr := w.store.StatBlob(ctx, w.repo, d)
	err = w.BlobWriter.Commit(ctx, d)
	if err == nil && statErr != nil {
		w.taken = 0 // Close must not free the bytes of a committed blob.
	}
	return err
}

func (w *limitedWriter) Close() error {
	w.store.used.Add(-w.taken)
	w.taken = 0
	return w.BlobWriter.Close()
}

// MountBlob counts the bytes of the blob, but does not refuse the mount if they
// exceed the limit, because a mount copies nothing.
func (s *limitedStore) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	_, statErr := s.StatBlob(ctx, repo, d)
	err = s.Store.MountBlob(ctx, repo, d, from)
	if err == nil && statErr != nil {
		size, _ := s.StatBlob(ctx, repo, d)
		s.used.Add(size)
	}
	return err
}

func (s *limitedStore) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	size, _ := s.StatBlob(ctx, repo, d)
	err = s.Store.DeleteBlob(ctx, repo, d)
	if err == nil {
		s.used.Add(-size)
	}
	return err
}

func (s *limitedStore) PutManifest(ctx context.Context, repo string, m Manifest, tags []string, check func(string, digest.Digest) error) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	size := int64(len(m.Content))
	if _, err := s.StatManifest(ctx, repo, string(m.Digest)); err == nil {
		size = 0 // The manifest exists, and the request only adds tags.
	}
	if size > 0 {
		if err := s.take(size); err != nil {
			return err
		}
	}
	err = s.Store.PutManifest(ctx, repo, m, tags, check)
	if err != nil {
		s.used.Add(-size)
	}
	return err
}

func (s *limitedStore) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	m, _ := s.StatManifest(ctx, repo, string(d))
	err = s.Store.DeleteManifest(ctx, repo, d)
	if err == nil {
		s.used.Add(-m.Size)
	}
	return err
}
