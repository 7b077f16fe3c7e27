package names_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/names"
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
		require.Equal(t, c.want, names.Match(c.pattern, c.name), "Match(%q, %q)", c.pattern, c.name)
	}
}

func TestMatchAny(t *testing.T) {
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
		require.Equal(t, c.want, names.MatchAny(c.patterns, c.value), "MatchAny(%q, %q)", c.patterns, c.value)
	}
	require.True(t, names.MatchAny([]string{"sha256:ab*"}, "sha256:abc"))
}

// FuzzMatch compares Match with a regular expression made from the pattern.
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
		require.Equal(t, want, names.Match(pattern, name), "Match(%q, %q)", pattern, name)
	})
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v1", "v1", true},
		{"v1", "v2", false},
		{"", "", true},
		{"", "v1", false},
		{"v*", "*-rc", true},
		{"v1*", "v2*", false},
		{"v?", "v10", false},
		{"v?", "?1", true},
		{"a*", "*b", true},
		{"a*b", "b*", false},
		{"a/**", "**/b", true},
		{"a/**", "a", true},
		{"a/**", "b/**", false},
		{"a/**/b", "a/*", false},
		{"a/*", "a/*/c", false},
		{"a/*", "*/*/c", false},
		{"a/**", "*/*/c", true},
		{"*", "a/b", false},
		{"**", "a/b", true},
		{"?", "/", false},
		{"**x**y", "a*z", false},
		{strings.Repeat("*a", 40), strings.Repeat("*b", 40), false},
	} {
		require.Equal(t, c.want, names.Overlap(c.a, c.b), "Overlap(%q, %q)", c.a, c.b)
		require.Equal(t, c.want, names.Overlap(c.b, c.a), "Overlap(%q, %q)", c.b, c.a)
	}
}

// FuzzOverlap searches for a name that two short patterns both match, and
// compares with Overlap.
func FuzzOverlap(f *testing.F) {
	f.Add("a/**", "**/b")
	f.Add("a*b", "?*")
	f.Add("**a", "*/a")
	var all []string
	for last := []string{""}; len(all) < 300; {
		all = append(all, last...)
		var next []string
		for _, name := range last {
			next = append(next, name+"a", name+"b", name+"/")
		}
		last = next
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 5 || len(b) > 5 || strings.ContainsFunc(a+b, func(r rune) bool { return !strings.ContainsRune("ab/*?", r) }) {
			t.Skip()
		}
		want := false
		for _, name := range all {
			want = want || names.Match(a, name) && names.Match(b, name)
		}
		if want {
			require.True(t, names.Overlap(a, b), "Overlap(%q, %q)", a, b)
		} else if len(a)+len(b) <= 5 { // If both match a name, they match one that is short enough to be found.
			require.False(t, names.Overlap(a, b), "Overlap(%q, %q)", a, b)
		}
	})
}
