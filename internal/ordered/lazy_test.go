package ordered

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireLazy checks all that can be seen of a Lazy against a plain map.
func requireLazy(t testing.TB, want map[string]int, l *Lazy[int], after ...string) {
	t.Helper()
	require.Equal(t, len(want), l.Len())
	keys := slices.Sorted(maps.Keys(want))
	for _, k := range after {
		v, ok := l.Get(k)
		expected, there := want[k]
		require.Equal(t, there, ok, "Get(%q)", k)
		require.Equal(t, expected, v, "Get(%q)", k)
		i, found := slices.BinarySearch(keys, k)
		if found {
			i++
		}
		require.True(t, slices.Equal(keys[i:], collect(t, l.After(k), want)), "After(%q)", k)
	}
}

func TestZeroLazyIsEmpty(t *testing.T) {
	t.Parallel()
	var l Lazy[int]
	require.False(t, l.Delete("a"))
	requireLazy(t, nil, &l, "", "a")
	l.Set("", 1)
	l.Set("b", 1)
	requireLazy(t, map[string]int{"": 1, "b": 1}, &l, "", "a")
}

func TestLazyCloneIsIndependent(t *testing.T) {
	t.Parallel()
	var l Lazy[int]
	want := map[string]int{}
	for i := range 3 * blockSize {
		k := fmt.Sprint(i)
		l.Set(k, i)
		want[k] = i
		if i == blockSize {
			requireLazy(t, want, &l, "")
		}
	}
	clone := l.Clone()
	before := maps.Clone(want)
	for i := range blockSize {
		k := fmt.Sprint(7 * i)
		require.Equal(t, 7*i < 3*blockSize, l.Delete(k))
		delete(want, k)
		l.Set("x"+k, i)
		want["x"+k] = i
	}
	requireLazy(t, before, clone, "", "10")
	requireLazy(t, want, &l, "", "10")
}

func TestKeysThatComeAndGoDoNotHeapUp(t *testing.T) {
	t.Parallel()
	var l Lazy[int]
	for i := range 100 * blockSize {
		l.Set(fmt.Sprint(i), i)
		l.Delete(fmt.Sprint(i))
		require.LessOrEqual(t, len(l.added), blockSize+1)
	}
	require.Zero(t, l.Len())
	require.Empty(t, l.sorted.blocks)
}

// FuzzLazy does what the input says, two bytes a step, to a Lazy and to a
// plain map.
func FuzzLazy(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 200, 1, 0, 1, 100, 0, 200, 1, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var l Lazy[int]
		want := map[string]int{}
		for ; len(steps) >= 2; steps = steps[2:] {
			step := binary.BigEndian.Uint16(steps)
			key := fmt.Sprint(step & 0x3ff)
			switch step >> 14 {
			case 0:
				had, there := want[key]
				old, ok := l.Set(key, int(step))
				require.Equal(t, there, ok)
				require.Equal(t, had, old)
				want[key] = int(step)
			case 1:
				requireLazy(t, want, &l, key)
			default:
				_, there := want[key]
				require.Equal(t, there, l.Delete(key))
				delete(want, key)
			}
		}
		requireLazy(t, want, &l, "", "5")
		requireLazy(t, want, l.Clone(), "", "5")
	})
}
