package check

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	c, err := Parse("# a client\nname my client\nversion c --version\nsetup c set {registry}\nenv A=1 'B=2 3'\n\npull c pull 'a b' {ref} \"\" x\"y\"z\n  list\tc ls {repo}\n")
	require.NoError(t, err)
	require.Equal(t, Client{
		Name:    "my client",
		Version: []string{"c", "--version"},
		Setup:   [][]string{{"c", "set", "{registry}"}},
		Env:     []string{"A=1", "B=2 3"},
		Tasks:   []Task{{"pull", []string{"c", "pull", "a b", "{ref}", "", "xyz"}}, {"list", []string{"c", "ls", "{repo}"}}},
	}, c)

	for text, want := range map[string]string{
		"":                             "there is no line with the name of the client",
		"name c":                       "there is no line with a task and its command",
		"name a\nname b":               "line 2: name is given twice",
		"version a\nversion b":         "line 2: version is given twice",
		"pull c {reff}":                "line 1: no placeholder is called {reff}; did you mean {ref}?",
		"pull c {something}":           "line 1: no placeholder is called {something}; want one of {registry}",
		"pull":                         "line 1: pull has no value",
		"pull ''":                      "line 1: pull has no value",
		"Pull c":                       `line 1: "Pull" is not the name of a task`,
		"env A":                        `line 1: env has "A", want NAME=VALUE`,
		"pull 'c":                      "line 1: a quote (') is not closed",
		"name c\npull c a\npull c b\n": "line 3: the task pull is given twice; give the second another name, such as pull-2",
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, want, "%q", text)
	}
}

func TestOne(t *testing.T) {
	c, err := One([]string{"/usr/bin/crane", "--insecure", "pull", "{ref}"})
	require.NoError(t, err)
	require.Equal(t, Client{Name: "crane", Tasks: []Task{{"pull", []string{"/usr/bin/crane", "--insecure", "pull", "{ref}"}}}}, c)
	_, err = One([]string{"crane", "pull", "{rep}"})
	require.ErrorContains(t, err, "no placeholder is called {rep}")
	_, err = One(nil)
	require.ErrorContains(t, err, "there is no command")
}

// Known lists the clients that the package knows, and Get returns each of them.
func TestKnown(t *testing.T) {
	require.Equal(t, "cosign, crane, helm, oras, podman, regctl, skopeo", Known())
	for name := range strings.SplitSeq(Known(), ", ") {
		c, ok := Get(name)
		require.True(t, ok, name)
		require.Equal(t, name, c.Name)
		require.Equal(t, name, c.Version[0])
	}
	_, ok := Get("../clients/crane")
	require.False(t, ok)
}

func FuzzParse(f *testing.F) {
	f.Add("name c\npull c 'a b' {ref}\nenv A=1")
	f.Add("setup \"a'b\" {dir}/x")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, c.Name)
		for _, task := range c.Tasks {
			require.NotEmpty(t, task.Args[0])
			require.Len(t, expand(task.Args, map[string]string{"ref": "x"}), len(task.Args))
		}
	})
}
