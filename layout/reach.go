package layout

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

// A reach holds the manifests that the indexes of a repository name, and the
// referrers. It is built on first use, because that reads the manifests, and
// updated by later writes.
type reach struct {
	layout *imageLayout
	repo   string

	mu sync.Mutex

	// nested holds the manifests that indexes name, at any depth. It is nil
	// until it is built.
	nested map[digest.Digest]ocispec.Descriptor

	// whole is set once all manifests were read, and not only the indexes. Only
	// then are the referrers, which are sorted by digest, complete.
	whole     bool
	referrers map[digest.Digest][]ocispec.Descriptor
}

// facts holds the references and the list entry of a manifest.
type facts struct {
	subject  digest.Digest
	referrer ocispec.Descriptor // the artifact type and annotations for a list of referrers
	children []ocispec.Descriptor
	blobs    []digest.Digest
}

// maxFacts limits the number of facts for each entry of index.json. More than
// that include many of deleted manifests.
const maxFacts = 16

// newFacts parses the content of a manifest.
func newFacts(mediaType string, content []byte) *facts {
	if manifest.Opaque(mediaType) {
		return &facts{}
	}
	doc, err := manifest.Parse(mediaType, content)
	if err != nil {
		return &facts{}
	}
	f := &facts{subject: doc.SubjectDigest()}
	if f.subject != "" {
		f.referrer.ArtifactType, f.referrer.Annotations = doc.ReferrerType(), doc.Annotations
	}
	if mediaType == "" {
		mediaType = doc.Type()
	}
	for _, child := range doc.Manifests {
		// The layers in the indexes of BuildKit's caches are blobs.
		if manifest.Index(mediaType) && manifest.Known(child.MediaType) && blobPath(child.Digest) != "" {
			f.children = append(f.children, ocispec.Descriptor{MediaType: child.MediaType, Digest: child.Digest, Size: child.Size})
		}
	}
	if doc.Config != nil {
		f.blobs = append(f.blobs, doc.Config.Digest)
	}
	for _, list := range [][]ocispec.Descriptor{doc.Layers, doc.Blobs} {
		for i := range list {
			f.blobs = append(f.blobs, list[i].Digest)
		}
	}
	return f
}

// factsOf returns the facts of a manifest, or nil if it cannot be read. It
// reads each digest only once.
func (l *imageLayout) factsOf(d ocispec.Descriptor) *facts {
	l.mu.RLock()
	f := l.facts[d.Digest]
	l.mu.RUnlock()
	if f != nil {
		return f
	}
	content, _, err := l.readManifest(d)
	if err != nil {
		return nil
	}
	return l.addFacts(d, content)
}

func (l *imageLayout) addFacts(d ocispec.Descriptor, content []byte) *facts {
	f := newFacts(d.MediaType, content)
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.cur.Load(); x != nil && len(l.facts) > maxFacts*(len(x.entries)+64) {
		clear(l.facts)
	}
	l.facts[d.Digest] = f
	return f
}

// manifest returns the descriptor of a manifest in the index that names it.
func (r *reach) manifest(ctx context.Context, d digest.Digest) (ocispec.Descriptor, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.build(ctx, false); err != nil {
		return ocispec.Descriptor{}, false, err
	}
	desc, ok := r.nested[d]
	return desc, ok, nil
}

// maxPage is the number of referrers that page returns under one lock, which
// keeps the lock short.
const maxPage = 128

// page returns the first descriptors of manifests with the subject that sort
// after the given digest. There are more if it returns maxPage.
func (r *reach) page(ctx context.Context, subject, after digest.Digest) ([]ocispec.Descriptor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.build(ctx, true); err != nil {
		return nil, err
	}
	list := r.referrers[subject]
	i, found := findReferrer(list, after)
	if found {
		i++
	}
	return slices.Clone(list[i:min(i+maxPage, len(list))]), nil
}

// leadsTo reports whether a manifest of the repository, whose current version
// is given, names the blob or manifest.
func (r *reach) leadsTo(ctx context.Context, current *repository, d digest.Digest) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.build(ctx, true); err != nil {
		return false, err
	}
	if _, ok := r.nested[d]; ok {
		return true, nil
	}
	names := func(m ocispec.Descriptor) bool {
		f := r.layout.factsOf(m)
		return f != nil && slices.Contains(f.blobs, d)
	}
	for _, entries := range current.manifests.All() {
		if names(first(entries).descriptor()) {
			return true, nil
		}
	}
	for _, m := range r.nested {
		if names(m) {
			return true, nil
		}
	}
	return false, nil
}

// build reads the manifests of the repository unless that was done before. The
// caller holds r.mu.
func (r *reach) build(ctx context.Context, whole bool) error {
	if r.whole || r.nested != nil && !whole {
		return nil
	}
	r.reset()
	// Use the newest version: each later write waits for the lock and is added
	// then.
	x := r.layout.cur.Load()
	if x == nil {
		return nil
	}
	current, ok := x.repos.Get(r.repo)
	if !ok {
		return nil
	}
	r.nested = map[digest.Digest]ocispec.Descriptor{}
	r.referrers = map[digest.Digest][]ocispec.Descriptor{}
	r.whole = whole
	var todo []ocispec.Descriptor
	for _, entries := range current.manifests.All() {
		todo = append(todo, first(entries).descriptor())
	}
	if err := r.walk(ctx, current, todo); err != nil {
		r.reset()
		return err
	}
	return nil
}

func (r *reach) reset() {
	r.nested, r.referrers, r.whole = nil, nil, false
}

// walk adds the manifests in todo and those that they name. It does not visit
// nested manifests that the current version of the repository names itself.
func (r *reach) walk(ctx context.Context, current *repository, todo []ocispec.Descriptor) error {
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := todo[0]
		todo = todo[1:]
		if !r.whole && !manifest.Index(d.MediaType) && d.MediaType != "" {
			continue
		}
		if current.manifest(d.Digest) == nil {
			// An index still names a manifest that was deleted.
			if _, err := r.layout.disk.stat(r.layout.path(blobPath(d.Digest))); err != nil {
				continue
			}
		}
		f := r.layout.factsOf(d)
		if f == nil {
			// A request for the manifest reports that it is missing or damaged.
			continue
		}
		if r.whole && f.subject != "" {
			r.addReferrer(d, f)
		}
		for _, child := range f.children {
			if _, ok := r.nested[child.Digest]; ok {
				continue
			}
			r.nested[child.Digest] = child
			if current.manifest(child.Digest) == nil {
				todo = append(todo, child)
			}
		}
	}
	return nil
}

func (r *reach) addReferrer(d ocispec.Descriptor, f *facts) {
	listed := f.referrer
	listed.MediaType, listed.Digest, listed.Size = d.MediaType, d.Digest, d.Size
	list := r.referrers[f.subject]
	i, found := findReferrer(list, d.Digest)
	if found {
		list[i] = listed
		return
	}
	r.referrers[f.subject] = slices.Insert(list, i, listed)
}

func findReferrer(list []ocispec.Descriptor, d digest.Digest) (int, bool) {
	return slices.BinarySearchFunc(list, d, func(listed ocispec.Descriptor, d digest.Digest) int {
		return strings.Compare(string(listed.Digest), string(d))
	})
}

// put adds a manifest that was put into the repository. The caller has
// published the index that names it.
func (r *reach) put(current *repository, m registry.Manifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nested == nil {
		return
	}
	d := m.Descriptor()
	if r.whole || manifest.Index(d.MediaType) || d.MediaType == "" {
		// The content is at hand and need not be read back.
		r.layout.addFacts(d, m.Content)
	}
	r.walk(context.Background(), current, []ocispec.Descriptor{d})
}

// delete removes a manifest that was deleted from the repository. The caller
// has published an index that does not name it.
func (r *reach) delete(d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nested == nil {
		return
	}
	r.layout.mu.Lock()
	f := r.layout.facts[d]
	delete(r.layout.facts, d)
	r.layout.mu.Unlock()
	switch {
	case f == nil && !r.whole:
		// The manifest is not an index and names no others.
	case f == nil, len(f.children) > 0:
		// Other indexes may name the same manifests.
		r.reset()
	case f.subject != "":
		list := r.referrers[f.subject]
		if i, found := findReferrer(list, d); found {
			r.referrers[f.subject] = slices.Delete(list, i, i+1)
		}
	}
}
