package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/field"
)

// Repositories implements [registry.Store].
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return list(ctx, s, s.Base+"/v2/_catalog", "registry:catalog:*", func(page []byte) (names []string, err error) {
		var catalog struct{ Repositories []string }
		err = json.Unmarshal(page, &catalog)
		for _, name := range catalog.Repositories {
			if name, ok := strings.CutPrefix(name, s.Prefix); ok && name > after {
				names = append(names, name)
			}
		}
		return names, err
	}, strings.Compare)
}

// Tags implements [registry.Store].
func (s *Store) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return list(ctx, s, s.url(repo, "tags", "list"), s.scope(repo, "pull"), func(page []byte) ([]string, error) {
		var list struct{ Tags []string }
		err := json.Unmarshal(page, &list)
		return slices.DeleteFunc(list.Tags, func(tag string) bool { return tag <= after }), err
	}, strings.Compare)
}

// Referrers implements [registry.Store].
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return list(ctx, s, s.url(repo, "referrers", string(subject)), s.scope(repo, "pull"), func(page []byte) ([]ocispec.Descriptor, error) {
		var index ocispec.Index
		err := json.Unmarshal(page, &index)
		return slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest <= after }), err
	}, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
}

// The limits for a list that consists of linked pages.
const (
	maxPages = 10000
	maxList  = 64 << 20 // bytes
)

// list requests all pages of a list and yields their items, sorted and without
// duplicates. Each page except the last has a link to the next one.
func list[T any](ctx context.Context, s *Store, first, scope string, read func(page []byte) ([]T, error), compare func(a, b T) int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var all []T
		room := int64(maxList)
		seen := make(map[string]bool)
		for address := first; address != ""; {
			seen[address] = true
			page, next, err := s.page(ctx, address, scope, room)
			room -= int64(len(page))
			if err == nil {
				var items []T
				items, err = read(page)
				all = append(all, items...)
			}
			if err == nil && seen[next] {
				err = errors.New("the field Link names a page that was already read")
			}
			if err == nil && len(seen) == maxPages && next != "" {
				err = fmt.Errorf("the list has more than %d pages", maxPages)
			}
			if err != nil {
				yield(*new(T), fmt.Errorf("listing %s: %w", address, err))
				return
			}
			address = next
		}
		slices.SortFunc(all, compare)
		all = slices.CompactFunc(all, func(a, b T) bool { return compare(a, b) == 0 })
		for _, item := range all {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// page returns one page of a list, of at most limit bytes, and the URL of the
// next page, or "" for the last one.
func (s *Store) page(ctx context.Context, address, scope string, limit int64) (body []byte, next string, err error) {
	resp, err := s.do(ctx, call{method: http.MethodGet, url: address, scope: scope})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if err := checkWhole(resp); err != nil {
		return nil, "", err
	}
	if body, err = readAll(resp.Body, limit); err != nil {
		return nil, "", err
	}
	link, err := field.NextLink(resp.Header)
	if err != nil || link == "" {
		return body, "", err
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	u, err := base.Parse(link)
	if err != nil {
		return nil, "", errors.New("the field Link has no valid URL")
	}
	// A registry behind a proxy may not know that clients connect by HTTPS.
	if u.Scheme == "http" && strings.EqualFold(u.Host, base.Host) {
		u.Scheme = base.Scheme
	}
	if Origin(u) != Origin(base) {
		return nil, "", fmt.Errorf("the next page is at another registry, %s", Origin(u))
	}
	return body, u.String(), nil
}
