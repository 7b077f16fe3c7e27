package memstore

import (
	"context"
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
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
		if d, ok = r.tags.Get(reference); !ok {
			return nil, missing(repo, "tag", reference)
		}
	}
	m, ok := r.manifests[d]
	if !ok {
		return nil, missing(repo, "manifest", reference)
	}
	return m, nil
}

// PutManifest implements [registry.Store]. The check may read the store but
// not write to it.
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
	if old, ok := r.manifests[m.Digest]; ok && old.Subject != m.Subject {
		r.referrers.Delete(pair(old.Subject, string(m.Digest)))
	}
	r.manifests[m.Digest] = &m
	if m.Subject != "" {
		r.referrers.Set(pair(m.Subject, string(m.Digest)), &m)
	}
	for _, tag := range tags {
		old, ok := r.tags.Get(tag)
		if ok && old == m.Digest {
			continue
		}
		if ok {
			r.tagged.Delete(pair(old, tag))
		}
		r.tags.Set(tag, m.Digest)
		r.tagged.Set(pair(m.Digest, tag), struct{}{})
	}
	return nil
}

// check asks whether a manifest may be put. The caller holds s.writing.
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
		current, _ := r.tags.Get(tag)
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
		return missing(repo, "manifest", string(d))
	}
	var tagged []string
	for key := range r.tagged.After(pair(d, "")) {
		if !strings.HasPrefix(key, pair(d, "")) {
			break
		}
		tagged = append(tagged, key)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	delete(r.manifests, d)
	r.referrers.Delete(pair(m.Subject, string(d)))
	for _, key := range tagged {
		r.tagged.Delete(key)
		r.tags.Delete(strings.TrimPrefix(key, pair(d, "")))
	}
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
	d, ok := r.tags.Get(tag)
	if !ok {
		return missing(repo, "tag", tag)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.tags.Delete(tag)
	r.tagged.Delete(pair(d, tag))
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
	prefix := pair(subject, "")
	return list(ctx, s, prefix+string(after), func(after string, add func(string, ocispec.Descriptor) bool) error {
		r, ok := s.repos.Get(repo)
		if !ok {
			return nil
		}
		for key, m := range r.referrers.After(after) {
			if !strings.HasPrefix(key, prefix) || !add(key, m.Descriptor()) {
				break
			}
		}
		return nil
	})
}
