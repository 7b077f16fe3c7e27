package names

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// These are regular expressions from the distribution spec and image-spec.
var (
	component = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
	nameForm  = regexp.MustCompile(`^` + component + `(\/` + component + `)*$`)
	partForm  = regexp.MustCompile(`^` + component + `$`)
	tagForm   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	hexForm   = regexp.MustCompile(`^[0-9a-f]*$`)

	// Digests have a general form, and registered algorithms have a stricter one.
	digestForm = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$`)
	registered = regexp.MustCompile(`^((sha256|blake3):[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})$`)
	special    = regexp.MustCompile(`^(sha256|sha384|sha512|blake3):`)
)

func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"", "a", "a/b", "a.b", "a_b", "a__b", "a___b", "a-b", "a----b", "a..b", "a.-b", "a/", "/a", "a//b", "A", "a.", "_a", "a_",
		"0123456789abcdef", "abcdefg", "ABCDEF", "/", ":", "`", "latest", "V1.2-3_4", ".a", "-a", "a:b", "a\n", "é",
		strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", MaxLength), strings.Repeat("a", MaxLength+1),
		"sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("A", 64), "sha384:" + strings.Repeat("0", 96),
		"sha512:" + strings.Repeat("0", 127), "blake3:" + strings.Repeat("0", 64), "md5:0", "multihash+base58:QmRZ", "sha256+b64u:LCa0a2j_xo_=",
		":", "a:", ":a", "a+:b", "a++b:c", "a:b:c", "a:é",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// In a regular expression of Go, $ matches only the end of the
		// text, not of a line.
		require.Equal(t, len(s) <= MaxLength && nameForm.MatchString(s), Repository(s), "repository %q", s)
		require.Equal(t, len(s) <= MaxLength && partForm.MatchString(s), Component(s), "component %q", s)
		require.Equal(t, tagForm.MatchString(s), Tag(s), "tag %q", s)
		algorithm, encoded, err := Digest(s)
		require.Equal(t, registered.MatchString(s) || digestForm.MatchString(s) && !special.MatchString(s), err == nil, "digest %q: %v", s, err)
		if err == nil {
			require.Equal(t, s, algorithm+":"+encoded)
		}
		require.Equal(t, hexForm.MatchString(s), Hex(s), "hexadecimal number %q", s)
	})
}
