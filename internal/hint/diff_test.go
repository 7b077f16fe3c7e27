package hint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	split := func(s string) []string { return strings.Fields(s) }
	for _, c := range []struct{ want, got, diff string }{
		{"", "", ""},
		{"a b c", "a b c", ""},
		{"a b c", "a c", "  a\n- b\n  c\n"},
		{"a c", "a b c", "  a\n+ b\n  c\n"},
		{"a b c", "a x c", "  a\n- b\n+ x\n  c\n"},
		{"", "a", "+ a\n"},
		{"a", "", "- a\n"},
		{"a a a b", "a a b", "  a\n  a\n- a\n  b\n"},
		{"1 2 3 4 5 6 x", "1 2 3 4 5 6 y", "  … 3 lines that are the same\n  4\n  5\n  6\n- x\n+ y\n"},
		{
			"x 1 2 3 4 5 6 7 8 9 y", "1 2 3 4 5 6 7 8 9",
			"- x\n  1\n  2\n  3\n  … 3 lines that are the same\n  7\n  8\n  9\n- y\n",
		},
		{"x 1 2 3 4 5 6 7", "1 2 3 4 5 6 7", "- x\n  1\n  2\n  3\n  … 4 lines that are the same\n"},
		{"x 1 2 3 4", "1 2 3 4", "- x\n  1\n  2\n  3\n  4\n"},
	} {
		got := split(c.got)
		require.Equal(t, c.diff, Diff(split(c.want), got, func(i int) string { return got[i] }), "%q and %q", c.want, c.got)
	}
}

// If more than maxEdits lines differ, commonLines still finds the common lines
// near the beginning and at the end.
func TestLongLists(t *testing.T) {
	t.Parallel()
	var want, got []string
	for i := range 3 * maxEdits {
		want = append(want, fmt.Sprint("w", i))
		got = append(got, fmt.Sprint("g", i))
	}
	between := []string{"first", "x", "x", "x", "x", "last"}
	want = slices.Concat(between[:1], between[1:5], want, between[5:])
	got = slices.Concat(between[:1], got[:1], between[1:5], got[1:], between[5:])
	d := Diff(want, got, func(i int) string { return got[i] })
	require.Equal(t, "  first\n+ g0\n  x\n  x\n  x\n  x\n- w0\n", d[:strings.Index(d, "- w1\n")])
	require.True(t, strings.HasSuffix(d, "+ g2999\n  last\n"))
	require.Len(t, strings.Split(strings.TrimSpace(d), "\n"), len(between)+6*maxEdits)
}

// The pairs of commonLines are a common subsequence. For short lists, it is the longest.
func FuzzDiff(f *testing.F) {
	f.Add("abcabba", "cbabac")
	f.Add("aaaaaaaaaaaaaaaab", "baaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, a, b string) {
		want, got := strings.Split(a, ""), strings.Split(b, "")
		pairs := commonLines(want, got)
		w, g := -1, -1
		for _, p := range pairs {
			if p[0] <= w || p[1] <= g || want[p[0]] != got[p[1]] {
				t.Fatalf("commonLines(%q, %q) = %v, which is not a common subsequence", a, b, pairs)
			}
			w, g = p[0], p[1]
		}
		if len(a) < 40 && len(b) < 40 && len(pairs) != longest(want, got) {
			t.Fatalf("%q and %q: commonLines found %d common lines, not %d", a, b, len(pairs), longest(want, got))
		}
		d := Diff(want, got, func(i int) string { return got[i] })
		if (d == "") != (a == b) && strings.Join(want, "") != strings.Join(got, "") {
			t.Fatalf("Diff(%q, %q) = %q", a, b, d)
		}
	})
}

// longest returns the length of the longest common subsequence of a and b.
func longest(a, b []string) int {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := range a {
		for j := range b {
			if a[i] == b[j] {
				table[i+1][j+1] = table[i][j] + 1
			} else {
				table[i+1][j+1] = max(table[i][j+1], table[i+1][j])
			}
		}
	}
	return table[len(a)][len(b)]
}
