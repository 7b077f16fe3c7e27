package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/ocireg/registry/internal/names"
	"github.com/opencontainers/go-digest"
)

// MountBlob implements [registry.Store]. In a tree, it creates a hard link to
// the file of the blob, or a copy where the file system has no hard links. If
// from is empty, it looks for the blob in the repositories in which this store
// has verified or received it, and then in the first thousand repositories of
// the tree. It passes over repositories that it cannot read.
func (s *Store) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	if err := s.writable(repo); err != nil {
		return err
	}
	switch {
	case blobPath(d) == "":
		return names.Missing(from, "blob", string(d))
	case s.single != nil:
		return s.single.mountBlob(ctx, repo, d)
	case from != "":
		return s.mountFrom(ctx, repo, d, from)
	}
	for name, err := range s.mightHave(ctx, d) {
		if err != nil {
			return err
		}
		if _, err := s.StatBlob(ctx, name, d); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		if err := s.mountFrom(ctx, repo, d, name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
}

// maxSearched is the number of repositories of a tree in which MountBlob looks
// for a blob on disk if the request names no source.
const maxSearched = 1000

// mightHave yields the repositories of a tree in which MountBlob looks for a
// blob: first those in which this store has verified or received the blob, then
// others.
func (s *Store) mightHave(ctx context.Context, d digest.Digest) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s.mu.RLock()
		var known []string
		for name, l := range s.layouts {
			if l.hasVerdict(d) {
				known = append(known, name)
			}
		}
		s.mu.RUnlock()
		for _, name := range known {
			if !yield(name, nil) {
				return
			}
		}
		searched := 0
		for name, err := range s.Repositories(ctx, "") {
			if searched++; searched > maxSearched || !yield(name, err) {
				return
			}
		}
	}
}

// mountFrom mounts a blob in the repository repo of a tree. The argument from
// names the repository of the same tree that has the blob.
func (s *Store) mountFrom(ctx context.Context, repo string, d digest.Digest, from string) error {
	_, err := read(s, from, func(src *imageLayout) (struct{}, error) {
		if from == repo {
			return struct{}{}, src.mountBlob(ctx, repo, d)
		}
		if _, err := src.statBlob(ctx, from, d); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.change(repo, func(l *imageLayout) error { return l.linkBlob(ctx, d, src) })
	})
	return err
}
