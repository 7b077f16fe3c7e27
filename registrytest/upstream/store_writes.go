package upstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// writable returns an error unless the Store passes writes to the repository on.
func (s *Store) writable(p place) error {
	if !s.writes || p.upstream == nil {
		return fmt.Errorf("%s is recorded from an upstream and cannot be written to: %w", p.from, errors.ErrUnsupported)
	}
	return nil
}

// pass calls remote to perform a write at the upstream, and local to repeat it
// in the local store, where the content may be missing. Then it removes all
// lists, and the facts about content with the names, from the recording.
func (s *Store) pass(p place, names []string, remote, local func() error) error {
	if err := s.writable(p); err != nil {
		return err
	}
	err := remote()
	var own ownError
	if missing(err) {
		return fmt.Errorf("%s: %w", p.from, err)
	}
	if errors.As(err, &own) {
		return own.error
	}
	if err != nil {
		return failure(err, p.from)
	}
	if err := local(); err != nil && !missing(err) {
		return err
	}
	return s.recording.edit(p, func(r *repository) {
		for _, name := range names {
			delete(r.MissingManifests, name)
			delete(r.MissingBlobs, name)
			delete(r.BlobSizes, name)
		}
		r.Tags, r.Referrers = nil, nil
	})
}

// An ownError is an error of the Store's own checks, not of the upstream.
type ownError struct{ error }

// CreateBlob implements [registry.Store].
func (s *Store) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	p := s.find(repo)
	if err := s.writable(p); err != nil {
		return nil, err
	}
	w, err := s.local.CreateBlob(ctx, p.local, size)
	if err != nil {
		return nil, err
	}
	return &passedBlob{BlobWriter: w, store: s, place: p}, nil
}

// A passedBlob writes a blob to the local store, and pushes it to the upstream
// when it is committed.
type passedBlob struct {
	registry.BlobWriter
	store *Store
	place place
	size  int64
}

// Write implements [io.Writer].
func (w *passedBlob) Write(p []byte) (int, error) {
	n, err := w.BlobWriter.Write(p)
	w.size += int64(n)
	return n, err
}

// Commit implements [registry.BlobWriter].
func (w *passedBlob) Commit(ctx context.Context, d digest.Digest) error {
	return w.store.pass(w.place, []string{string(d)},
		func() error { return w.place.upstream.Upload(ctx, w.place.remote, d, w.BlobWriter, w.size) },
		func() error { return w.BlobWriter.Commit(ctx, d) })
}

// MountBlob implements [registry.Store]. Both repositories must have the same
// upstream.
func (s *Store) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	p, source := s.find(repo), place{}
	if from != "" {
		if source = s.find(from); source.upstream != p.upstream {
			return unknown(registry.CodeBlobUnknown, source.blobName(d))
		}
	}
	return s.pass(p, []string{string(d)},
		func() error { return p.upstream.MountBlob(ctx, p.remote, d, source.remote) },
		func() error { return s.local.MountBlob(ctx, p.local, d, source.local) })
}

// DeleteBlob implements [registry.Store].
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	p := s.find(repo)
	return s.pass(p, []string{string(d)},
		func() error { return p.upstream.DeleteBlob(ctx, p.remote, d) },
		func() error { return s.local.DeleteBlob(ctx, p.local, d) })
}

// PutManifest implements [registry.Store]. At the upstream, the check before the
// write is not atomic with it.
func (s *Store) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	p := s.find(repo)
	if unchecked := check; check != nil {
		check = func(tag string, current digest.Digest) error {
			if err := unchecked(tag, current); err != nil {
				return ownError{err}
			}
			return nil
		}
	}
	return s.pass(p, append([]string{string(m.Digest)}, tags...),
		func() error { return p.upstream.PutManifest(ctx, p.remote, m, tags, check) },
		func() error { return s.local.PutManifest(ctx, p.local, m, tags, nil) })
}

// DeleteManifest implements [registry.Store].
func (s *Store) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	p := s.find(repo)
	return s.pass(p, []string{string(d)},
		func() error { return p.upstream.DeleteManifest(ctx, p.remote, d) },
		func() error { return s.local.DeleteManifest(ctx, p.local, d) })
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(ctx context.Context, repo, tag string) error {
	p := s.find(repo)
	return s.pass(p, []string{tag},
		func() error { return p.upstream.DeleteTag(ctx, p.remote, tag) },
		func() error { return s.local.DeleteTag(ctx, p.local, tag) })
}
