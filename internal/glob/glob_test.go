package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/glob"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "b", false},
		{"a", "ab", false},
		{"*", "app", true},
		{"*", "", true},
		{"*", "team/app", false},
		{"**", "team/app", true},
		{"**", "", true},
		{"team/*", "team/app", true},
		{"team/*", "team/app/x", false},
		{"team/*", "team", false},
		{"team/*", "other/app", false},
		{"team/**", "team/app/x", true},
		{"team/**", "team", true},
		{"team/**", "teams/app", false},
		{"team/**", "teams", false},
		{"*/app", "team/app", true},
		{"**/app", "a/b/app", true},
		{"**/app", "a/b/apps", false},
		{"a*c", "abbc", true},
		{"a*c", "ab/c", false},
		{"a**c", "ab/c", true},
		{"v?", "v1", true},
		{"v?", "v10", false},
		{"a?b", "a/b", false},
		{"*-*-x/**/z", "a-b-x/q/r/z", true},
		{"[a]", "[a]", true},
		{"**a*b", "x/ab/ab", true},
	} {
		require.Equal(t, c.want, glob.Match(c.pattern, c.name), "%q matches %q", c.pattern, c.name)
	}
}

func TestAny(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		value    string
		want     bool
	}{
		{nil, "app", false},
		{nil, "", false},
		{[]string{"app"}, "app", true},
		{[]string{"a/**", "b/**"}, "b/c", true},
		{[]string{"a/**", "b/**"}, "c", false},
		{[]string{"*", "**", "?"}, "", false},
		{[]string{"**", ""}, "", true},
		{[]string{""}, "app", false},
	} {
		require.Equal(t, c.want, glob.Any(c.patterns, c.value), "any of %q matches %q", c.patterns, c.value)
	}
	type digest string
	require.True(t, glob.Any([]string{"sha256:ab*"}, digest("sha256:abc")), "of any type of string")
}

// FuzzMatch compares with regular expressions that say the same.
func FuzzMatch(f *testing.F) {
	f.Add("team/**", "team/app")
	f.Add("a*b**c?/*", "axb//cd/e")
	f.Add("**a*b", "x/ab/ab")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 30 || len(name) > 60 || strings.ContainsFunc(pattern+name, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Skip()
		}
		expr := func(p string) string {
			s := regexp.QuoteMeta(p)
			s = strings.ReplaceAll(s, `\*\*`, `.*`)
			s = strings.ReplaceAll(s, `\*`, `[^/]*`)
			return strings.ReplaceAll(s, `\?`, `[^/]`)
		}
		text := expr(pattern)
		for p := pattern; strings.HasSuffix(p, "/**"); {
			p = strings.TrimSuffix(p, "/**")
			text += "|" + expr(p)
		}
		want := regexp.MustCompile("^(" + text + ")$").MatchString(name)
		require.Equal(t, want, glob.Match(pattern, name), "%q matches %q", pattern, name)
	})
}
