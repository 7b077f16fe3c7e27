package memstore

import (
	"context"
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/ordered"
)

// StatManifest implements [registry.Store].
func (s *Store) StatManifest(_ context.Context, repo, reference string) (ocispec.Descriptor, error) {
	m, err := s.manifest(repo, reference)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}, nil
}

// GetManifest implements [registry.Store].
func (s *Store) GetManifest(_ context.Context, repo, reference string) (registry.Manifest, error) {
	m, err := s.manifest(repo, reference)
	if err != nil {
		return registry.Manifest{}, err
	}
	return *m, nil
}

func (s *Store) manifest(repo, reference string) (*registry.Manifest, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.existing(repo)
	if err != nil {
		return nil, err
	}
	d := digest.Digest(reference)
	if !strings.Contains(reference, ":") {
		var ok bool
		if d, ok = r.tags.Get(reference).(digest.Digest); !ok {
			return nil, names.Missing(repo, "tag", reference)
		}
	}
	m, ok := r.manifests[d]
	if !ok {
		return nil, names.Missing(repo, "manifest", reference)
	}
	return m, nil
}

// PutManifest implements [registry.Store]. The function check may read from the
// store but must not write to it.
func (s *Store) PutManifest(_ context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if check != nil {
		if err := s.check(repo, m.Digest, tags, check); err != nil {
			return err
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ensure(repo)
	r.putManifest(&m)
	for _, tag := range tags {
		r.putTag(tag, m.Digest)
	}
	return nil
}

// putManifest adds a manifest to the repository, and to the referrers of its
// subject.
func (r *repository) putManifest(m *registry.Manifest) {
	if old, ok := r.manifests[m.Digest]; ok && old.Subject != m.Subject {
		r.removeReferrer(old)
	}
	r.manifests[m.Digest] = m
	if m.Subject == "" {
		return
	}
	referrers := r.referrers[m.Subject]
	if referrers == nil {
		referrers = new(ordered.List)
		r.referrers[m.Subject] = referrers
	}
	referrers.Set(string(m.Digest), m)
}

// removeReferrer removes a manifest from the list of referrers of its subject.
func (r *repository) removeReferrer(m *registry.Manifest) {
	referrers := r.referrers[m.Subject]
	if referrers == nil {
		return
	}
	referrers.Delete(string(m.Digest))
	if referrers.Len() == 0 {
		delete(r.referrers, m.Subject)
	}
}

// putTag makes a tag name the manifest with the digest d.
func (r *repository) putTag(tag string, d digest.Digest) {
	old, ok := r.tags.Set(tag, d).(digest.Digest)
	if ok && old == d {
		return
	}
	if ok {
		r.untag(old, tag)
	}
	if r.tagged[d] == nil {
		r.tagged[d] = make(map[string]struct{})
	}
	r.tagged[d][tag] = struct{}{}
}

// untag removes a tag from the set of tags of a manifest.
func (r *repository) untag(d digest.Digest, tag string) {
	delete(r.tagged[d], tag)
	if len(r.tagged[d]) == 0 {
		delete(r.tagged, d)
	}
}

// check calls the function check once for each tag, or once with an empty tag if
// there are no tags, as [registry.Store.PutManifest] requires. The caller holds
// s.writing.
func (s *Store) check(repo string, d digest.Digest, tags []string, check func(tag string, current digest.Digest) error) error {
	r, err := s.existing(repo)
	if err != nil {
		r = &repository{}
	}
	if len(tags) == 0 {
		if r.manifests[d] == nil {
			d = ""
		}
		return check("", d)
	}
	for _, tag := range tags {
		current, _ := r.tags.Get(tag).(digest.Digest)
		if err := check(tag, current); err != nil {
			return err
		}
	}
	return nil
}

// DeleteManifest implements [registry.Store].
func (s *Store) DeleteManifest(_ context.Context, repo string, d digest.Digest) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	r, err := s.existing(repo)
	if err != nil {
		return err
	}
	m, ok := r.manifests[d]
	if !ok {
		return names.Missing(repo, "manifest", string(d))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(r.manifests, d)
	r.removeReferrer(m)
	for tag := range r.tagged[d] {
		r.tags.Delete(tag)
	}
	delete(r.tagged, d)
	return nil
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(_ context.Context, repo, tag string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	r, err := s.existing(repo)
	if err != nil {
		return err
	}
	d, ok := r.tags.Get(tag).(digest.Digest)
	if !ok {
		return names.Missing(repo, "tag", tag)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.tags.Delete(tag)
	r.untag(d, tag)
	return nil
}

// Tags implements [registry.Store].
func (s *Store) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return list(ctx, s, after, func(after string, add func(string, string) bool) error {
		r, err := s.existing(repo)
		if err != nil {
			return err
		}
		for tag := range r.tags.After(after) {
			if !add(tag, tag) {
				break
			}
		}
		return nil
	})
}

// Referrers implements [registry.Store].
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return list(ctx, s, string(after), func(after string, add func(string, ocispec.Descriptor) bool) error {
		r, ok := s.repos.Get(repo).(*repository)
		if !ok || r.referrers[subject] == nil {
			return nil
		}
		for d, m := range r.referrers[subject].After(after) {
			if !add(d, m.(*registry.Manifest).Descriptor()) {
				break
			}
		}
		return nil
	})
}
