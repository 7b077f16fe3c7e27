package layout

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A draft is a copy of an index that a write modifies before it publishes it.
type draft struct {
	*index

	// base is the index that the draft is a copy of. It is nil while an index is
	// being parsed.
	base *index

	// added holds the entries that the draft adds and that another tool's stale
	// index.json would lose. See merge.go.
	added []added

	// referrals holds the manifests with a subject that the draft adds or deletes.
	// See tagReferrers.
	referrals []referral

	// lists holds the files of the lists of referrers that the draft adds.
	lists []*manifestFile

	// edited holds the draft's own copies of the repositories that it changes.
	edited map[string]*repository

	changed bool
}

// newDraft returns a draft that begins as a copy of x.
func newDraft(x *index) *draft {
	const more = 64 // room for the entries that a batch usually adds
	entries := append(make([]*entry, 0, len(x.entries)+more), x.entries...)
	return &draft{base: x, index: &index{
		layout: x.layout, head: x.head, tail: x.tail, entries: entries, repos: *x.repos.Clone(),
	}}
}

// edit returns the draft's own copy of a repository. It makes the copy, or a new
// repository, at the first call.
func (d *draft) edit(name string) *repository {
	if r := d.edited[name]; r != nil {
		return r
	}
	edited := &repository{}
	if r, ok := d.repos.Get(name); ok {
		edited = &repository{host: r.host, tags: *r.tags.Clone(), manifests: *r.manifests.Clone(), reach: r.reach}
	} else {
		edited.reach = &reach{layout: d.layout, repo: name}
	}
	if d.edited == nil {
		d.edited = map[string]*repository{}
	}
	d.edited[name] = edited
	d.repos.Set(name, edited)
	return edited
}

// put makes the tags name the manifest with the descriptor desc, with an entry
// for each tag. If tags is empty and the manifest has no entry, put adds one
// without a tag. It also updates the media type and size in the manifest's other
// entries.
func (d *draft) put(repo string, desc ocispec.Descriptor, tags []string) {
	r := d.edit(repo)
	nameFor := func(tag string) (reference, string) {
		ref := reference{host: r.host, repo: repo, tag: tag}
		return ref, d.layout.refName(ref, desc.Digest)
	}
	entryFor := func(tag string) *entry {
		ref, refName := nameFor(tag)
		return newEntry(ref, refName, desc)
	}
	for _, e := range all(&r.manifests, string(desc.Digest)) {
		if e.mediaType.Value() != desc.MediaType || e.size != desc.Size {
			d.replace(e, entryFor(strings.Clone(e.tag)))
		}
	}
	var moved []*entry
	for _, tag := range tags {
		old := all(&r.tags, tag)
		if len(old) == 1 && old[0].digest == desc.Digest && !old[0].generated {
			continue // Keep the entry as it was written.
		}
		moved = append(moved, old...)
		r.tags.Delete(tag)
	}
	d.untag(r, moved)
	free := r.untagged(desc.Digest)
	for _, tag := range tags {
		switch {
		case r.tagged(tag) != nil:
		case free != nil:
			d.replace(free, free.renamed(nameFor(tag)))
			free = r.untagged(desc.Digest)
		default:
			d.add(entryFor(tag))
		}
	}
	if r.manifest(desc.Digest) == nil {
		d.add(entryFor(""))
	}
}

// deleteTag removes a tag from its entries. The manifest stays in the
// repository.
func (d *draft) deleteTag(repo, tag string) {
	r := d.edit(repo)
	d.untag(r, all(&r.tags, tag))
}

// untag removes the tag of the given entries. A manifest that no other entry
// names keeps an entry without a tag, unless the entry names a list of referrers
// that the store maintains.
func (d *draft) untag(r *repository, entries []*entry) {
	if len(entries) == 0 {
		return
	}
	var gone []*entry
	left := make(map[digest.Digest]int) // the number of entries that remain for each digest
	for _, e := range entries {
		if _, ok := left[e.digest]; !ok {
			left[e.digest] = len(all(&r.manifests, string(e.digest)))
		}
		if e.generated || left[e.digest] > 1 {
			left[e.digest]--
			gone = append(gone, e)
			continue
		}
		ref := e.reference()
		ref.tag = ""
		d.replace(e, e.renamed(ref, d.layout.refName(ref, e.digest)))
	}
	d.removeAll(r, gone)
}

// deleteManifest removes the entries that name a manifest. It marks the draft as
// changed even if only an index names the manifest, because other stores notice
// the deletion by the new index.json.
func (d *draft) deleteManifest(repo string, dig digest.Digest) {
	d.changed = true
	r := d.edit(repo)
	gone := all(&r.manifests, string(dig))
	for _, e := range gone {
		if e.tag != "" && r.tagged(e.tag) == e {
			// Otherwise, another entry with the same tag would become the entry of the
			// tag.
			d.untag(r, slices.DeleteFunc(slices.Clone(all(&r.tags, e.tag)), func(e *entry) bool { return e.digest == dig }))
		}
	}
	d.removeAll(r, gone)
}

// add appends an entry to the draft.
func (d *draft) add(e *entry) {
	d.entries = append(d.entries, e)
	d.register(e)
}

// removeAll removes entries of a repository from the draft. It removes them in one
// pass: removing 60,000 tags of a manifest one by one would take a minute.
func (d *draft) removeAll(r *repository, gone []*entry) {
	switch len(gone) {
	case 0:
		return
	case 1:
		i := slices.Index(d.entries, gone[0])
		d.entries = slices.Delete(d.entries, i, i+1)
		d.unregister(gone[0])
		return
	}
	removed := make(map[*entry]bool, len(gone))
	for _, e := range gone {
		removed[e] = true
	}
	isRemoved := func(e *entry) bool { return removed[e] }
	d.entries = slices.DeleteFunc(d.entries, isRemoved)
	done := make(map[string]bool) // the digests and tags whose entries are removed
	for _, e := range gone {
		d.changed = true
		if !done[string(e.digest)] {
			done[string(e.digest)] = true
			removeFrom(&r.manifests, string(e.digest), isRemoved)
		}
		if e.tag != "" && !done[e.tag] {
			done[e.tag] = true
			removeFrom(&r.tags, e.tag, isRemoved)
		}
	}
}

// replace replaces the entry old by the entry e, at the same position.
func (d *draft) replace(old, e *entry) {
	d.entries[slices.Index(d.entries, old)] = e
	if old.name == e.name && old.tag == e.tag && old.digest == e.digest {
		// Keep the order of several entries with one tag.
		r := d.edit(e.repo())
		replaceIn(&r.manifests, string(e.digest), old, e)
		if e.tag != "" {
			replaceIn(&r.tags, e.tag, old, e)
		}
		d.changed = true
		return
	}
	d.unregister(old)
	d.register(e)
}

func (d *draft) register(e *entry) {
	d.changed = true
	if e.digest == "" {
		return
	}
	r := d.edit(e.repo())
	if r.host == "" {
		r.host = e.host()
	}
	appendTo(&r.manifests, string(e.digest), e)
	if e.tag != "" {
		appendTo(&r.tags, e.tag, e)
	}
	d.note(e)
}

// registerAll registers the entries of an index that has just been parsed.
func (d *draft) registerAll() {
	named := map[string][]*entry{}
	for _, e := range d.entries {
		if e.digest != "" {
			named[e.repo()] = append(named[e.repo()], e)
		}
	}
	for repo, entries := range named {
		r := d.edit(repo)
		for _, e := range entries {
			if r.host = e.host(); r.host != "" {
				break
			}
		}
		setAll(&r.manifests, entries, func(e *entry) string { return string(e.digest) })
		setAll(&r.tags, entries, func(e *entry) string { return e.tag })
	}
}

func (d *draft) unregister(e *entry) {
	d.changed = true
	r := d.edit(e.repo())
	isIt := func(other *entry) bool { return other == e }
	removeFrom(&r.manifests, string(e.digest), isIt)
	if e.tag != "" {
		removeFrom(&r.tags, e.tag, isIt)
	}
}

// prune removes repositories without manifests from the draft, because a store
// that reads the new index.json would not find them either.
func (d *draft) prune() {
	for name, r := range d.edited {
		if r.manifests.Len() == 0 {
			d.repos.Delete(name)
		}
	}
}
