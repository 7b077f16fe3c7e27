// Package remote keeps content in a registry that is reached by HTTP.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/manifest"
)

// A Store is a [registry.Store] in another registry, as far as the distribution
// API goes: no write is atomic with the check that comes before it.
type Store struct {
	// Base is the base URL, which does not end with a slash.
	Base string

	// Prefix is the beginning of the names of all repositories there.
	Prefix string

	// User is sent as Basic credentials, or nil.
	User *url.Userinfo

	Client *http.Client
}

var _ registry.Store = (*Store)(nil)

// A call is a request to the registry.
type call struct {
	method, url string
	header      http.Header
	body        io.Reader
	size        int64
}

// do sends the request, and returns an error if the answer is none of success.
func (s *Store) do(ctx context.Context, c call) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, c.method, c.url, c.body)
	if err != nil {
		return nil, err
	}
	if c.header != nil {
		r.Header = c.header
	}
	if c.body != nil {
		r.ContentLength = c.size
	}
	if password, ok := s.User.Password(); ok && strings.HasPrefix(c.url, s.Base+"/") {
		r.SetBasicAuth(s.User.Username(), password)
	}
	resp, err := s.Client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	err = fmt.Errorf("%s %s: %s: %s", c.method, c.url, resp.Status, bytes.TrimSpace(text))
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("%w: %w", err, errors.ErrUnsupported)
	}
	return nil, err
}

// send is do without the body of the response.
func (s *Store) send(ctx context.Context, c call) (*http.Response, error) {
	resp, err := s.do(ctx, c)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp, err
}

func (s *Store) url(repo, kind, last string) string {
	return s.Base + "/v2/" + s.Prefix + repo + "/" + kind + "/" + last
}

// StatBlob implements [registry.Store].
func (s *Store) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	resp, err := s.send(ctx, call{method: http.MethodHead, url: s.url(repo, "blobs", string(d))})
	if err != nil {
		return 0, err
	}
	return resp.ContentLength, nil
}

// OpenBlob implements [registry.Store].
func (s *Store) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	resp, err := s.do(ctx, call{method: http.MethodGet, url: s.url(repo, "blobs", string(d))})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	f, err := newSpool()
	if err == nil {
		_, err = io.Copy(f, resp.Body)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("getting blob %s: %w", d, err)
	}
	return f, nil
}

// A spool is a temporary file that is gone when it is closed.
type spool struct{ *os.File }

func newSpool() (spool, error) {
	f, err := os.CreateTemp("", "registry")
	return spool{f}, err
}

func (s spool) Close() error {
	if s.File == nil {
		return nil
	}
	return errors.Join(s.File.Close(), os.Remove(s.Name()))
}

// CreateBlob implements [registry.Store].
func (s *Store) CreateBlob(_ context.Context, repo string, _ int64) (registry.BlobWriter, error) {
	f, err := newSpool()
	if err != nil {
		return nil, err
	}
	return &writer{f, s, repo}, nil
}

// A writer holds a blob until its digest is known.
type writer struct {
	spool
	store *Store
	repo  string
}

// Commit implements [registry.BlobWriter].
func (w *writer) Commit(ctx context.Context, d digest.Digest) error {
	size, err := w.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	location, err := w.store.startUpload(ctx, w.repo, "")
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", string(d))
	location.RawQuery = query.Encode()
	_, err = w.store.send(ctx, call{
		method: http.MethodPut,
		url:    location.String(),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   io.NewSectionReader(w, 0, size),
		size:   size,
	})
	return err
}

// startUpload returns where the upload goes on, or nil if it is done.
func (s *Store) startUpload(ctx context.Context, repo, query string) (*url.URL, error) {
	resp, err := s.send(ctx, call{method: http.MethodPost, url: s.url(repo, "blobs", "uploads/"+query)})
	if err != nil || resp.StatusCode == http.StatusCreated {
		return nil, err
	}
	return resp.Location()
}

// MountBlob implements [registry.Store].
func (s *Store) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	query := url.Values{"mount": {string(d)}}
	if from != "" {
		query.Set("from", s.Prefix+from)
	}
	location, err := s.startUpload(ctx, repo, "?"+query.Encode())
	if err != nil || location == nil {
		return err
	}
	s.send(ctx, call{method: http.MethodDelete, url: location.String()}) // or it expires
	return fmt.Errorf("mounting %s: %w", d, fs.ErrNotExist)
}

// DeleteBlob implements [registry.Store].
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	_, err := s.send(ctx, call{method: http.MethodDelete, url: s.url(repo, "blobs", string(d))})
	return err
}

// anyManifest is the Accept header for every manifest: not all registries
// understand */*.
var anyManifest = strings.Join([]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	manifest.DockerManifest, manifest.DockerManifestList, "*/*",
}, ", ")

// StatManifest implements [registry.Store].
func (s *Store) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	m, err := s.GetManifest(ctx, repo, reference)
	return m.Descriptor(), err
}

// GetManifest implements [registry.Store].
func (s *Store) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	resp, err := s.do(ctx, call{
		method: http.MethodGet,
		url:    s.url(repo, "manifests", reference),
		header: http.Header{"Accept": {anyManifest}},
	})
	if err != nil {
		return registry.Manifest{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("getting manifest %s of %s: %w", reference, repo, err)
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("manifest %s of %s: Content-Type: %w", reference, repo, err)
	}
	d := digest.Digest(reference)
	if !strings.Contains(reference, ":") {
		d = digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		if d == "" {
			d = digest.FromBytes(content)
		}
	}
	if err := d.Validate(); err != nil {
		return registry.Manifest{}, err
	}
	if d.Algorithm().FromBytes(content) != d {
		return registry.Manifest{}, fmt.Errorf("manifest %s of %s: the content does not have the digest %s", reference, repo, d)
	}
	return registry.Manifest{MediaType: mediaType, Digest: d, Content: content}, nil
}

// PutManifest implements [registry.Store].
func (s *Store) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	if check != nil {
		if err := s.check(ctx, repo, m.Digest, tags, check); err != nil {
			return err
		}
	}
	references := tags
	switch {
	case len(tags) == 0:
		references = []string{string(m.Digest)}
	case m.Digest.Algorithm() != digest.Canonical:
		// By a tag alone, the registry would take the digest that it likes.
		references = []string{string(m.Digest) + "?" + url.Values{"tag": tags}.Encode()}
	}
	for _, reference := range references {
		if _, err := s.send(ctx, call{
			method: http.MethodPut,
			url:    s.url(repo, "manifests", reference),
			header: http.Header{"Content-Type": {m.MediaType}},
			body:   bytes.NewReader(m.Content),
			size:   int64(len(m.Content)),
		}); err != nil {
			return err
		}
	}
	return nil
}

// check asks whether a manifest may be put.
func (s *Store) check(ctx context.Context, repo string, d digest.Digest, tags []string, check func(string, digest.Digest) error) error {
	current := func(reference string) (digest.Digest, error) {
		m, err := s.StatManifest(ctx, repo, reference)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return m.Digest, err
	}
	if len(tags) == 0 {
		there, err := current(string(d))
		if err != nil {
			return err
		}
		return check("", there)
	}
	for _, tag := range tags {
		there, err := current(tag)
		if err == nil {
			err = check(tag, there)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteManifest implements [registry.Store].
func (s *Store) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	_, err := s.send(ctx, call{method: http.MethodDelete, url: s.url(repo, "manifests", string(d))})
	return err
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(ctx context.Context, repo, tag string) error {
	_, err := s.send(ctx, call{method: http.MethodDelete, url: s.url(repo, "manifests", tag)})
	return err
}

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

// page returns a page of a list, and where the next one is.
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
		return nil, "", errors.New("the page after it is the same")
	}
	return body, u.String(), nil
}
