package field

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Valid reports whether s can be the value of a header field (RFC 9110, section
// 5.5): it has no control characters except tabs, and no space around it.
func Valid(s string) bool {
	return !strings.ContainsFunc(s, isControl) && strings.Trim(s, " \t") == s
}

// Clean returns s with each character that is not valid in a field replaced by a
// space, and without space around the result.
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

// maxPrintable is the length in bytes at which Printable cuts a text.
const maxPrintable = 4096

// Printable returns s as a text for one line of a log. It cuts s after 4096 bytes.
// It replaces unprintable characters by spaces: line ends, control codes of
// terminals, marks that change the direction of text, and others.
func Printable(s string) string {
	return strings.Map(func(c rune) rune {
		if !strconv.IsPrint(c) {
			return ' '
		}
		return c
	}, Shorten(s, maxPrintable))
}

// Shorten returns the first characters of s, up to limit bytes. If it drops
// some, it appends "…".
func Shorten(s string, limit int) string {
	const more = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

// Seconds returns the value of a field, such as Retry-After, whose unit is seconds (RFC
// 9110, section 10.2.3). It rounds d up, so that a client that waits this long succeeds.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
