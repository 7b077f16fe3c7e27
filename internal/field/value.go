package field

import "strings"

// Valid reports whether s can be the value of a field in a header (RFC 9110,
// section 5.5): it has no control characters but tabs, and no space around it.
func Valid(s string) bool {
	return !strings.ContainsFunc(s, isControl) && strings.Trim(s, " \t") == s
}

// Clean returns s with a space for every character that a field cannot have.
func Clean(s string) string {
	if Valid(s) {
		return s
	}
	return strings.Trim(strings.Map(func(c rune) rune {
		if isControl(c) {
			return ' '
		}
		return c
	}, s), " \t")
}

func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
