package layout

import (
	"context"
	"io/fs"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// A tool that takes no lock may read index.json, and replace the file with its
// own version after a store has acknowledged a push. The stale file lacks the
// push. The layout therefore remembers its latest changes, and makes them again if
// another tool cannot have seen them. That is so if the tool's index.json lacks all
// changes since some earlier index, has all other entries of the last index, and
// has a new entry. An index.json that only lacks entries counts as a deletion.

// The layout remembers at most maxChanges changes, each for maxAge.
const (
	maxChanges = 256
	maxAge     = 10 * time.Minute
)

// A change holds the entries that one write added to index.json.
type change struct {
	at   time.Time
	puts []added
}

// An added is an entry that a draft added.
type added struct {
	*entry
	before digest.Digest // the digest that the tag named before the draft, or ""
	isNew  bool          // whether the repository did not name the digest before the draft
}

// The modification time of each index.json that a store writes has the remainder
// markRest when it is divided by markStep. The remainder distinguishes such
// files from those of other tools.
const (
	markStep = 10 * time.Microsecond
	markRest = 7300 * time.Nanosecond
)

// mark returns the latest time that is not after t and has the remainder that
// marks files of a store.
func mark(t time.Time) time.Time {
	return t.Add(-markRest).Truncate(markStep).Add(markRest)
}

// isMarked reports whether a store, and not another tool, wrote the file.
func isMarked(info fs.FileInfo) bool {
	return mark(info.ModTime()).Equal(info.ModTime())
}

// note records an entry that the draft adds, for the case that another tool
// overwrites it.
func (d *draft) note(e *entry) {
	if d.base == nil {
		return
	}
	a := added{entry: e, isNew: true}
	if r, ok := d.base.repos.Get(e.repo()); ok {
		a.isNew = r.manifest(e.digest) == nil
		if old := r.tagged(e.tag); old != nil {
			a.before = cloned(old.digest)
		}
	}
	if e.tag != "" && a.before != e.digest || a.isNew {
		d.added = append(d.added, a)
	}
}

// remember keeps the entries that a published draft added, as the latest of
// the remembered changes. The caller holds l.loading.
func (l *imageLayout) remember(puts []added) {
	if len(puts) == 0 {
		return
	}
	if len(l.changes) == maxChanges {
		l.changes = append(l.changes[:0], l.changes[1:]...)
	}
	l.changes = append(l.changes, change{time.Now(), puts})
}

// forget removes entries from the remembered changes if x, which another program
// wrote, no longer has them. The caller holds l.loading.
func (l *imageLayout) forget(x *index) {
	for i := range l.changes {
		c := &l.changes[i]
		c.puts = slices.DeleteFunc(c.puts, func(a added) bool { return a.in(x) == nil })
	}
	l.changes = slices.DeleteFunc(l.changes, func(c change) bool { return len(c.puts) == 0 })
}

// merge returns the index x with the acknowledged entries of cur that another
// tool has overwritten. The store read x from the file that another program wrote
// after cur. The caller holds l.loading.
func (l *imageLayout) merge(cur, x *index, file fs.FileInfo) *index {
	var lost []*entry
	if cur != nil && !isMarked(file) {
		lost = l.lost(cur, x)
	}
	if len(lost) == 0 || !extends(x, cur, lost) {
		l.forget(x)
		return x
	}
	d := newDraft(x)
	for i := len(lost) - 1; i >= 0; i-- {
		e := lost[i]
		r := d.edit(e.repo())
		if e.tag != "" {
			d.untag(r, all(&r.tags, e.tag))
		}
		d.add(e.clone())
	}
	d.merged = true
	return d.index
}

// lost returns the entries of cur that the tool that wrote x cannot have seen:
// those that were added after the last change of which x has an entry. Changes
// older than maxAge do not count. The entry that was added last comes first.
func (l *imageLayout) lost(cur, x *index) []*entry {
	var lost []*entry
	before := map[reference]digest.Digest{} // the digest that each tag named before the lost changes
	for i := len(l.changes) - 1; i >= 0; i-- {
		c := l.changes[i]
		if time.Since(c.at) > maxAge || c.seen(cur, x) {
			break
		}
		for _, a := range c.puts {
			if a.tag != "" {
				before[a.reference()] = a.before
			}
			if e := a.in(cur); e != nil && !slices.Contains(lost, e) && l.exists(e.digest) {
				lost = append(lost, e)
			}
		}
	}
	return slices.DeleteFunc(lost, func(e *entry) bool {
		there := x.lookup(e.repo(), e.tag, e.digest)
		// If the tag names neither the old nor the lost digest, the other tool has
		// moved it.
		return there != nil && there.digest != before[e.reference()]
	})
}

// seen reports whether x has one of the entries that the change added and that
// cur still has.
func (c *change) seen(cur, x *index) bool {
	for _, a := range c.puts {
		e := a.in(cur)
		if e == nil {
			continue
		}
		there := x.lookup(e.repo(), e.tag, e.digest)
		if there != nil && there.digest == e.digest || a.isNew && x.lookup(e.repo(), "", e.digest) != nil {
			return true
		}
	}
	return false
}

// in returns the entry of the index cur that has the tag and the digest of the
// added entry. If the tag no longer names the digest, and the repository did not
// name the digest before the change, it returns any entry for the digest. It
// returns nil if cur has no such entry.
func (a *added) in(cur *index) *entry {
	e := cur.lookup(a.repo(), a.tag, a.digest)
	if (e == nil || e.digest != a.digest) && a.isNew {
		e = cur.lookup(a.repo(), "", a.digest)
	}
	if e == nil || e.digest != a.digest {
		return nil
	}
	return e
}

// lookup returns the entry that a tag names or, if tag is empty, the first entry
// for the digest. It returns nil if the index has no such entry.
func (x *index) lookup(repo, tag string, d digest.Digest) *entry {
	r, ok := x.repos.Get(repo)
	if !ok {
		return nil
	}
	if tag != "" {
		return r.tagged(tag)
	}
	return r.manifest(d)
}

// exists reports whether the layout has a file for the digest.
func (l *imageLayout) exists(d digest.Digest) bool {
	_, err := l.disk.stat(l.path(blobPath(d)))
	return err == nil
}

// extends reports whether x has at least one new entry, and all entries of cur
// except those in lost. An entry whose tag was moved in x counts as present.
func extends(x, cur *index, lost []*entry) bool {
	missing := map[*entry]bool{}
	for _, e := range lost {
		missing[e] = true
	}
	for _, e := range cur.entries {
		if e.digest != "" && !missing[e] && x.lookup(e.repo(), e.tag, e.digest) == nil && x.lookup(e.repo(), "", e.digest) == nil {
			return false
		}
	}
	for _, e := range x.entries {
		if e.digest != "" && (cur.lookup(e.repo(), "", e.digest) == nil || cur.lookup(e.repo(), e.tag, e.digest) == nil) {
			return true
		}
	}
	return false
}

// mend writes an index with restored entries to index.json. If another goroutine
// is writing, mend returns at once, because the caller may be the check function
// of that write.
func (l *imageLayout) mend() {
	select {
	case l.writes.leading <- struct{}{}:
	default:
		return
	}
	defer func() { <-l.writes.leading }()
	unlock, err := l.lock(context.Background())
	if err != nil {
		return // The next request tries again.
	}
	defer unlock()
	l.lead([]*write{{done: make(chan struct{}), apply: func(d *draft) (func() error, error) {
		d.changed = d.changed || d.base.merged
		return nil, nil
	}}})
}
