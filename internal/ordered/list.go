package ordered

import (
	"iter"
	"slices"
	"sort"
)

// blockSize is the largest number of keys in a block. With larger blocks, an
// insertion moves more keys. With smaller blocks, a search passes more blocks. The
// allocator adds 8 bytes: 255 keys fill 8 KiB, while 256 would take 9.25 KiB.
const blockSize = 255

// A List is a map of strings to values of any type but nil. It yields its keys in
// ascending byte order. It consists of sorted blocks, which are split when they are
// full. Package memstore uses a List instead of a [Map], because the compiler
// compiles the methods of a generic type again in each package that uses it: with
// Map, memstore would be a third larger.
//
// The zero List is empty and ready to use.
type List struct {
	// blocks are never empty. All keys of a block sort before those of the next.
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

// find returns the block that has or would have the key, the key's index in the
// block, and whether the block has it.
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

// Get returns the value of a key, or nil if the list does not have the key.
func (l *List) Get(key string) any {
	b, i, found := l.find(key)
	if !found {
		return nil
	}
	return l.blocks[b].entries[i].value
}

// Set sets the value of a key and returns the previous value, or nil.
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
			// Keys set in ascending order then leave full blocks behind.
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

// split moves the end of block b, from the key with the given index, to a new
// block after b.
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

// All yields every key with its value, in ascending order.
func (l *List) All(yield func(key string, value any) bool) { l.yieldFrom(0, 0, yield) }

// After yields the keys that sort after the given key, with their values, in
// ascending order. The list need not have the given key.
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
// If it were inlined, each type of Map would have a copy of its code.
//
//go:noinline
func (l *List) Clone() List {
	blocks := make([]*block, len(l.blocks))
	for i, b := range l.blocks {
		blocks[i] = &block{slices.Clone(b.entries)}
	}
	return List{blocks: blocks, length: l.length}
}
