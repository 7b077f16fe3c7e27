package names

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The forms as the spec has them.
var (
	component = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
	nameForm  = regexp.MustCompile(`^` + component + `(\/` + component + `)*$`)
	partForm  = regexp.MustCompile(`^` + component + `$`)
	tagForm   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	hexForm   = regexp.MustCompile(`^[0-9a-f]*$`)
)

func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"", "a", "a/b", "a.b", "a_b", "a__b", "a___b", "a-b", "a----b", "a..b", "a.-b", "a/", "/a", "a//b", "A", "a.", "_a", "a_",
		"0123456789abcdef", "abcdefg", "ABCDEF", "/", ":", "`", "latest", "V1.2-3_4", ".a", "-a", "a:b", "a\n", "é",
		strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", MaxLength), strings.Repeat("a", MaxLength+1),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// In Go, $ is the end of the text and no end of a line.
		require.Equal(t, len(s) <= MaxLength && nameForm.MatchString(s), Repository(s), "repository %q", s)
		require.Equal(t, len(s) <= MaxLength && partForm.MatchString(s), Component(s), "component %q", s)
		require.Equal(t, tagForm.MatchString(s), Tag(s), "tag %q", s)
		require.Equal(t, hexForm.MatchString(s), Hex(s), "hexadecimal number %q", s)
	})
}
