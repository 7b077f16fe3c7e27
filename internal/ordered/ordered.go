// Package ordered has a map whose keys are kept in order.
package ordered

import (
	"iter"
	"slices"
	"sort"
)

// blockSize is the most keys that one block holds. What an insertion moves
// grows with it, and how many blocks there are to find one's way in shrinks.
const blockSize = 256

// A Map is a map of strings to values that yields its keys in ascending byte
// order, from any key on. The cost of looking up, setting, deleting or
// starting to iterate hardly grows with the size of the map: it is a list of
// sorted blocks, each of which is split when it is full.
//
// The zero Map is empty and ready to use. A Map may be read concurrently, but
// not while it is changed; nor may it be changed while it is iterated over.
type Map[V any] struct {
	// blocks are never empty, and each one's keys sort before the next one's.
	blocks []*block[V]
	length int
}

type block[V any] struct {
	keys   []string
	values []V
}

// find returns the block that the key is in or would have to be in, its index
// in there, and whether it is there.
func (m *Map[V]) find(key string) (b, i int, found bool) {
	b = sort.Search(len(m.blocks), func(b int) bool { return m.blocks[b].keys[0] > key })
	if b == 0 {
		return 0, 0, false
	}
	b--
	i, found = slices.BinarySearch(m.blocks[b].keys, key)
	return b, i, found
}

// Len returns the number of keys.
func (m *Map[V]) Len() int {
	return m.length
}

// Get returns the value of a key and whether the key is there.
func (m *Map[V]) Get(key string) (v V, ok bool) {
	b, i, found := m.find(key)
	if !found {
		return v, false
	}
	return m.blocks[b].values[i], true
}

// Set gives the key a value. It returns the value that the key had before, and
// whether it had one.
func (m *Map[V]) Set(key string, v V) (old V, found bool) {
	b, i, found := m.find(key)
	if found {
		old, m.blocks[b].values[i] = m.blocks[b].values[i], v
		return old, true
	}
	if len(m.blocks) == 0 {
		m.blocks = []*block[V]{{}}
	}
	if n := len(m.blocks[b].keys); n == blockSize {
		at := n / 2
		if i == n {
			// Keys that are set in ascending order leave full blocks behind.
			at = n
		}
		m.split(b, at)
		if i >= at {
			b, i = b+1, i-at
		}
	}
	bl := m.blocks[b]
	bl.keys = slices.Insert(bl.keys, i, key)
	bl.values = slices.Insert(bl.values, i, v)
	m.length++
	return old, false
}

// split moves what block b holds from index at on to a new block after it.
func (m *Map[V]) split(b, at int) {
	left, right := m.blocks[b], &block[V]{}
	right.keys = append(make([]string, 0, blockSize), left.keys[at:]...)
	right.values = append(make([]V, 0, blockSize), left.values[at:]...)
	left.keys = slices.Delete(left.keys, at, len(left.keys))
	left.values = slices.Delete(left.values, at, len(left.values))
	m.blocks = slices.Insert(m.blocks, b+1, right)
}

// Delete removes a key and reports whether it was there.
func (m *Map[V]) Delete(key string) bool {
	b, i, found := m.find(key)
	if !found {
		return false
	}
	bl := m.blocks[b]
	bl.keys = slices.Delete(bl.keys, i, i+1)
	bl.values = slices.Delete(bl.values, i, i+1)
	m.length--
	if len(bl.keys) == 0 {
		m.blocks = slices.Delete(m.blocks, b, b+1)
		return true
	}
	m.join(b)
	m.join(b - 1)
	return true
}

// join moves what block b+1 holds to block b if the two have become so small
// that the next few insertions will not split them again.
func (m *Map[V]) join(b int) {
	if b < 0 || b+1 >= len(m.blocks) {
		return
	}
	left, right := m.blocks[b], m.blocks[b+1]
	if len(left.keys)+len(right.keys) > blockSize/2 {
		return
	}
	left.keys = append(left.keys, right.keys...)
	left.values = append(left.values, right.values...)
	m.blocks = slices.Delete(m.blocks, b+1, b+2)
}

// All yields every key with its value, in ascending order.
func (m *Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { m.yieldFrom(0, 0, yield) }
}

// After yields the keys that sort after the given one, which need not be
// there, with their values, in ascending order.
func (m *Map[V]) After(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		b, i, found := m.find(key)
		if found {
			i++
		}
		m.yieldFrom(b, i, yield)
	}
}

func (m *Map[V]) yieldFrom(b, i int, yield func(string, V) bool) {
	for ; b < len(m.blocks); b, i = b+1, 0 {
		for bl := m.blocks[b]; i < len(bl.keys); i++ {
			if !yield(bl.keys[i], bl.values[i]) {
				return
			}
		}
	}
}

// Clone returns a map with the same keys and values, independent of m.
func (m *Map[V]) Clone() *Map[V] {
	blocks := make([]*block[V], len(m.blocks))
	for i, b := range m.blocks {
		blocks[i] = &block[V]{keys: slices.Clone(b.keys), values: slices.Clone(b.values)}
	}
	return &Map[V]{blocks: blocks, length: m.length}
}
