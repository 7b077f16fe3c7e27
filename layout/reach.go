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

// A reach is what the manifests of a repository lead to. It is found out when
// it is first asked for, as that means to read them, and kept up to date from
// then on.
type reach struct {
	mu sync.Mutex

	// nested are the manifests that indexes name, on any level; nil if nobody
	// has asked yet.
	nested map[digest.Digest]ocispec.Descriptor

	// whole says that all manifests were read, not only the indexes, so that
	// referrers and blobs are complete. Referrers are sorted by digest, in
	// slices that are never changed but replaced.
	whole     bool
	referrers map[digest.Digest][]*ocispec.Descriptor
	blobs     map[digest.Digest]struct{}
}

// facts are what matters of the content of a manifest.
type facts struct {
	subject  digest.Digest
	referrer registry.Manifest // without its content, if it has a subject
	children []ocispec.Descriptor
	blobs    []digest.Digest
}

// maxFactsSize is the size up to which a manifest is looked into. What is
// larger is served, but leads to nothing.
const maxFactsSize = 64 << 20

// maxFacts is how many facts are kept for each entry of index.json before they
// are taken for those of manifests that are gone.
const maxFacts = 16

// newFacts reads the content of a manifest.
func newFacts(mediaType string, content []byte) *facts {
	if manifest.Opaque(mediaType) {
		return &facts{}
	}
	doc, err := manifest.Parse(content)
	if err != nil {
		return &facts{}
	}
	f := &facts{subject: doc.SubjectDigest()}
	if f.subject != "" {
		f.referrer.ArtifactType, f.referrer.Annotations = doc.ReferrerType(), doc.Annotations
	}
	for _, child := range doc.Manifests {
		if blobPath(child.Digest) != "" {
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

// factsOf returns what the manifest's content says, or nil if it cannot be
// read. What is known already is not read again, as a digest stands for one
// content; but the file has to be there.
func (l *imageLayout) factsOf(d ocispec.Descriptor) *facts {
	l.mu.RLock()
	f := l.facts[d.Digest]
	l.mu.RUnlock()
	if f != nil {
		if _, err := l.disk.stat(l.path(blobPath(d.Digest))); err != nil {
			return nil
		}
		return f
	}
	if d.Size > maxFactsSize {
		return nil
	}
	content, err := l.readManifest(d)
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

// nestedManifest returns the descriptor with which the indexes of a repository
// name a manifest.
func (l *imageLayout) nestedManifest(ctx context.Context, repo string, r *repository, d digest.Digest) (ocispec.Descriptor, bool, error) {
	r.reach.mu.Lock()
	defer r.reach.mu.Unlock()
	if err := r.reach.build(ctx, l, repo, false); err != nil {
		return ocispec.Descriptor{}, false, err
	}
	desc, ok := r.reach.nested[d]
	return desc, ok && !l.gone(repo, d), nil
}

// referrersOf returns the descriptors of the manifests of a repository that
// have the subject, in the order of their digests.
func (l *imageLayout) referrersOf(ctx context.Context, repo string, r *repository, subject digest.Digest) ([]*ocispec.Descriptor, error) {
	r.reach.mu.Lock()
	defer r.reach.mu.Unlock()
	if err := r.reach.build(ctx, l, repo, true); err != nil {
		return nil, err
	}
	return r.reach.referrers[subject], nil
}

// reaches reports whether any manifest of a repository leads to a blob or
// manifest, or is it, and it was not deleted from the repository.
func (l *imageLayout) reaches(ctx context.Context, repo string, r *repository, d digest.Digest) (bool, error) {
	if r.manifest(d) != nil {
		return true, nil
	}
	r.reach.mu.Lock()
	defer r.reach.mu.Unlock()
	if err := r.reach.build(ctx, l, repo, true); err != nil {
		return false, err
	}
	_, isBlob := r.reach.blobs[d]
	_, isNested := r.reach.nested[d]
	has, known, _ := l.noted(repo, d)
	return isBlob && (has || !known) || isNested && !l.gone(repo, d), nil
}

// build finds out what the repository reaches, if that is not known yet. The
// caller holds r.mu.
func (r *reach) build(ctx context.Context, l *imageLayout, repo string, whole bool) error {
	if r.whole || r.nested != nil && !whole {
		return nil
	}
	r.reset()
	// The newest version: what is written from now on is added when this
	// function has released the lock.
	x := l.cur.Load()
	if x == nil {
		return nil
	}
	current, ok := x.repos.Get(repo)
	if !ok {
		return nil
	}
	r.nested = map[digest.Digest]ocispec.Descriptor{}
	r.referrers = map[digest.Digest][]*ocispec.Descriptor{}
	r.blobs = map[digest.Digest]struct{}{}
	r.whole = whole
	var todo []ocispec.Descriptor
	for _, entries := range current.manifests.All() {
		todo = append(todo, last(entries).descriptor())
	}
	if err := r.walk(ctx, l, repo, current, todo); err != nil {
		r.reset()
		return err
	}
	return nil
}

func (r *reach) reset() {
	r.nested, r.referrers, r.blobs, r.whole = nil, nil, nil, false
}

// walk adds what the manifests lead to. Current is the repository, whose own
// manifests need no visit if an index names them too.
func (r *reach) walk(ctx context.Context, l *imageLayout, repo string, current *repository, todo []ocispec.Descriptor) error {
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := todo[0]
		todo = todo[1:]
		if !r.whole && !manifest.Index(d.MediaType) {
			continue
		}
		f := l.factsOf(d)
		if f == nil {
			// It is missing or damaged, which is told whoever asks for it.
			continue
		}
		if f.subject != "" && r.whole && !l.gone(repo, d.Digest) {
			r.addReferrer(d, f)
		}
		for _, b := range f.blobs {
			r.blobs[b] = struct{}{}
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
	listed := f.referrer.Descriptor()
	listed.MediaType, listed.Digest, listed.Size = d.MediaType, d.Digest, d.Size
	list := r.referrers[f.subject]
	i, found := findReferrer(list, d.Digest)
	if list = slices.Clone(list); found {
		list[i] = &listed
	} else {
		list = slices.Insert(list, i, &listed)
	}
	r.referrers[f.subject] = list
}

func findReferrer(list []*ocispec.Descriptor, d digest.Digest) (int, bool) {
	return slices.BinarySearchFunc(list, d, func(listed *ocispec.Descriptor, d digest.Digest) int {
		return strings.Compare(string(listed.Digest), string(d))
	})
}

// put notes that a manifest was put into the repository, after the index that
// names it was published.
func (r *reach) put(l *imageLayout, repo string, current *repository, m registry.Manifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nested == nil {
		return
	}
	d := ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}
	if r.whole || manifest.Index(m.MediaType) {
		// It need not be read back.
		l.addFacts(d, m.Content)
	}
	r.walk(context.Background(), l, repo, current, []ocispec.Descriptor{d})
}

// delete notes that a manifest was deleted from the repository, after an index
// that does not name it was published.
func (r *reach) delete(l *imageLayout, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nested == nil {
		return
	}
	l.mu.Lock()
	f := l.facts[d]
	delete(l.facts, d)
	l.mu.Unlock()
	if f == nil && !r.whole {
		return
	}
	if f == nil || len(f.children) > 0 || len(f.blobs) > 0 && !l.tree {
		// What it led to may be reached in another way, or not.
		r.reset()
		return
	}
	if list := r.referrers[f.subject]; f.subject != "" {
		if i, found := findReferrer(list, d); found {
			r.referrers[f.subject] = slices.Delete(slices.Clone(list), i, i+1)
		}
	}
}
