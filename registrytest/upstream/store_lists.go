package upstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sort"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/remote"
)

// yieldAfter yields the items whose key is greater than after. The items are
// sorted by key.
func yieldAfter[T any](items []T, after string, key func(T) string, yield func(T, error) bool) {
	begin := sort.Search(len(items), func(i int) bool { return key(items[i]) > after })
	for _, item := range items[begin:] {
		if !yield(item, nil) {
			return
		}
	}
}

// Tags implements [registry.Store].
func (s *Store) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		list, err := s.tags(ctx, s.find(repo))
		if err != nil {
			yield("", err)
			return
		}
		yieldAfter(list.Names, after, func(tag string) string { return tag }, yield)
	}
}

// tagsName stands for the list of tags in calls of refreshes and refreshed.
const tagsName = "tags"

func (s *Store) tags(ctx context.Context, p place) (tagList, error) {
	name := "the tags of " + p.from
	var list *tagList
	if !s.refreshes(p, listKind, tagsName) {
		s.recording.look(p.local, func(r *repository) { list = r.Tags })
	}
	if list == nil {
		if p.upstream == nil {
			return tagList{}, s.miss(registry.CodeNameUnknown, name)
		}
		fetched, err := s.tagLists.do(ctx, p.local, func(ctx context.Context) (tagList, error) { return s.fetchTags(ctx, p) })
		if err != nil {
			return tagList{}, err
		}
		list = &fetched
	}
	if list.Missing != "" {
		return tagList{}, unknown(list.Missing, name)
	}
	return *list, nil
}

// fetchTags requests the list of tags from the upstream and records it.
func (s *Store) fetchTags(ctx context.Context, p place) (list tagList, err error) {
	for tag, err := range p.upstream.Tags(ctx, p.remote, "") {
		if missing(err) {
			list = tagList{Missing: codeOf(err, registry.CodeNameUnknown)}
			break
		} else if err != nil {
			return tagList{}, failure(err, "the tags of "+p.from)
		}
		if names.Tag(tag) {
			list.Names = append(list.Names, tag)
		}
	}
	err = s.recording.edit(p, func(r *repository) { r.Tags = &list })
	if err == nil {
		s.refreshed(p, listKind, tagsName)
	}
	return list, err
}

// Referrers implements [registry.Store].
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		list, err := s.listReferrers(ctx, s.find(repo), subject)
		if err != nil {
			yield(ocispec.Descriptor{}, err)
			return
		}
		yieldAfter(list.Manifests, string(after), func(d ocispec.Descriptor) string { return string(d.Digest) }, yield)
	}
}

func (s *Store) listReferrers(ctx context.Context, p place, subject digest.Digest) (list referrerList, err error) {
	name := "the referrers of " + p.reference(string(subject))
	known := false
	if !s.refreshes(p, listKind, string(subject)) {
		s.recording.look(p.local, func(r *repository) { list, known = r.Referrers[string(subject)] })
	}
	switch {
	case known:
		return list, nil
	case p.upstream == nil:
		return list, s.miss(registry.CodeManifestUnknown, name)
	}
	return s.referrers.do(ctx, p.local+" "+string(subject), func(ctx context.Context) (referrerList, error) {
		return s.fetchReferrers(ctx, p, subject)
	})
}

// fetchReferrers requests a list of referrers from the upstream and records it.
func (s *Store) fetchReferrers(ctx context.Context, p place, subject digest.Digest) (referrerList, error) {
	list := referrerList{Source: fromAPI}
	for d, err := range p.upstream.Referrers(ctx, p.remote, subject, "") {
		if err != nil && !withoutReferrers(err) {
			return list, failure(err, "the referrers of "+p.reference(string(subject)))
		} else if err != nil {
			list.Source = fromTag
			break
		}
		list.Manifests = append(list.Manifests, d)
	}
	if list.Source == fromTag {
		m, err := s.manifest(ctx, p, referrersTag(string(subject)))
		if err != nil && !missing(err) {
			return list, err
		}
		if err == nil && manifest.Index(m.MediaType) {
			doc, err := manifest.Parse(m.MediaType, m.Content)
			if err != nil {
				return list, fmt.Errorf("reading the referrers tag: %w", err)
			}
			list.Manifests = doc.Manifests
		}
	}
	list.Manifests = slices.DeleteFunc(list.Manifests, func(d ocispec.Descriptor) bool { return !validDescriptor(d) })
	slices.SortFunc(list.Manifests, byDigest)
	list.Manifests = slices.CompactFunc(list.Manifests, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
	err := s.recording.edit(p, func(r *repository) {
		if r.Referrers == nil {
			r.Referrers = make(map[string]referrerList)
		}
		r.Referrers[string(subject)] = list
	})
	if err == nil {
		s.refreshed(p, listKind, string(subject))
	}
	return list, err
}

// withoutReferrers reports whether the error means that the upstream lacks the
// referrers API. Such registries respond with different statuses.
func withoutReferrers(err error) bool {
	var e *remote.StatusError
	if !errors.As(err, &e) || e.Elsewhere {
		return false
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusNotImplemented:
		return true
	}
	return false
}
