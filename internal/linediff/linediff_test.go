package linediff

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLines(t *testing.T) {
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
		require.Equal(t, c.diff, Lines(split(c.want), got, func(i int) string { return got[i] }), "%q and %q", c.want, c.got)
	}
}

// However long the lists are, the difference is found in bounded time, and
// says the truth.
func FuzzLines(f *testing.F) {
	f.Add("abcabba", "cbabac")
	f.Add("aaaaaaaaaaaaaaaab", "baaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, a, b string) {
		want, got := strings.Split(a, ""), strings.Split(b, "")
		pairs := commonLines(want, got)
		w, g := -1, -1
		for _, p := range pairs {
			if p[0] <= w || p[1] <= g || want[p[0]] != got[p[1]] {
				t.Fatalf("%q and %q: pairs %v", a, b, pairs)
			}
			w, g = p[0], p[1]
		}
		d := Lines(want, got, func(i int) string { return got[i] })
		if (d == "") != (a == b) && strings.Join(want, "") != strings.Join(got, "") {
			t.Fatalf("%q and %q: %q", a, b, d)
		}
	})
}
