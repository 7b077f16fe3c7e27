package layout

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/ordered"
)

// A group holds the entries for one tag or digest: a single entry, or a slice of
// several in the order of the file. The first of them counts, as in skopeo and
// regctl. If each group were a slice, a layout of 200,000 images would take 13
// MB more.
type group interface {
	first() *entry
	all() []*entry
}

func (e *entry) first() *entry { return e }
func (e *entry) all() []*entry { return []*entry{e} }

type several []*entry

func (s several) first() *entry { return s[0] }
func (s several) all() []*entry { return s }

// first returns the first entry of the group for a key, or nil if no entry has
// the key.
func first(m *ordered.Map[group], key string) *entry {
	if g, ok := m.Get(key); ok {
		return g.first()
	}
	return nil
}

// all returns the entries that have a key.
func all(m *ordered.Map[group], key string) []*entry {
	if g, ok := m.Get(key); ok {
		return g.all()
	}
	return nil
}

// set makes the entries the group for a key. Without entries, it deletes the
// key.
func set(m *ordered.Map[group], key string, entries []*entry) {
	switch len(entries) {
	case 0:
		m.Delete(key)
	case 1:
		m.Set(key, entries[0])
	default:
		m.Set(key, several(entries))
	}
}

// setAll sets each key to the entries that have the key, in file order. It leaves
// out entries whose key is "". It sets the keys in ascending order, so that the
// blocks of the map are full. This halves the time to open a layout of 200,000
// images.
func setAll(m *ordered.Map[group], entries []*entry, key func(*entry) string) {
	type keyed struct {
		key string
		n   int32
	}
	sorted := make([]keyed, 0, len(entries))
	for i, e := range entries {
		if k := key(e); k != "" {
			sorted = append(sorted, keyed{k, int32(i)})
		}
	}
	slices.SortFunc(sorted, func(a, b keyed) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(a.n, b.n)
	})
	for begin, end := 0, 0; begin < len(sorted); begin = end {
		for end++; end < len(sorted) && sorted[end].key == sorted[begin].key; end++ {
		}
		if end == begin+1 {
			m.Set(sorted[begin].key, entries[sorted[begin].n])
			continue
		}
		same := make(several, 0, end-begin)
		for _, k := range sorted[begin:end] {
			same = append(same, entries[k.n])
		}
		m.Set(sorted[begin].key, same)
	}
}

// appendTo appends an entry to the entries of a key. The append may write beyond
// the end of a slice that the index shares with the draft. This is safe because
// the index reads nothing beyond that end, and no other draft of the index
// exists.
func appendTo(m *ordered.Map[group], key string, e *entry) {
	set(m, key, append(all(m, key), e))
}

func replaceIn(m *ordered.Map[group], key string, old, e *entry) {
	entries := slices.Clone(all(m, key))
	entries[slices.Index(entries, old)] = e
	set(m, key, entries)
}

func removeFrom(m *ordered.Map[group], key string, gone func(*entry) bool) {
	set(m, key, slices.DeleteFunc(slices.Clone(all(m, key)), gone))
}
