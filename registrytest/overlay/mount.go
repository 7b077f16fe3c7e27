package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// hasBelow reports whether the lower store has the blob, and the Store does not hide
// it.
func (s *Store) hasBelow(ctx context.Context, repo string, d digest.Digest) (bool, error) {
	if s.hides(blobKind, repo, string(d)) {
		return false, nil
	}
	_, err := s.lower.StatBlob(ctx, repo, d)
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// MountBlob implements [registry.Store]. If the upper store does not have the blob, and
// the argument from is empty, MountBlob looks for the blob in each repository of the
// lower store.
func (s *Store) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	err := s.upper.MountBlob(ctx, repo, d, from)
	if !missing(err) {
		return err
	}
	source, findErr := s.findBelow(ctx, d, from)
	if findErr != nil || source == "" {
		return errors.Join(findErr, err)
	}
	if has, err := s.hasBelow(ctx, repo, d); has || err != nil {
		return err
	}
	if err := s.copyUp(ctx, repo, d, source); err != nil {
		return fmt.Errorf("copying blob %s of repository %s to the upper store: %w", d, source, err)
	}
	return nil
}

// findBelow returns the name of a repository of the lower store that has the blob. If
// the argument from is not "", findBelow looks only in that repository. It returns "" if
// no repository has the blob.
func (s *Store) findBelow(ctx context.Context, d digest.Digest, from string) (string, error) {
	if from != "" {
		has, err := s.hasBelow(ctx, from, d)
		if !has {
			from = ""
		}
		return from, err
	}
	for repo, err := range s.lower.Repositories(ctx, "") {
		if err != nil {
			return "", err
		}
		if has, err := s.hasBelow(ctx, repo, d); has || err != nil {
			return repo, err
		}
	}
	return "", nil
}

// A sourceStore is a store that can keep the source of a blob instead of its bytes, as
// [github.com/ocireg/registry/memstore.Store] does.
type sourceStore interface {
	PutBlob(repo string, d digest.Digest, size int64, source io.ReaderAt)
}

// copyUp copies a blob to a repository of the upper store. The last argument is the
// repository of the lower store that has the blob.
func (s *Store) copyUp(ctx context.Context, repo string, d digest.Digest, from string) error {
	r, err := s.lower.OpenBlob(ctx, from, d)
	if err != nil {
		return err
	}
	defer r.Close()
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if to, ok := s.upper.(sourceStore); ok {
		to.PutBlob(repo, d, size, lowerBlob{s.lower, from, d})
		return nil
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w, err := s.upper.CreateBlob(ctx, repo, size)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Commit(ctx, d)
}

// A lowerBlob is the source of a blob that only the lower store has. It opens the blob
// for each read, because nothing tells it when to close the blob.
type lowerBlob struct {
	store  registry.Store
	repo   string
	digest digest.Digest
}

// ReadAt implements [io.ReaderAt].
func (b lowerBlob) ReadAt(p []byte, off int64) (int, error) {
	r, err := b.store.OpenBlob(context.Background(), b.repo, b.digest)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if at, ok := r.(io.ReaderAt); ok {
		return at.ReadAt(p, off)
	}
	if _, err := r.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
