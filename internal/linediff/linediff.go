// Package linediff shows how two lists of lines differ.
package linediff

import (
	"fmt"
	"slices"
	"strings"
)

const (
	diffContext = 3       // how many lines that are the same are shown around others
	maxDiffWork = 4 << 20 // how many pairs of lines are compared at the most
)

// Lines returns how the lines that were got differ from those that were
// wanted, line by line, or "" if they do not. It shows a line that was got, by
// its index, as show says.
func Lines(want, got []string, show func(i int) string) string {
	if slices.Equal(want, got) {
		return ""
	}
	type line struct {
		mark byte
		text string
	}
	var lines []line
	common := commonLines(want, got)
	w, g := 0, 0
	for _, c := range append(common, [2]int{len(want), len(got)}) {
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
	same := func(l line) bool { return l.mark == ' ' }
	for len(lines) > 0 {
		n := 0
		for n < len(lines) && same(lines[n]) {
			n++
		}
		head, tail := diffContext, diffContext
		if b.Len() == 0 {
			head = 0
		}
		if n == len(lines) {
			tail = 0
		}
		if n > head+tail+1 {
			for _, l := range lines[:head] {
				fmt.Fprintf(&b, "%c %s\n", l.mark, l.text)
			}
			fmt.Fprintf(&b, "  … %d lines that are the same\n", n-head-tail)
			lines, n = lines[n-tail:], tail
		}
		n = min(n+1, len(lines))
		for _, l := range lines[:n] {
			fmt.Fprintf(&b, "%c %s\n", l.mark, l.text)
		}
		lines = lines[n:]
	}
	return b.String()
}

// commonLines returns the pairs of indexes of lines that are the same in both,
// in ascending order, as many as can be found.
func commonLines(a, b []string) (pairs [][2]int) {
	from := 0
	for from < len(a) && from < len(b) && a[from] == b[from] {
		pairs = append(pairs, [2]int{from, from})
		from++
	}
	after := 0
	for after < len(a)-from && after < len(b)-from && a[len(a)-1-after] == b[len(b)-1-after] {
		after++
	}
	x, y := a[from:len(a)-after], b[from:len(b)-after]
	if len(x)*len(y) <= maxDiffWork {
		// longest[i][j] is how many lines x[i:] and y[j:] have in common.
		longest := make([][]int, len(x)+1)
		for i := range longest {
			longest[i] = make([]int, len(y)+1)
		}
		for i := len(x) - 1; i >= 0; i-- {
			for j := len(y) - 1; j >= 0; j-- {
				if x[i] == y[j] {
					longest[i][j] = longest[i+1][j+1] + 1
				} else {
					longest[i][j] = max(longest[i+1][j], longest[i][j+1])
				}
			}
		}
		for i, j := 0, 0; i < len(x) && j < len(y); {
			switch {
			case x[i] == y[j]:
				pairs = append(pairs, [2]int{from + i, from + j})
				i, j = i+1, j+1
			case longest[i+1][j] >= longest[i][j+1]:
				i++
			default:
				j++
			}
		}
	}
	for i := range after {
		pairs = append(pairs, [2]int{len(a) - after + i, len(b) - after + i})
	}
	return pairs
}
