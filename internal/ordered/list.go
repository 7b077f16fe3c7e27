package ordered

import (
	"iter"
	"slices"
	"sort"
)

// blockSize is the largest number of keys in a block. An insertion moves more of
// them if it is large; a search passes more blocks if it is small.
const blockSize = 256

// A List is a map of strings to values of any type but nil, in ascending byte
// order like a [Map]: a list of sorted blocks, each of which is split when it is
// full. Package memstore uses it rather than a Map, because the compiler compiles
// the methods of a generic type again in every package that knows a type in which
// it occurs: with Map, memstore would be a third larger.
//
// The zero List is empty and ready to use.
type List struct {
	// blocks are never empty, and the keys of each sort before those of the
	// next one.
	blocks []*block
	length int
}

type block struct {
	entries []entry
}

type entry struct {
	key   string
	value any
}

// find returns the block that has the key or would have it, its index in there,
// and whether the block has it.
func (l *List) find(key string) (b, i int, found bool) {
	b = sort.Search(len(l.blocks), func(b int) bool { return l.blocks[b].entries[0].key > key })
	if b == 0 {
		return 0, 0, false
	}
	b--
	entries := l.blocks[b].entries
	i = sort.Search(len(entries), func(i int) bool { return entries[i].key >= key })
	return b, i, i < len(entries) && entries[i].key == key
}

// Get returns the value of a key, or nil.
func (l *List) Get(key string) any {
	b, i, found := l.find(key)
	if !found {
		return nil
	}
	return l.blocks[b].entries[i].value
}

// Set gives the key a value and returns the one before, or nil.
func (l *List) Set(key string, v any) (old any) {
	b, i, found := l.find(key)
	if found {
		e := &l.blocks[b].entries[i]
		old, e.value = e.value, v
		return old
	}
	if len(l.blocks) == 0 {
		l.blocks = []*block{{}}
	}
	if n := len(l.blocks[b].entries); n == blockSize {
		at := n / 2
		if i == n {
			// Keys that are set in ascending order leave full blocks behind.
			at = n
		}
		l.split(b, at)
		if i >= at {
			b, i = b+1, i-at
		}
	}
	bl := l.blocks[b]
	bl.entries = slices.Insert(bl.entries, i, entry{key, v})
	l.length++
	return nil
}

// split moves the keys of block b from index at on to a new block after it.
func (l *List) split(b, at int) {
	left, right := l.blocks[b], &block{}
	right.entries = append(make([]entry, 0, blockSize), left.entries[at:]...)
	left.entries = slices.Delete(left.entries, at, len(left.entries))
	l.blocks = slices.Insert(l.blocks, b+1, right)
}

// Delete removes a key and reports whether the list had it.
func (l *List) Delete(key string) bool {
	b, i, found := l.find(key)
	if !found {
		return false
	}
	bl := l.blocks[b]
	bl.entries = slices.Delete(bl.entries, i, i+1)
	l.length--
	if len(bl.entries) == 0 {
		l.blocks = slices.Delete(l.blocks, b, b+1)
		return true
	}
	l.join(b)
	l.join(b - 1)
	return true
}

// join moves the keys of block b+1 to block b if the two have become so small
// that the next few insertions will not split them again.
func (l *List) join(b int) {
	if b < 0 || b+1 >= len(l.blocks) {
		return
	}
	left, right := l.blocks[b], l.blocks[b+1]
	if len(left.entries)+len(right.entries) > blockSize/2 {
		return
	}
	left.entries = append(left.entries, right.entries...)
	l.blocks = slices.Delete(l.blocks, b+1, b+2)
}

// All calls yield with every key, in ascending order, until it returns false.
func (l *List) All(yield func(key string, value any) bool) { l.yieldFrom(0, 0, yield) }

// After yields the keys that sort after the given one, in ascending order. The list
// need not have the given key.
func (l *List) After(key string) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		b, i, found := l.find(key)
		if found {
			i++
		}
		l.yieldFrom(b, i, yield)
	}
}

// Len returns the number of keys.
func (l *List) Len() int { return l.length }

func (l *List) yieldFrom(b, i int, yield func(string, any) bool) {
	for ; b < len(l.blocks); b, i = b+1, 0 {
		for bl := l.blocks[b]; i < len(bl.entries); i++ {
			if e := bl.entries[i]; !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Clone returns a list with the same keys and values, independent of l.
// The compiler would copy it into each type of Map.
//
//go:noinline
func (l *List) Clone() List {
	blocks := make([]*block, len(l.blocks))
	for i, b := range l.blocks {
		blocks[i] = &block{slices.Clone(b.entries)}
	}
	return List{blocks: blocks, length: l.length}
}
