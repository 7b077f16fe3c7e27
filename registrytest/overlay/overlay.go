// Package overlay combines two stores into one: it only reads the lower store, and
// writes to the upper store.
//
//	images, err := layout.Open("testdata/images")
//	if err != nil {
//		t.Fatal(err)
//	}
//	reg := registrytest.NewServer(t, registrytest.WithStore(overlay.New(images, memstore.New())))
//
// This registry begins with the content of the directory. A test can push to it and
// delete from it, and the directory does not change.
package overlay

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// A Store is a [registry.Store] that has the content of two stores. If both have a tag
// or a manifest, the Store shows that of the upper store.
//
// Pushed content goes to the upper store. A deletion removes content from the upper
// store and hides it in the lower store: the Store remembers the names of hidden
// content in memory, so a new Store with the same two stores shows it again. A mount
// of a blob that only the lower store has copies the blob to the upper store. If the
// upper store is a memstore, it reads the blob from the lower store instead.
//
// The lower store may change while a Store uses it. The Store shows the changes, except
// those of hidden content, and of tags that were pushed to the Store. A Store needs no
// Close; its caller closes the two stores.
type Store struct {
	lower, upper registry.Store

	// The lock writing keeps the methods that delete apart from those that put
	// manifests, which hold it as readers. The lock of the upper store does not
	// suffice, because these methods also read the lower store.
	writing sync.RWMutex

	// mu guards hidden, which has the names, by kind and repository, of the lower
	// store's content that the Store does not show. Names are only added, so a name
	// that is missing here was never deleted by a client.
	mu     sync.RWMutex
	hidden [numKinds]map[string]map[string]struct{}
}

var _ registry.Store = (*Store)(nil)

// A kind is a kind of content: blobs, manifests or tags.
type kind int

const (
	blobKind     kind = iota // named by digest
	manifestKind             // named by digest
	tagKind
	numKinds
)

// String returns the word for the kind in errors.
func (k kind) String() string { return [...]string{"blob", "manifest", "tag"}[k] }

// kindOf returns manifestKind if the reference is a digest, and tagKind otherwise.
func kindOf(reference string) kind {
	if strings.Contains(reference, ":") {
		return manifestKind
	}
	return tagKind
}

// New returns a store that has the content of lower and upper, and writes only to
// upper.
func New(lower, upper registry.Store) *Store {
	return &Store{lower: lower, upper: upper}
}

// SharesBlobs reports whether the repositories share their blobs in at least one of
// the two stores.
func (s *Store) SharesBlobs() bool {
	for _, store := range []registry.Store{s.lower, s.upper} {
		if shares, ok := store.(interface{ SharesBlobs() bool }); ok && shares.SharesBlobs() {
			return true
		}
	}
	return false
}

// hide makes the Store hide the lower store's content with the name.
func (s *Store) hide(k kind, repo, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden[k] == nil {
		s.hidden[k] = make(map[string]map[string]struct{})
	}
	if s.hidden[k][repo] == nil {
		s.hidden[k][repo] = make(map[string]struct{})
	}
	s.hidden[k][repo][name] = struct{}{}
}

// hides reports whether the Store hides the lower store's content with the name.
func (s *Store) hides(k kind, repo, name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, hidden := s.hidden[k][repo][name]
	return hidden
}

// hidesSome reports whether the Store hides any content of the kind in the repository.
func (s *Store) hidesSome(k kind, repo string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.hidden[k][repo]) > 0
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// above returns the result of an operation on the upper store, for callers that need no
// result from the lower store. If the content is missing, the error names it.
func above[T any](found T, err error, k kind, repo, name string) (T, error) {
	if missing(err) {
		// The error of the upper store may say that it has no such repository, but the
		// Store has the repository.
		err = names.Missing(repo, k.String(), name)
	}
	return found, err
}

// readBlob calls read with the upper store. If that does not have the blob, and the
// blob is not hidden, readBlob calls read with the lower store.
func readBlob[T any](s *Store, repo string, d digest.Digest, read func(registry.Store) (T, error)) (T, error) {
	// Look whether the blob is hidden before reading: otherwise, if a client deleted
	// the blob after the read and pushed it again, both stores would seem to lack it.
	hidden := s.hides(blobKind, repo, string(d))
	found, err := read(s.upper)
	if hidden || !missing(err) {
		return above(found, err, blobKind, repo, string(d))
	}
	return read(s.lower)
}

// StatBlob implements [registry.Store].
func (s *Store) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	return readBlob(s, repo, d, func(from registry.Store) (int64, error) { return from.StatBlob(ctx, repo, d) })
}

// OpenBlob implements [registry.Store].
func (s *Store) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	return readBlob(s, repo, d, func(from registry.Store) (io.ReadSeekCloser, error) { return from.OpenBlob(ctx, repo, d) })
}

// CreateBlob implements [registry.Store].
func (s *Store) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	return s.upper.CreateBlob(ctx, repo, size)
}

// readManifest calls read with the upper store. If that does not have the manifest,
// and the manifest is not hidden, readManifest calls read with the lower store.
// The function digestOf returns the digest of a result of read.
func readManifest[T any](s *Store, repo, reference string, read func(registry.Store) (T, error), digestOf func(T) digest.Digest) (T, error) {
	k := kindOf(reference)
	for {
		hidden := s.hides(k, repo, reference)
		found, err := read(s.upper)
		if hidden || !missing(err) {
			return above(found, err, k, repo, reference)
		}
		below, err := read(s.lower)
		if err != nil || !s.hides(manifestKind, repo, string(digestOf(below))) {
			return below, err
		}
		// The manifest in the lower store was deleted. If a client moved the tag before
		// that, the tag is in the upper store now, so read again.
		if !s.hides(k, repo, reference) {
			return above(found, fs.ErrNotExist, k, repo, reference)
		}
	}
}

// StatManifest implements [registry.Store].
func (s *Store) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	return readManifest(s, repo, reference,
		func(from registry.Store) (ocispec.Descriptor, error) { return from.StatManifest(ctx, repo, reference) },
		func(d ocispec.Descriptor) digest.Digest { return d.Digest })
}

// GetManifest implements [registry.Store].
func (s *Store) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	return readManifest(s, repo, reference,
		func(from registry.Store) (registry.Manifest, error) { return from.GetManifest(ctx, repo, reference) },
		func(m registry.Manifest) digest.Digest { return m.Digest })
}

// below returns the digest of the manifest with the reference, a tag or a digest, in
// the lower store. It returns "" if the Store hides the manifest or there is none.
func (s *Store) below(ctx context.Context, repo, reference string) (digest.Digest, error) {
	if s.hides(kindOf(reference), repo, reference) {
		return "", nil
	}
	d, err := s.lower.StatManifest(ctx, repo, reference)
	if missing(err) || err == nil && s.hides(manifestKind, repo, string(d.Digest)) {
		return "", nil
	}
	return d.Digest, err
}

// PutManifest implements [registry.Store]. The function check may read from the Store,
// but must not write to it.
func (s *Store) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	checkBoth := check
	if check != nil {
		checkBoth = func(tag string, current digest.Digest) error {
			if current == "" {
				reference := tag
				if tag == "" {
					reference = string(m.Digest)
				}
				var err error
				if current, err = s.below(ctx, repo, reference); err != nil {
					return err
				}
			}
			return check(tag, current)
		}
	}
	if err := s.upper.PutManifest(ctx, repo, m, tags, checkBoth); err != nil {
		return err
	}
	// If a client later deletes the manifest, and with it these tags, the tags of the
	// lower store must not appear again.
	for _, tag := range tags {
		s.hide(tagKind, repo, tag)
	}
	return nil
}

// remove removes content from the upper store, and hides the content of the lower store.
// Of the two functions in its arguments, the first reports whether the lower store has
// content to hide, and the second removes the content from the upper store.
func (s *Store) remove(k kind, repo, name string, has func() (bool, error), remove func() error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	below, err := has()
	if err != nil {
		return err
	}
	err = remove()
	if below && (err == nil || missing(err)) {
		s.hide(k, repo, name)
		return nil
	}
	_, err = above(0, err, k, repo, name)
	return err
}

// DeleteBlob implements [registry.Store].
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return s.remove(blobKind, repo, string(d), func() (bool, error) { return s.hasBelow(ctx, repo, d) },
		func() error { return s.upper.DeleteBlob(ctx, repo, d) })
}

// DeleteManifest implements [registry.Store].
func (s *Store) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return s.removeManifest(ctx, repo, string(d), func() error { return s.upper.DeleteManifest(ctx, repo, d) })
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(ctx context.Context, repo, tag string) error {
	return s.removeManifest(ctx, repo, tag, func() error { return s.upper.DeleteTag(ctx, repo, tag) })
}

func (s *Store) removeManifest(ctx context.Context, repo, reference string, remove func() error) error {
	return s.remove(kindOf(reference), repo, reference, func() (bool, error) {
		d, err := s.below(ctx, repo, reference)
		return d != "", err
	}, remove)
}
