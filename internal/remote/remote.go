// Package remote implements a store whose content is in another registry,
// reached over HTTP.
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

// A Store is a [registry.Store] whose content is in another registry. It
// implements the operations of the distribution API. Since the API has no
// conditional writes, the check before a write is not atomic with it.
type Store struct {
	// Base is the base URL of the registry, without a slash at its end.
	Base string

	// Prefix is prepended to each repository name to get the name in the
	// registry.
	Prefix string

	// Client sends the requests. Its transport may be a [Transport].
	Client *http.Client
}

var _ registry.Store = (*Store)(nil)

// A call is a request to the registry.
type call struct {
	method, url string
	scope       string // scope of the token that the request needs
	header      http.Header
	body        io.ReaderAt // or nil
	size        int64
}

// do sends the request. It returns a [*StatusError] if the status of the response
// is 300 or above.
func (s *Store) do(ctx context.Context, c call) (*http.Response, error) {
	var body io.Reader
	if c.body != nil {
		body = io.NewSectionReader(c.body, 0, c.size)
	}
	r, err := http.NewRequestWithContext(WithScope(ctx, c.scope), c.method, c.url, body)
	if err != nil {
		return nil, err
	}
	if c.header != nil {
		r.Header = c.header
	}
	if c.body != nil {
		r.ContentLength = c.size
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(c.body, 0, c.size)), nil }
	}
	resp, err := s.Client.Do(r)
	if err != nil {
		return nil, redactError(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := newStatusError(resp)
	e.Elsewhere = Origin(resp.Request.URL) != Origin(r.URL)
	return nil, e
}

// scope returns the token scope for actions on the repository, such as "pull" or
// "pull,push" (Docker's token specification).
func (s *Store) scope(repo, actions string) string {
	return "repository:" + s.Prefix + repo + ":" + actions
}

// send is like do, but reads and closes the body of the response.
func (s *Store) send(ctx context.Context, c call) (*http.Response, error) {
	resp, err := s.do(ctx, c)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp, err
}

func (s *Store) delete(ctx context.Context, repo, url string) error {
	_, err := s.send(ctx, call{method: http.MethodDelete, url: url, scope: s.scope(repo, "pull,push,delete")})
	return err
}

func (s *Store) url(repo, kind, last string) string {
	return s.Base + "/v2/" + s.Prefix + repo + "/" + kind + "/" + last
}

// StatBlob implements [registry.Store].
func (s *Store) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	resp, err := s.send(ctx, call{method: http.MethodHead, url: s.url(repo, "blobs", string(d)), scope: s.scope(repo, "pull")})
	if err != nil {
		return 0, err
	}
	if err := checkWhole(resp); err != nil {
		return 0, fmt.Errorf("looking up blob %s of %s: %w", d, repo, err)
	}
	if resp.ContentLength < 0 {
		return 0, fmt.Errorf("looking up blob %s of %s: the response has no Content-Length", d, repo)
	}
	return resp.ContentLength, nil
}

// GetBlob requests a blob and returns the 200 response. Its body has no content
// encoding. The caller verifies the digest and closes the body.
func (s *Store) GetBlob(ctx context.Context, repo string, d digest.Digest) (*http.Response, error) {
	resp, err := s.do(ctx, call{method: http.MethodGet, url: s.url(repo, "blobs", string(d)), scope: s.scope(repo, "pull")})
	if err != nil {
		return nil, err
	}
	if err := checkWhole(resp); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("getting blob %s of %s: %w", d, repo, err)
	}
	return resp, nil
}

// checkWhole returns an error unless the response has status 200 and a body
// without content encoding.
func checkWhole(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the response has the status %s, not 200", resp.Status)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return fmt.Errorf("the response has the Content-Encoding %.40q, which was not asked for", e)
	}
	return nil
}

// OpenBlob implements [registry.Store].
func (s *Store) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	resp, err := s.GetBlob(ctx, repo, d)
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

// A writer writes a blob to a temporary file. Commit uploads the file.
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
	return w.store.Upload(ctx, w.repo, d, w, size)
}

// Upload pushes a blob of the given size with a POST and a PUT request. The
// registry verifies the digest.
func (s *Store) Upload(ctx context.Context, repo string, d digest.Digest, from io.ReaderAt, size int64) error {
	location, err := s.startUpload(ctx, repo, "", "")
	if err != nil {
		return err
	}
	if location == nil {
		return fmt.Errorf("starting an upload to %s: the response is 201, without an upload", repo)
	}
	query := location.Query()
	query.Set("digest", string(d))
	location.RawQuery = query.Encode()
	_, err = s.send(ctx, call{
		method: http.MethodPut,
		url:    location.String(),
		scope:  s.scope(repo, "pull,push"),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   from,
		size:   size,
	})
	return err
}

// startUpload starts an upload session and returns its location. It returns nil
// if the registry already has the blob.
func (s *Store) startUpload(ctx context.Context, repo, query, from string) (*url.URL, error) {
	scope := s.scope(repo, "pull,push")
	if from != "" {
		scope += " " + s.scope(from, "pull")
	}
	resp, err := s.send(ctx, call{method: http.MethodPost, url: s.url(repo, "blobs", "uploads/"+query), scope: scope})
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
	location, err := s.startUpload(ctx, repo, "?"+query.Encode(), from)
	if err != nil || location == nil {
		return err
	}
	s.delete(ctx, repo, location.String()) // If this fails, the session expires.
	return fmt.Errorf("mounting %s: %w", d, fs.ErrNotExist)
}

// DeleteBlob implements [registry.Store].
func (s *Store) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return s.delete(ctx, repo, s.url(repo, "blobs", string(d)))
}

// maxManifest is the size in bytes of the largest manifest that GetManifest
// reads. The spec recommends at least 4 MiB (section Pushing Manifests).
const maxManifest = 16 << 20

// anyManifest is an Accept value for all manifests. It lists media types because
// some registries do not understand */*.
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
		scope:  s.scope(repo, "pull"),
		header: http.Header{"Accept": {anyManifest}},
	})
	if err != nil {
		return registry.Manifest{}, err
	}
	defer resp.Body.Close()
	err = checkWhole(resp)
	var content []byte
	if err == nil {
		content, err = readAll(resp.Body, maxManifest)
	}
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
		return registry.Manifest{}, fmt.Errorf("manifest %s of %s: Docker-Content-Digest %.100q: %w", reference, repo, d, err)
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
		// If a PUT names a manifest by tag only, the registry chooses the digest
		// algorithm.
		references = []string{string(m.Digest) + "?" + url.Values{"tag": tags}.Encode()}
	}
	for _, reference := range references {
		if _, err := s.send(ctx, call{
			method: http.MethodPut,
			url:    s.url(repo, "manifests", reference),
			scope:  s.scope(repo, "pull,push"),
			header: http.Header{"Content-Type": {m.MediaType}},
			body:   bytes.NewReader(m.Content),
			size:   int64(len(m.Content)),
		}); err != nil {
			return err
		}
	}
	return nil
}

// check calls the function check with each tag and the digest that the tag has
// in the registry, or "" if the tag does not exist. Without tags, it calls the
// function once, with "" and the digest d, or "" if the manifest does not exist.
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
	return s.delete(ctx, repo, s.url(repo, "manifests", string(d)))
}

// DeleteTag implements [registry.Store].
func (s *Store) DeleteTag(ctx context.Context, repo, tag string) error {
	return s.delete(ctx, repo, s.url(repo, "manifests", tag))
}
