package differential

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// names returns the sorted names of the repositories.
func (m *model) names() []string {
	if m.defaultRepo == "" {
		return slices.Sorted(maps.Keys(m.pools))
	}
	names := slices.Sorted(maps.Keys(m.pools[""].repos))
	if len(names) == 0 && len(m.pools[""].files) > 0 {
		names = []string{m.defaultRepo}
	}
	return names
}

// Repositories implements [registry.Store].
func (m *model) Repositories(_ context.Context, after string) iter.Seq2[string, error] {
	return list(m.names(), after, func(name string) string { return name })
}

// Tags implements [registry.Store].
func (m *model) Tags(_ context.Context, repo, after string) iter.Seq2[string, error] {
	if !slices.Contains(m.names(), repo) {
		return func(yield func(string, error) bool) { yield("", missing(repo)) }
	}
	p, _ := m.pool(repo)
	var tags []string
	if r := p.repos[repo]; r != nil {
		tags = slices.Sorted(maps.Keys(r.tags))
	}
	return list(tags, after, func(tag string) string { return tag })
}

// Referrers implements [registry.Store].
func (m *model) Referrers(_ context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	var referrers []ocispec.Descriptor
	if p, err := m.pool(repo); err == nil {
		all := p.manifests(repo)
		for _, d := range slices.Sorted(maps.Keys(all)) {
			if all[d].Subject == subject {
				referrers = append(referrers, all[d].Descriptor())
			}
		}
	}
	return list(referrers, string(after), func(d ocispec.Descriptor) string { return string(d.Digest) })
}

// list yields the items whose keys sort after the given key.
func list[T any](items []T, after string, key func(T) string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if key(item) > after && !yield(item, nil) {
				return
			}
		}
	}
}
