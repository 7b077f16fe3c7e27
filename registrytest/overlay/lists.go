package overlay

import (
	"context"
	"iter"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// merge yields the items of both lists, which are in ascending order of their keys. If
// both lists have an item with the same key, merge yields the item of the upper list.
// For an item that only the lower list has, the function shows reports whether to yield
// it. If neither store has the repository, merge yields the error of the upper list.
func merge[T any](upper, lower iter.Seq2[T, error], key func(T) string, shows func(T) (bool, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next, stop := iter.Pull2(lower)
		defer stop()
		item, err, more := next()
		none := more && missing(err)
		more = more && !none

		// rest yields the next items of the lower list: those before the given key or,
		// if last is true, all of them. It reports whether merge should go on.
		rest := func(to string, last bool) bool {
			for ; more && (last || err != nil || key(item) < to); item, err, more = next() {
				show := err != nil
				if err == nil {
					show, err = shows(item)
				}
				if (show || err != nil) && !yield(item, err) || err != nil {
					return false
				}
			}
			return true
		}
		for v, upperErr := range upper {
			if upperErr != nil && missing(upperErr) && !none {
				break // Only the lower store has the repository.
			}
			if upperErr == nil && !rest(key(v), false) {
				return
			}
			if upperErr == nil && more && err == nil && key(item) == key(v) {
				item, err, more = next()
			}
			if !yield(v, upperErr) || upperErr != nil {
				return
			}
		}
		rest("", true)
	}
}

// Repositories implements [registry.Store].
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return merge(s.upper.Repositories(ctx, after), s.lower.Repositories(ctx, after), name,
		func(string) (bool, error) { return true, nil })
}

func name(name string) string { return name }

// Tags implements [registry.Store].
func (s *Store) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return merge(s.upper.Tags(ctx, repo, after), s.lower.Tags(ctx, repo, after), name, func(tag string) (bool, error) {
		hidden := s.hides(tagKind, repo, tag)
		if !hidden && s.hidesSome(manifestKind, repo) {
			d, err := s.lower.StatManifest(ctx, repo, tag)
			if err != nil && !missing(err) {
				return false, err
			}
			hidden = err == nil && s.hides(manifestKind, repo, string(d.Digest))
		}
		if !hidden {
			return true, nil
		}
		// If a client has moved the tag meanwhile, the tag is in the upper store now,
		// but perhaps not in the list of the upper store.
		_, err := s.upper.StatManifest(ctx, repo, tag)
		if missing(err) {
			return false, nil
		}
		return err == nil, err
	})
}

// Referrers implements [registry.Store].
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	key := func(d ocispec.Descriptor) string { return string(d.Digest) }
	return merge(s.upper.Referrers(ctx, repo, subject, after), s.lower.Referrers(ctx, repo, subject, after), key, func(d ocispec.Descriptor) (bool, error) {
		m, err := s.upper.GetManifest(ctx, repo, string(d.Digest))
		switch {
		case err == nil:
			// The upper store has the manifest, but not in its list. Either the manifest
			// has a different media type there, and so perhaps no subject, or a client
			// pushed it after the list was read.
			return m.Subject == subject, nil
		case missing(err):
			return !s.hides(manifestKind, repo, string(d.Digest)), nil
		}
		return false, err
	})
}
