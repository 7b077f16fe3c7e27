// Package glob matches the names of repositories, tags and users with
// patterns.
package glob

import "strings"

// Match reports whether the pattern matches the whole name. A * stands for any
// number of characters but /, a ? for one of them, and ** for any number of
// characters whatever they are. As the last element, as in team/**, it also
// matches what has no such element: team. All else stands for itself, so every
// string is a pattern.
func Match(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/**"); ok && Match(prefix, name) {
		return true
	}
	return match(pattern, name)
}

// match looks for the shortest part that each star can stand for, and comes
// back to the last one of each kind if that leads nowhere. A single star never
// has to be tried again once a double one was met, so the time it takes is at
// most the product of the lengths.
func match(pattern, name string) bool {
	type mark struct{ pattern, name int }
	single, double := mark{-1, 0}, mark{-1, 0}
	p, n := 0, 0
	for n < len(name) || p < len(pattern) {
		if p < len(pattern) {
			switch c := pattern[p]; {
			case strings.HasPrefix(pattern[p:], "**"):
				p += 2
				double, single = mark{p, n}, mark{-1, 0}
				continue
			case c == '*':
				p++
				single = mark{p, n}
				continue
			case n < len(name) && (c == name[n] || c == '?' && name[n] != '/'):
				p++
				n++
				continue
			}
		}
		switch {
		case single.pattern >= 0 && single.name < len(name) && name[single.name] != '/':
			single.name++
			p, n = single.pattern, single.name
		case double.pattern >= 0 && double.name < len(name):
			double.name++
			p, n = double.pattern, double.name
			single = mark{-1, 0}
		default:
			return false
		}
	}
	return true
}
