package hint

import (
	"fmt"
	"slices"
	"strings"
)

const (
	context  = 3    // the number of common lines shown around a difference
	maxEdits = 1000 // limits the memory of a comparison to 8 MB
)

// Diff returns a text with the lines in which want and got differ, or "" if they
// are equal. For the i-th line of got, the text has show(i).
func Diff(want, got []string, show func(i int) string) string {
	if slices.Equal(want, got) {
		return ""
	}
	type line struct {
		mark byte
		text string
	}
	var lines []line
	w, g := 0, 0
	for _, c := range append(commonLines(want, got), [2]int{len(want), len(got)}) {
		for ; w < c[0]; w++ {
			lines = append(lines, line{'-', want[w]})
		}
		for ; g < c[1]; g++ {
			lines = append(lines, line{'+', show(g)})
		}
		if g < len(got) {
			lines = append(lines, line{' ', show(g)})
			w, g = w+1, g+1
		}
	}
	var b strings.Builder
	print := func(lines []line) {
		for _, l := range lines {
			fmt.Fprintf(&b, "%c %s\n", l.mark, l.text)
		}
	}
	for len(lines) > 0 {
		n := slices.IndexFunc(lines, func(l line) bool { return l.mark != ' ' })
		head, tail := context, context
		if b.Len() == 0 {
			head = 0
		}
		if n < 0 {
			n, tail = len(lines), 0
		}
		if n > head+tail+1 {
			print(lines[:head])
			fmt.Fprintf(&b, "  … %d lines that are the same\n", n-head-tail)
			lines, n = lines[n-tail:], tail
		}
		n = min(n+1, len(lines))
		print(lines[:n])
		lines = lines[n:]
	}
	return b.String()
}

// commonLines returns pairs of indexes in a and b of lines that are equal, in ascending
// order. The pairs are as many as possible, unless more than maxEdits lines differ.
func commonLines(a, b []string) (pairs [][2]int) {
	from := 0
	for from < len(a) && from < len(b) && a[from] == b[from] {
		pairs = append(pairs, [2]int{from, from})
		from++
	}
	after := 0
	for after < min(len(a), len(b))-from && a[len(a)-1-after] == b[len(b)-1-after] {
		after++
	}
	for _, p := range middle(a[from:len(a)-after], b[from:len(b)-after]) {
		pairs = append(pairs, [2]int{from + p[0], from + p[1]})
	}
	for i := range after {
		pairs = append(pairs, [2]int{len(a) - after + i, len(b) - after + i})
	}
	return pairs
}

// middle returns the pairs of equal lines by the greedy algorithm of Myers, An
// O(ND) Difference Algorithm and Its Variations (1986). A point x, y stands for
// the first x lines of a and the first y lines of b, and diagonal k for the
// points with x-y = k.
func middle(a, b []string) (pairs [][2]int) {
	// furthest[d][k+d] is the largest x on diagonal k that d edits can reach.
	var furthest [][]int
	// before returns the point before edit d, which ends on diagonal k.
	before := func(d, k int) (x, y int) {
		last := furthest[d-1]
		deletion := func() int { return last[k-1+d-1] }
		insertion := func() int { return last[k+1+d-1] }
		if k == -d || k != d && deletion() < insertion() {
			return insertion(), insertion() - k - 1
		}
		return deletion(), deletion() - k + 1
	}
	best, bestK := -1, 0 // the largest x+y in the last round, and its diagonal
	for d := 0; d <= min(maxEdits, len(a)+len(b)) && best < len(a)+len(b); d++ {
		round := make([]int, 2*d+1)
		best = -1
		for k := -d; k <= d; k += 2 {
			x := 0
			if d > 0 {
				var y int
				if x, y = before(d, k); x-y <= k {
					x++
				}
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			round[k+d] = x
			if x <= len(a) && x-k <= len(b) && 2*x-k > best {
				best, bestK = 2*x-k, k
			}
		}
		furthest = append(furthest, round)
	}
	for d, k := len(furthest)-1, bestK; d >= 0; d-- {
		x, from, next := furthest[d][k+d], 0, 0
		if d > 0 {
			fx, fy := before(d, k)
			from, next = max(fx, fy+k), fx-fy
		}
		for ; x > from; x-- {
			pairs = append(pairs, [2]int{x - 1, x - 1 - k})
		}
		k = next
	}
	slices.Reverse(pairs)
	return pairs
}
