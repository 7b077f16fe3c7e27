package control

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func parseSession(text string) (s session, err error) {
	err = s.UnmarshalText([]byte(text))
	return s, err
}

func TestSession(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]session{
		"team":          {repo: "team"},
		"team/app/":     {repo: "team/app"},
		"X-Test: 7":     {name: "X-Test", value: "7"},
		" x-test :a: b": {name: "X-Test", value: "a: b"},
	} {
		got, err := parseSession(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "Team", "a//b", "/", "a b", ":", "x:", ": x", "a b: c", "x: *", "x: a,b", "?x: y", "!x: y", "cookie: x", "authorization: x", "x: a?"} {
		_, err := parseSession(text)
		require.Error(t, err, text)
	}
	team := session{repo: "team"}
	for repo, want := range map[string]bool{"team": true, "team/app": true, "team2": false, "team2/app": false, "": false, "a/team": false} {
		require.Equal(t, want, team.hasRepo(repo), repo)
	}
}

// UnmarshalText parses the result of String to the same session.
func FuzzSession(f *testing.F) {
	for _, text := range []string{"", "team/app", "X-Test: 7", ":", "x:*"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSession(text)
		if err != nil {
			return
		}
		again, err := parseSession(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
		require.False(t, strings.ContainsAny(s.value, "*?"))
	})
}
