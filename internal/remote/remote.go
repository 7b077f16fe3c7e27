// Package remote implements a store over HTTP, in another registry.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// A Store is a [registry.Store] whose content is in another registry. It does all
// that the distribution API can do. In particular, the API cannot make a write
// atomic with the check before it.
type Store struct {
	// Base is the base URL, without a slash at its end.
	Base string

	// Prefix is the beginning of the names of all repositories there.
	Prefix string

	// User has the Basic credentials to send, or is nil.
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

// do sends the request. It returns an error if the status of the response is 300
// or above: one that wraps [fs.ErrNotExist] for 404, [errors.ErrUnsupported] for
// 405.
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

func (s *Store) delete(ctx context.Context, url string) error {
	_, err := s.send(ctx, call{method: http.MethodDelete, url: url})
	return err
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

// A spool is a temporary file. Close removes it.
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

// A writer keeps a blob in a file until Commit, which gets its digest.
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

// startUpload starts an upload session and returns its location. It returns nil
// if the response says that the blob is there already.
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
	s.delete(ctx, location.String()) // If this fails, the session expires.
	return fmt.Errorf("mounting %s: %w", d, fs.ErrNotExist)
}

// DeleteBlob implements [registry.Store].
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return s.delete(ctx, s.url(repo, "blobs", string(d)))
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
		return registry.Manifest{}, fmt.Errorf("manifest %s of %s: Docker-Content-Digest: %w", reference, repo, err)
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
		// Pushed by a tag alone, the manifest would get a digest of the registry's
		// own choice.
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

// check calls check with the digest that each tag has now, or with that of the
// manifest if there are no tags.
func (s *Store) check(ctx context.Context, repo string, d digest.Digest, tags []string, check func(string, digest.Digest) error) error {
	ask := func(tag, reference string) error {
		m, err := s.StatManifest(ctx, repo, reference)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return check(tag, m.Digest)
	}
	if len(tags) == 0 {
		return ask("", string(d))
	}
	for _, tag := range tags {
		if err := ask(tag, tag); err != nil {
			return err
		}
	}
	return nil
}

// DeleteManifest implements [registry.Store].
func (s *Store) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return s.delete(ctx, s.url(repo, "manifests", string(d)))
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(ctx context.Context, repo, tag string) error {
	return s.delete(ctx, s.url(repo, "manifests", tag))
}
