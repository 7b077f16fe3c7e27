package ordered

import (
	"iter"
	"maps"
	"slices"
)

// A Lazy is a [Map] that puts its keys in order only when it is iterated over:
// setting a key costs what it costs in a plain map, and the first iteration
// after that pays for the order of what is new.
//
// The zero Lazy is empty and ready to use. It may be looked up in
// concurrently, but iterating changes it as setting and deleting do.
type Lazy[V any] struct {
	values map[string]V
	sorted Map[struct{}]

	// added are the keys that are not in sorted yet, and keys that have been
	// deleted since.
	added []string
}

// Len returns the number of keys.
func (l *Lazy[V]) Len() int {
	return len(l.values)
}

// Get returns the value of a key and whether the key is there.
func (l *Lazy[V]) Get(key string) (v V, ok bool) {
	v, ok = l.values[key]
	return v, ok
}

// Set gives the key a value. It returns the value that the key had, if it had
// one.
func (l *Lazy[V]) Set(key string, v V) (old V, there bool) {
	if old, there = l.values[key]; !there {
		if l.values == nil {
			l.values = make(map[string]V)
		}
		if len(l.added) > 2*len(l.values)+blockSize {
			// Most have been deleted: they shall not heap up.
			l.sort()
		}
		l.added = append(l.added, key)
	}
	l.values[key] = v
	return old, there
}

// Delete removes a key and reports whether it was there.
func (l *Lazy[V]) Delete(key string) bool {
	if _, there := l.values[key]; !there {
		return false
	}
	delete(l.values, key)
	l.sorted.Delete(key)
	return true
}

// sort puts the keys in order that are not yet.
func (l *Lazy[V]) sort() {
	slices.Sort(l.added)
	for _, key := range l.added {
		if _, there := l.values[key]; there {
			l.sorted.Set(key, struct{}{})
		}
	}
	clear(l.added)
	l.added = l.added[:0]
	if cap(l.added) > blockSize {
		l.added = nil
	}
}

// After yields the keys that sort after the given one, which need not be
// there, with their values, in ascending order.
func (l *Lazy[V]) After(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		l.sort()
		for k := range l.sorted.After(key) {
			if !yield(k, l.values[k]) {
				return
			}
		}
	}
}

// Clone returns a map with the same keys and values, independent of l.
func (l *Lazy[V]) Clone() *Lazy[V] {
	return &Lazy[V]{values: maps.Clone(l.values), sorted: *l.sorted.Clone(), added: slices.Clone(l.added)}
}
