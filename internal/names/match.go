package names

import (
	"slices"
	"strings"
)

// MatchAny reports whether [Match] returns true for one of the patterns and the value
// of a request. Fault rules, journal queries and rights all use it. The value "" means
// that the request has no such value: only the pattern "" matches it, not * or **.
func MatchAny(patterns []string, value string) bool {
	if value == "" {
		return slices.Contains(patterns, "")
	}
	for _, pattern := range patterns {
		if Match(pattern, value) {
			return true
		}
	}
	return false
}

// Match reports whether the pattern matches the whole name. A * stands for any
// number of characters but /, a ? for one of them, and ** for any number of any
// characters. At the end, /** also stands for nothing: team/** matches team. All
// other characters stand for themselves, so every string is a pattern.
func Match(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/**"); ok && Match(prefix, name) {
		return true
	}
	return match(pattern, name)
}

// Fill returns a name that resembles the pattern: each * or ** is replaced by
// star, and each ? by a letter.
func Fill(pattern, star string) string {
	return strings.NewReplacer("**", star, "*", star, "?", "a").Replace(pattern)
}

// Possible reports whether the pattern can match a name for which valid returns
// true, such as a repository's. It tries the names that Fill makes with a letter,
// and with "", for each star.
func Possible(pattern string, valid func(name string) bool) bool {
	return valid(Fill(pattern, "a")) || valid(Fill(pattern, ""))
}

// match lets each star stand for the shortest text, and returns to the last star of
// each kind if the rest does not match. After a double star no earlier single star
// needs another try, so the time is at most proportional to the product of the lengths.
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

// Overlap reports whether some name matches both patterns.
func Overlap(a, b string) bool {
	if prefix, ok := strings.CutSuffix(a, "/**"); ok && Overlap(prefix, b) {
		return true
	}
	if prefix, ok := strings.CutSuffix(b, "/**"); ok && Overlap(a, prefix) {
		return true
	}
	type rest struct{ a, b string }
	seen := map[rest]bool{}
	var overlap func(a, b string) bool
	overlap = func(a, b string) bool {
		if seen[rest{a, b}] {
			return false
		}
		seen[rest{a, b}] = true
		if a == "" && b == "" {
			return true
		}
		starA, starB := star(a), star(b)
		// The star ends here, or it stands for the next character.
		if starA != "" && overlap(a[len(starA):], b) || starB != "" && overlap(a, b[len(starB):]) {
			return true
		}
		if a == "" || b == "" || !same(a, b) {
			return false
		}
		nextA, nextB := a, b
		if starA == "" {
			nextA = a[1:]
		}
		if starB == "" {
			nextB = b[1:]
		}
		return overlap(nextA, nextB)
	}
	return overlap(a, b)
}

// star returns the * or ** at the beginning of the pattern, or "".
func star(pattern string) string {
	switch {
	case strings.HasPrefix(pattern, "**"):
		return "**"
	case strings.HasPrefix(pattern, "*"):
		return "*"
	}
	return ""
}

// same reports whether the patterns can match names with the same first
// character. Neither pattern may be empty.
func same(a, b string) bool {
	if star(a) == "**" || star(b) == "**" {
		return true
	}
	wildA, wildB := a[0] == '*' || a[0] == '?', b[0] == '*' || b[0] == '?'
	switch {
	case wildA && wildB:
		return true
	case wildA:
		return b[0] != '/'
	case wildB:
		return a[0] != '/'
	}
	return a[0] == b[0]
}
