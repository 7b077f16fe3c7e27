package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/field"
)

// Repositories implements [registry.Store].
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return list(ctx, s, s.Base+"/v2/_catalog", func(page []byte) (names []string, err error) {
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
	return list(ctx, s, s.url(repo, "tags", "list"), func(page []byte) ([]string, error) {
		var list struct{ Tags []string }
		err := json.Unmarshal(page, &list)
		return slices.DeleteFunc(list.Tags, func(tag string) bool { return tag <= after }), err
	}, strings.Compare)
}

// Referrers implements [registry.Store].
func (s *Store) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return list(ctx, s, s.url(repo, "referrers", string(subject)), func(page []byte) ([]ocispec.Descriptor, error) {
		var index ocispec.Index
		err := json.Unmarshal(page, &index)
		return slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest <= after }), err
	}, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
}

// list yields the items of all pages of a list, in order. Each page has a link
// to the next one.
func list[T any](ctx context.Context, s *Store, address string, read func(page []byte) ([]T, error), compare func(a, b T) int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var all []T
		for address != "" {
			page, next, err := s.page(ctx, address)
			if err == nil {
				var items []T
				items, err = read(page)
				all = append(all, items...)
			}
			if err != nil {
				yield(*new(T), fmt.Errorf("listing %s: %w", address, err))
				return
			}
			address = next
		}
		slices.SortFunc(all, compare)
		for _, item := range all {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// page returns a page of a list, and the URL of the next page or "".
func (s *Store) page(ctx context.Context, address string) (body []byte, next string, err error) {
	resp, err := s.do(ctx, call{method: http.MethodGet, url: address})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, "", err
	}
	link, err := field.NextLink(resp.Header)
	if err != nil || link == "" {
		return body, "", err
	}
	u, err := resp.Request.URL.Parse(link)
	if err != nil {
		return nil, "", err
	}
	if u.String() == address {
		return nil, "", errors.New("the page links to itself as the next page")
	}
	return body, u.String(), nil
}
