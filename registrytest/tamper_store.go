package registrytest

import (
	"context"
	"io"
	"io/fs"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// A tamperedStore applies tamperings to the content of a store. Without tamperings,
// it passes every call on.
type tamperedStore struct {
	registry.Store
	tampered *tamperings
}

// operates reports whether the store serves the operations itself, with a method
// Operate, as a store that passes requests on to another registry does.
func operates(s registry.Store) bool {
	_, ok := s.(interface {
		Operate(http.ResponseWriter, *registry.Request) error
	})
	return ok
}

// SharesBlobs calls the method of the store, if it has one. The embedded interface does
// not have this method.
func (s *tamperedStore) SharesBlobs() bool {
	shares, ok := s.Store.(interface{ SharesBlobs() bool })
	return ok && shares.SharesBlobs()
}

func (s *tamperedStore) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	size, err := s.Store.StatBlob(ctx, repo, d)
	tp, ok := s.tampered.get(repo, d)
	switch {
	case err != nil || !ok || tp.flip >= 0:
		return size, err // A flipped bit does not change the size.
	case tp.drop:
		tp.notice()
		return 0, fs.ErrNotExist
	}
	altered := min(size, tp.size)
	if tp.replace != nil {
		altered = int64(len(*tp.replace))
	}
	if altered != size {
		tp.notice()
	}
	return altered, nil
}

func (s *tamperedStore) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	content, err := s.Store.OpenBlob(ctx, repo, d)
	if tp, ok := s.tampered.get(repo, d); ok && err == nil {
		return tp.open(content, tp.notice)
	}
	return content, err
}

func (s *tamperedStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := s.Store.CreateBlob(ctx, repo, size)
	if s.tampered.n.Load() == 0 || err != nil {
		return w, err
	}
	return &mendingWriter{w, repo, s.tampered}, nil
}

// A mendingWriter writes a blob. Commit ends the tampering with that blob, because
// the client has put the content again.
type mendingWriter struct {
	registry.BlobWriter
	repo     string
	tampered *tamperings
}

func (w *mendingWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.BlobWriter, r) }

func (w *mendingWriter) Commit(ctx context.Context, d digest.Digest) error {
	err := w.BlobWriter.Commit(ctx, d)
	if err == nil {
		w.tampered.undo(w.repo, d)
	}
	return err
}

func (s *tamperedStore) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	if s.tampered.dropped(from, d) {
		return fs.ErrNotExist
	}
	err := s.Store.MountBlob(ctx, repo, d, from)
	if err == nil {
		s.tampered.undo(repo, d)
	}
	return err
}

func (s *tamperedStore) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	if s.tampered.dropped(repo, d) {
		return fs.ErrNotExist
	}
	return s.Store.DeleteBlob(ctx, repo, d)
}

func (s *tamperedStore) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	desc, err := s.Store.StatManifest(ctx, repo, reference)
	tp, ok := s.tampered.get(repo, desc.Digest)
	if !ok || err != nil {
		return desc, err
	}
	m, err := s.Store.GetManifest(ctx, repo, string(desc.Digest))
	if err == nil {
		m.Content, err = tp.bytes(m.Content)
	}
	if size := int64(len(m.Content)); err != nil || size != desc.Size {
		tp.notice()
		desc.Size = size
	}
	return desc, err
}

func (s *tamperedStore) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	m, err := s.Store.GetManifest(ctx, repo, reference)
	if tp, ok := s.tampered.get(repo, m.Digest); ok && err == nil {
		m.Content, err = tp.bytes(m.Content)
		tp.notice()
	}
	return m, err
}

func (s *tamperedStore) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	err := s.Store.PutManifest(ctx, repo, m, tags, check)
	if err == nil {
		s.tampered.undo(repo, m.Digest)
	}
	return err
}

func (s *tamperedStore) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	if s.tampered.dropped(repo, d) {
		return fs.ErrNotExist
	}
	return s.Store.DeleteManifest(ctx, repo, d)
}
