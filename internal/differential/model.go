package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// A model is a [registry.Store] that follows the documentation of package layout
// in the simplest way: it keeps the content of files in maps, and derives
// everything else at each call. It is not safe for concurrent use.
type model struct {
	registry.UnimplementedStore

	// pools holds the layouts by repository. In the model of one layout, all
	// repositories share the only pool, whose key is "".
	pools map[string]*pool

	// defaultRepo is the default repository of the only layout, or "" in the model
	// of a tree.
	defaultRepo string
}

// A pool models one layout.
type pool struct {
	files  map[digest.Digest][]byte
	repos  map[string]*repository
	pushed map[digest.Digest]bool // the blobs that were received since the store was opened
}

type repository struct {
	manifests map[digest.Digest]registry.Manifest
	tags      map[string]digest.Digest
}

// newTree returns the model of an empty tree.
func newTree() *model { return &model{pools: map[string]*pool{}} }

// newLayout returns the model of one empty layout.
func newLayout(defaultRepo string) *model {
	return &model{pools: map[string]*pool{"": newPool()}, defaultRepo: defaultRepo}
}

func newPool() *pool {
	return &pool{map[digest.Digest][]byte{}, map[string]*repository{}, map[digest.Digest]bool{}}
}

// Reopen forgets the state that a store does not keep on disk, as if it were
// opened again.
func (m *model) Reopen() {
	for _, p := range m.pools {
		clear(p.pushed)
	}
}

func missing(what any) error { return fmt.Errorf("%v: %w", what, fs.ErrNotExist) }

// pool returns the layout of a repository. If the layout does not exist, the
// error wraps [fs.ErrNotExist].
func (m *model) pool(repo string) (*pool, error) {
	if m.defaultRepo != "" {
		repo = ""
	}
	if p := m.pools[repo]; p != nil {
		return p, nil
	}
	return nil, missing(repo)
}

// ensure returns the layout of a repository, after creating it if necessary.
func (m *model) ensure(repo string) *pool {
	p, err := m.pool(repo)
	if err != nil {
		p = newPool()
		p.repos[repo] = &repository{map[digest.Digest]registry.Manifest{}, map[string]digest.Digest{}}
		m.pools[repo] = p
	}
	return p
}

// nested returns the manifests that the indexes of a repository name, at any
// depth. If several indexes describe one manifest, the media type that sorts
// first counts.
func (p *pool) nested(repo string) map[digest.Digest]ocispec.Descriptor {
	nested := map[digest.Digest]ocispec.Descriptor{}
	type id struct {
		digest    digest.Digest
		mediaType string
	}
	seen := map[id]bool{}
	var visit func(d digest.Digest, mediaType string)
	visit = func(d digest.Digest, mediaType string) {
		content, ok := p.files[d]
		if !ok || seen[id{d, mediaType}] || !manifest.Index(mediaType) {
			return
		}
		seen[id{d, mediaType}] = true
		doc, err := manifest.Parse(mediaType, content)
		if err != nil {
			return
		}
		for _, child := range doc.Manifests {
			if !manifest.Known(child.MediaType) {
				continue
			}
			if old, ok := nested[child.Digest]; !ok || child.MediaType < old.MediaType {
				nested[child.Digest] = child
			}
			visit(child.Digest, child.MediaType)
		}
	}
	if r := p.repos[repo]; r != nil {
		for d, m := range r.manifests {
			visit(d, m.MediaType)
		}
	}
	return nested
}

// manifests returns all manifests of a repository, with and without an entry in
// index.json.
func (p *pool) manifests(repo string) map[digest.Digest]registry.Manifest {
	all := map[digest.Digest]registry.Manifest{}
	for d, child := range p.nested(repo) {
		content, ok := p.files[d]
		if !ok {
			continue
		}
		m := registry.Manifest{MediaType: child.MediaType, Digest: d, Content: content}
		if doc, err := manifest.Parse(child.MediaType, content); err == nil {
			m.Subject, m.ArtifactType, m.Annotations = doc.SubjectDigest(), doc.ReferrerType(), doc.Annotations
		}
		all[d] = m
	}
	if r := p.repos[repo]; r != nil {
		maps.Copy(all, r.manifests)
	}
	return all
}

// isManifest reports whether any repository of the layout has the manifest.
func (p *pool) isManifest(d digest.Digest) bool {
	for repo := range p.repos {
		if _, ok := p.manifests(repo)[d]; ok {
			return true
		}
	}
	return false
}

// usedByOthers reports whether a repository other than repo needs the file of
// the digest.
func (p *pool) usedByOthers(repo string, d digest.Digest) bool {
	for other := range p.repos {
		if other == repo {
			continue
		}
		if _, ok := p.nested(other)[d]; ok {
			return true
		}
		for own, m := range p.manifests(other) {
			if own == d {
				return true
			}
			doc, err := manifest.Parse(m.MediaType, m.Content)
			if err != nil || manifest.Opaque(m.MediaType) {
				continue
			}
			blobs := slices.Concat(doc.Layers, doc.Blobs)
			if doc.Config != nil {
				blobs = append(blobs, *doc.Config)
			}
			if slices.ContainsFunc(blobs, func(b ocispec.Descriptor) bool { return b.Digest == d }) {
				return true
			}
		}
	}
	return false
}

// removeFile removes the file of the digest, if it exists.
func (p *pool) removeFile(d digest.Digest) {
	delete(p.files, d)
	delete(p.pushed, d)
}

// blob returns the content of a blob. A manifest is a blob only if it was also
// pushed as one.
func (p *pool) blob(d digest.Digest) ([]byte, error) {
	content, ok := p.files[d]
	if !ok || !p.pushed[d] && p.isManifest(d) {
		return nil, missing(d)
	}
	return content, nil
}

// StatBlob implements [registry.Store].
func (m *model) StatBlob(_ context.Context, repo string, d digest.Digest) (int64, error) {
	p, err := m.pool(repo)
	if err != nil {
		return 0, err
	}
	content, err := p.blob(d)
	return int64(len(content)), err
}

// OpenBlob implements [registry.Store].
func (m *model) OpenBlob(_ context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	p, err := m.pool(repo)
	if err != nil {
		return nil, err
	}
	content, err := p.blob(d)
	return nopCloser{bytes.NewReader(content)}, err
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// CreateBlob implements [registry.Store].
func (m *model) CreateBlob(_ context.Context, repo string, _ int64) (registry.BlobWriter, error) {
	return &writer{model: m, repo: repo}, nil
}

type writer struct {
	bytes.Buffer
	model *model
	repo  string
}

// ReadAt implements [io.ReaderAt].
func (w *writer) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(w.Bytes()).ReadAt(p, off)
}

// Commit implements [registry.BlobWriter].
func (w *writer) Commit(_ context.Context, d digest.Digest) error {
	p := w.model.ensure(w.repo)
	p.files[d], p.pushed[d] = w.Bytes(), true
	return nil
}

// Close implements [io.Closer].
func (w *writer) Close() error { return nil }

// MountBlob implements [registry.Store].
func (m *model) MountBlob(_ context.Context, repo string, d digest.Digest, from string) error {
	for name, p := range m.pools {
		if content, err := p.blob(d); err == nil && (from == "" || name == "" || name == from) {
			p := m.ensure(repo)
			p.files[d], p.pushed[d] = content, true
			return nil
		}
	}
	return missing(d)
}

// DeleteBlob implements [registry.Store].
func (m *model) DeleteBlob(_ context.Context, repo string, d digest.Digest) error {
	p, err := m.pool(repo)
	if err != nil {
		return err
	}
	if _, err := p.blob(d); err != nil {
		return err
	}
	switch {
	case p.isManifest(d):
		delete(p.pushed, d)
	case p.usedByOthers(repo, d):
		return errors.ErrUnsupported
	default:
		p.removeFile(d)
	}
	return nil
}

// StatManifest implements [registry.Store].
func (m *model) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	found, err := m.GetManifest(ctx, repo, reference)
	return ocispec.Descriptor{MediaType: found.MediaType, Digest: found.Digest, Size: int64(len(found.Content))}, err
}

// GetManifest implements [registry.Store].
func (m *model) GetManifest(_ context.Context, repo, reference string) (registry.Manifest, error) {
	p, err := m.pool(repo)
	if err != nil {
		return registry.Manifest{}, err
	}
	d := digest.Digest(reference)
	if r := p.repos[repo]; r != nil && !strings.Contains(reference, ":") {
		d = r.tags[reference]
	}
	found, ok := p.manifests(repo)[d]
	if !ok {
		return registry.Manifest{}, missing(reference)
	}
	return found, nil
}

// PutManifest implements [registry.Store].
func (m *model) PutManifest(_ context.Context, repo string, put registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	p, err := m.pool(repo)
	if err != nil {
		p = newPool()
	}
	r := p.repos[repo]
	if r == nil {
		r = &repository{map[digest.Digest]registry.Manifest{}, map[string]digest.Digest{}}
	}
	if check != nil {
		for _, tag := range tags {
			if err := check(tag, r.tags[tag]); err != nil {
				return err
			}
		}
		if len(tags) == 0 {
			if err := check("", p.manifests(repo)[put.Digest].Digest); err != nil {
				return err
			}
		}
	}
	m.ensure(repo)
	p, _ = m.pool(repo)
	p.files[put.Digest] = put.Content
	r.manifests[put.Digest] = put
	for _, tag := range tags {
		r.tags[tag] = put.Digest
	}
	p.repos[repo] = r
	return nil
}

// DeleteManifest implements [registry.Store].
func (m *model) DeleteManifest(_ context.Context, repo string, d digest.Digest) error {
	p, err := m.pool(repo)
	if err != nil {
		return err
	}
	if _, ok := p.manifests(repo)[d]; !ok {
		return missing(d)
	}
	mustStay := p.pushed[d] || p.usedByOthers(repo, d)
	if _, nested := p.nested(repo)[d]; nested && mustStay {
		return errors.ErrUnsupported
	}
	r := p.repos[repo]
	delete(r.manifests, d)
	maps.DeleteFunc(r.tags, func(_ string, tagged digest.Digest) bool { return tagged == d })
	if !mustStay {
		p.removeFile(d)
	}
	if m.defaultRepo != "" && len(r.manifests) == 0 {
		delete(p.repos, repo)
	}
	return nil
}

// DeleteTag implements [registry.Store].
func (m *model) DeleteTag(_ context.Context, repo, tag string) error {
	p, err := m.pool(repo)
	if err != nil {
		return err
	}
	r := p.repos[repo]
	if r == nil || r.tags[tag] == "" {
		return missing(tag)
	}
	delete(r.tags, tag)
	return nil
}
