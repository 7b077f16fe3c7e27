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
// referrers of the repository. The first request that needs the reach builds it,
// since building it reads manifests. Later writes update it.
type reach struct {
	layout *imageLayout
	repo   string

	// mu guards the fields below.
	mu sync.Mutex

	// nested holds the manifests that indexes name, at any depth. It is nil until
	// the reach is built. If several descriptors name one manifest, nested has the
	// descriptor whose media type sorts first, so that the order of the indexes
	// does not matter.
	nested map[digest.Digest]ocispec.Descriptor

	// walked holds the manifests whose references were read. Of these, absent
	// holds the manifests without a file: if such a file appears, the reach is
	// built again.
	walked map[manifestID]bool
	absent map[manifestID]bool

	// whole is set once all manifests were read, and not only the indexes. Before
	// that, referrers is not complete. Each list of referrers is sorted by digest.
	whole     bool
	referrers map[digest.Digest][]ocispec.Descriptor
}

// A manifestID identifies a manifest by its digest and media type, because the
// media type decides which references the same bytes have.
type manifestID struct {
	digest    digest.Digest
	mediaType string
}

func idOf(d ocispec.Descriptor) manifestID { return manifestID{d.Digest, d.MediaType} }

// A facts holds the references of a manifest and its entry in a list of
// referrers.
type facts struct {
	subject  digest.Digest
	referrer ocispec.Descriptor // the descriptor with artifact type and annotations for a list of referrers
	children []ocispec.Descriptor
	blobs    []digest.Digest
}

// maxFacts limits the number of facts for each entry of index.json. If there are
// more, many of them belong to deleted manifests, and the store forgets all.
const maxFacts = 16

// newFacts returns the facts of a manifest with the given media type and
// content.
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
		// An index of BuildKit's cache also names layers, which are blobs.
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

// factsOf returns the facts of a manifest, or nil if the manifest cannot be
// read. It reads each manifest once and keeps the result.
func (l *imageLayout) factsOf(d ocispec.Descriptor) *facts {
	l.mu.RLock()
	f := l.facts[idOf(d)]
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
	l.facts[idOf(d)] = f
	return f
}

// manifest returns the descriptor of the manifest d in the index that names it,
// and whether an index of the repository names it.
func (r *reach) manifest(ctx context.Context, d digest.Digest) (ocispec.Descriptor, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.build(ctx, false); err != nil {
		return ocispec.Descriptor{}, false, err
	}
	desc, ok := r.nested[d]
	return desc, ok, nil
}

// maxPage is the largest number of referrers that page returns. It limits the
// time for which page holds the lock.
const maxPage = 128

// page returns the first referrers of the subject whose digests sort after the
// given digest. If it returns maxPage referrers, there may be more.
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

// leadsTo reports whether a manifest of the repository names the blob or
// manifest d. The caller passes the current version of the repository.
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
	for _, g := range current.manifests.All() {
		if names(g.first().descriptor()) {
			return true, nil
		}
	}
	for _, m := range r.nested {
		if names(m) && r.layout.exists(m.Digest) {
			return true, nil
		}
	}
	return false, nil
}

// build reads the manifests of the repository if whole is set, and otherwise only
// its indexes. It does nothing if that was done before, unless a manifest whose
// file was absent has appeared. The caller holds r.mu.
func (r *reach) build(ctx context.Context, whole bool) error {
	if (r.whole || r.nested != nil && !whole) && !r.appeared(whole) {
		return nil
	}
	whole = whole || r.whole
	r.reset()
	// Use the newest version of the repository: a later write waits for r.mu and
	// is added then.
	x := r.layout.cur.Load()
	if x == nil {
		return nil
	}
	current, ok := x.repos.Get(r.repo)
	if !ok {
		return nil
	}
	r.nested = map[digest.Digest]ocispec.Descriptor{}
	r.walked = map[manifestID]bool{}
	r.absent = map[manifestID]bool{}
	r.referrers = map[digest.Digest][]ocispec.Descriptor{}
	r.whole = whole
	var todo []ocispec.Descriptor
	for _, g := range current.manifests.All() {
		todo = append(todo, g.first().descriptor())
	}
	if err := r.walk(ctx, current, todo); err != nil {
		r.reset()
		return err
	}
	return nil
}

// appeared reports whether the file of an absent manifest exists now. Another
// repository of the layout, another process or the upload of a blob may have
// added it. Unless whole is set, appeared checks only indexes.
func (r *reach) appeared(whole bool) bool {
	for id := range r.absent {
		if (whole || manifest.Index(id.mediaType)) && r.layout.exists(id.digest) {
			return true
		}
	}
	return false
}

func (r *reach) reset() {
	r.nested, r.walked, r.absent, r.referrers, r.whole = nil, nil, nil, nil, false
}

// walk adds the manifests in todo, and the manifests that they name, to the
// reach.
func (r *reach) walk(ctx context.Context, current *repository, todo []ocispec.Descriptor) error {
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := todo[0]
		todo = todo[1:]
		if r.walked[idOf(d)] || !r.whole && !manifest.Index(d.MediaType) && d.MediaType != "" {
			continue
		}
		r.walked[idOf(d)] = true
		if current.manifest(d.Digest) == nil && !r.layout.exists(d.Digest) {
			r.absent[idOf(d)] = true
			continue
		}
		f := r.layout.factsOf(d)
		if f == nil {
			// Leave out a missing or damaged manifest. A request for it returns the
			// error.
			continue
		}
		if r.whole && f.subject != "" {
			r.addReferrer(current, d)
		}
		for _, child := range f.children {
			if old, ok := r.nested[child.Digest]; !ok || child.MediaType < old.MediaType {
				r.nested[child.Digest] = child
			}
			todo = append(todo, child)
		}
	}
	return nil
}

// addReferrer adds a manifest to the list of referrers of its subject. It uses
// the media type that the repository has for the manifest, which may differ from
// the media type of d.
func (r *reach) addReferrer(current *repository, d ocispec.Descriptor) {
	if child, ok := r.nested[d.Digest]; ok {
		d = child
	}
	if e := current.manifest(d.Digest); e != nil {
		d = e.descriptor()
	}
	f := r.layout.factsOf(d)
	if f == nil || f.subject == "" {
		return
	}
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

// put adds a manifest that was put into the repository. The caller has published
// the index with its entry.
func (r *reach) put(current *repository, m registry.Manifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nested == nil {
		return
	}
	d := m.Descriptor()
	if r.whole || manifest.Index(d.MediaType) || d.MediaType == "" {
		// Keep the facts now, so that the store need not read the manifest back.
		r.layout.addFacts(d, m.Content)
	}
	delete(r.walked, idOf(d))
	r.walk(context.Background(), current, []ocispec.Descriptor{d})
}

// delete removes a manifest that was deleted from the repository. The descriptor
// d is the one that the repository had. The caller has published an index that
// no longer names the manifest.
func (r *reach) delete(d ocispec.Descriptor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nested == nil {
		return
	}
	r.layout.mu.RLock()
	f := r.layout.facts[idOf(d)]
	r.layout.mu.RUnlock()
	_, nested := r.nested[d.Digest]
	delete(r.walked, idOf(d))
	switch {
	case nested, f != nil && len(f.children) > 0, f == nil && (r.whole || manifest.Index(d.MediaType) || d.MediaType == ""):
		// Other indexes may name the children of the deleted manifest, so start
		// again.
		r.reset()
	case f == nil:
		// A manifest that is not an index names no other manifests.
	case f.subject != "":
		list := r.referrers[f.subject]
		if i, found := findReferrer(list, d.Digest); found {
			r.referrers[f.subject] = slices.Delete(list, i, i+1)
		}
	}
}
