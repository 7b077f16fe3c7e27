package field

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "", "a": "a", "a b": "a b", "a\tb": "a\tb", "é": "é", "\xff": "\xff",
		"\x00": "", "a\r\nb": "a  b", "a\x7f": "a", " a ": "a", "\x1ba\x00": "a",
	} {
		require.Equal(t, want, Clean(s), "%q", s)
		require.Equal(t, s == want, Valid(s), "%q", s)
		require.True(t, Valid(Clean(s)))
	}
}

// FuzzClean compares Valid with the grammar of RFC 9110, section 5.5. It checks
// that Clean returns a valid value, and does not change a value that is valid.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a", "a b", " a", "a\t", "a\tb", "\x00", "\x01", "a\r\nb: c", "\x7f", "é", "\xff", " \x00 ", "\u0085"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^([!-~\x80-\xff]([\t !-~\x80-\xff]*[!-~\x80-\xff])?)?$`)
	latin1 := func(s string) string { // converts each byte to a character
		var b strings.Builder
		for i := range len(s) {
			b.WriteRune(rune(s[i]))
		}
		return b.String()
	}
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, form.MatchString(latin1(s)), Valid(s), "%q", s)
		clean := Clean(s)
		require.True(t, Valid(clean), "%q", clean)
		if Valid(s) {
			require.Equal(t, s, clean)
		}
	})
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "",
		"GET /v2/ ä 日本":           "GET /v2/ ä 日本",
		"a\r\nb\tc\x00\x7f":       "a  b c  ",
		"\u202eexe.\u2066\u200f":  " exe.  ",
		"\x1b[31m\u009b2J":        " [31m 2J",
		"\xff":                    "\ufffd",
		strings.Repeat("ä", 3000): strings.Repeat("ä", 2046) + "…",
	} {
		if got := Printable(s); got != want {
			t.Errorf("Printable(%q) is %q, want %q", s, got, want)
		}
	}
}
