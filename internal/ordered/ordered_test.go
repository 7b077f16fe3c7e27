package ordered

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pair is a Map with a Go map that must have the same keys and values.
type pair struct {
	m    Map[int]
	want map[string]int
}

func (p *pair) set(key string, v int) {
	want, there := p.want[key]
	if old, found := p.m.Set(key, v); old != want || found != there {
		panic(fmt.Sprintf("Set(%q) = %d, %t, want %d, %t", key, old, found, want, there))
	}
	p.want[key] = v
}

func (p *pair) delete(t testing.TB, key string) {
	if _, there := p.want[key]; p.m.Delete(key) != there {
		t.Fatalf("Delete(%q) = %t", key, !there)
	}
	delete(p.want, key)
}

// check compares the two maps. For each of the given keys, it compares the
// results of Get and After.
func (p *pair) check(t testing.TB, after ...string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(p.want))
	require.Equal(t, len(keys), p.m.Len())
	require.True(t, slices.Equal(keys, collect(t, p.m.All(), p.want)))
	for _, k := range after {
		v, ok := p.m.Get(k)
		want, there := p.want[k]
		require.Equal(t, there, ok, "Get(%q)", k)
		require.Equal(t, want, v, "Get(%q)", k)
		i, found := slices.BinarySearch(keys, k)
		if found {
			i++
		}
		require.True(t, slices.Equal(keys[i:], collect(t, p.m.After(k), p.want)), "After(%q)", k)
	}
	last := ""
	for i, b := range p.m.list.blocks {
		require.NotEmpty(t, b.entries, "block %d is empty", i)
		require.LessOrEqual(t, len(b.entries), blockSize, "block %d has too many keys", i)
		if i > 0 {
			require.Less(t, last, b.entries[0].key, "block %d does not sort after the one before it", i)
		}
		last = b.entries[len(b.entries)-1].key
	}
}

func collect(t testing.TB, seq iter.Seq2[string, int], want map[string]int) []string {
	t.Helper()
	var keys []string
	for k, v := range seq {
		if want[k] != v {
			t.Fatalf("the value of %q is %d, want %d", k, v, want[k])
		}
		keys = append(keys, k)
	}
	return keys
}

func newPair() *pair { return &pair{want: map[string]int{}} }

func TestZeroMapIsEmpty(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.check(t, "", "a")
	p.delete(t, "a")
	p.set("", 1)
	p.check(t, "", "a")
}

func TestOrderOfSettingDoesNotMatter(t *testing.T) {
	t.Parallel()
	const n = 10 * blockSize
	ascending := make([]int, n)
	for i := range ascending {
		ascending[i] = i
	}
	descending := slices.Clone(ascending)
	slices.Reverse(descending)
	for name, order := range map[string][]int{
		"ascending": ascending, "descending": descending, "random": rand.New(rand.NewPCG(1, 2)).Perm(n),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair()
			for _, i := range order {
				p.set(fmt.Sprintf("k%05d", i), i)
			}
			p.check(t, "", "k", "k00000", "k00000x", "k01280", "k02559", "z")
			for _, i := range order {
				p.delete(t, fmt.Sprintf("k%05d", i))
				if i%199 == 0 {
					p.check(t, "k01280")
				}
			}
			p.check(t)
			require.Empty(t, p.m.list.blocks)
		})
	}
}

func TestSettingInOrderFillsBlocks(t *testing.T) {
	t.Parallel()
	var m Map[int]
	for i := range 10 * blockSize {
		m.Set(fmt.Sprintf("%05d", i), i)
	}
	require.Len(t, m.list.blocks, 10)
}

func TestDeletingLeavesNoSparseBlocks(t *testing.T) {
	t.Parallel()
	const n = 100 * blockSize
	for name, nth := range map[string]func(i int) int{
		"ascending":  func(i int) int { return i },
		"descending": func(i int) int { return n - 1 - i },
	} {
		var m Map[int]
		for i := range n {
			m.Set(fmt.Sprintf("%06d", i), i)
		}
		for i := range n {
			if i := nth(i); i%blockSize != 0 {
				m.Delete(fmt.Sprintf("%06d", i))
			}
		}
		require.Equal(t, 100, m.Len(), name)
		require.LessOrEqual(t, len(m.list.blocks), 2, name)
	}
}

func TestIterationCanStop(t *testing.T) {
	t.Parallel()
	var m Map[int]
	for i := range 3 * blockSize {
		m.Set(fmt.Sprintf("%05d", i), i)
	}
	for _, n := range []int{1, blockSize, blockSize + 1} {
		var got []string
		for k := range m.After("00000") {
			if got = append(got, k); len(got) == n {
				break
			}
		}
		require.Len(t, got, n)
		require.Equal(t, fmt.Sprintf("%05d", n), got[n-1])
	}
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	p := newPair()
	for i := range 3 * blockSize {
		p.set(fmt.Sprintf("%05d", i), i)
	}
	q := &pair{m: *p.m.Clone(), want: maps.Clone(p.want)}
	for i := range 3 * blockSize {
		switch k := fmt.Sprintf("%05d", i); i % 4 {
		case 0:
			p.set(k, -1)
		case 1:
			q.delete(t, k)
		case 2:
			p.delete(t, k)
			q.set(k+"x", i)
		}
	}
	p.check(t, "00000")
	q.check(t, "00000")
}

// FuzzMap applies the operations that the input encodes to a Map and to a Go map.
// An operation sets or deletes many keys, so even a short input splits and empties
// blocks. It has three bytes: set or delete and the distance between the keys, the
// first key, and the number of keys.
func FuzzMap(f *testing.F) {
	const up, down, random, setting, deleting = 0, 1, 2, 0, 4
	f.Add([]byte{up | setting, 0, 255, up | setting, 128, 255, down | deleting, 50, 200})
	f.Add([]byte{down | setting, 255, 255, random | setting, 7, 255, random | deleting, 7, 255, up | deleting, 0, 255})
	f.Add([]byte{random | setting, 1, 255, random | setting, 2, 255, random | setting, 3, 255, up | deleting, 10, 1, up | setting, 10, 1})
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		p := newPair()
		var last string
		for steps = steps[:min(len(steps), 3*16)]; len(steps) >= 3; steps = steps[3:] {
			distance := map[byte]int{up: 1, down: len(keys) - 1, random: 389}[steps[0]%4] // 389 is prime, so the steps reach all keys
			for k, left := 4*int(steps[1]), 4*int(steps[2]); left > 0; left-- {
				last = keys[k]
				k = (k + distance) % len(keys)
				if steps[0]&deleting == 0 {
					p.set(last, left)
				} else {
					p.delete(t, last)
				}
			}
		}
		p.check(t, last, last+"0", "")
		q := &pair{m: *p.m.Clone(), want: p.want}
		q.check(t, last)
	})
}

func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			keys := make([]string, 2*n)
			for i, k := range rand.Perm(2 * n) {
				keys[i] = fmt.Sprintf("tag-%08d", k)
			}
			var m Map[int]
			for _, k := range keys[:n] {
				m.Set(k, 1)
			}
			i := 0
			for b.Loop() {
				// An insertion and a deletion together keep the size.
				k := keys[n+i%n]
				m.Set(k, 1)
				m.Delete(k)
				i++
			}
		})
	}
}

func BenchmarkPage(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var m Map[int]
			for i := range n {
				m.Set(fmt.Sprintf("tag-%08d", i), i)
			}
			middle := fmt.Sprintf("tag-%08d", n/2)
			for b.Loop() {
				left := 100
				for range m.After(middle) {
					if left--; left == 0 {
						break
					}
				}
			}
		})
	}
}
