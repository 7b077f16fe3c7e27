package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListProfiles(t *testing.T) {
	t.Parallel()
	list := func(args ...string) (string, error) {
		var b bytes.Buffer
		err := listProfiles(args, &b)
		return b.String(), err
	}
	all, err := list()
	require.NoError(t, err)
	require.Regexp(t, `(?m)^ecr +Amazon ECR +\d+ quirks$`, all)
	require.Regexp(t, `(?m)^huawei +Huawei Cloud SWR +2 quirks$`, all)

	ecr, err := list("ecr")
	require.NoError(t, err)
	require.Contains(t, ecr, "ecr.patch-201: the response to a chunk is 201, not 202\n    https://")
	require.Contains(t, ecr, "ecr.immutable-tags (setting, profile.With in Go): a repository may have immutable tags")
	old, err := list("ecr@2023-01")
	require.NoError(t, err)
	require.Contains(t, old, "; from ? until 2024-06)")

	_, err = list("erc")
	require.EqualError(t, err, `profile: no profile is called "erc"; did you mean "ecr"?`)
	_, err = list("ecr", "quay")
	require.ErrorContains(t, err, "takes the name of one profile, got 2")
}

func TestProfileOfCommand(t *testing.T) {
	t.Parallel()
	i := start(t, "-profile", "ecr")
	r := i.do(t, "GET", "/v2/", "")
	require.Equal(t, "401 Unauthorized", r.Status)
	require.Contains(t, r.Header.Get("WWW-Authenticate"), "ecr.amazonaws.com")
	require.Contains(t, i.banner[1], "docker login --username AWS --password ")

	i = start(t, "-profile", "ecr", "-user", "ci:secret")
	require.NotContains(t, i.banner[1], "docker login")

	for args, want := range map[string]string{
		"-profile erc":                            `-profile: profile: no profile is called "erc"; did you mean "ecr"?`,
		"-profile ecr.immutable-tags":             "-profile ecr.immutable-tags: ecr.immutable-tags is a quirk",
		"-profile ecr+ecr.immutable-tags":         "for settings and single quirks there is profile.With in Go",
		"-profile ecr -token":                     "-token contradicts -profile",
		"-profile ecr -profile ghcr":              "-profile ecr is given already",
		"-profile=":                               "want a name",
		"-profile ecr -create Team/**":            `Repositories: no repository can have the name "Team/**"`,
		"-create team/**":                         "-create needs -profile",
		"-profile distribution-3 -user ci:secret": "-user and -allow need authentication",
	} {
		_, err := parse(strings.Fields(args), nil)
		require.ErrorContains(t, err, want, args)
	}
}

// With -create, clients push to a registry whose repositories have to exist.
func TestCreate(t *testing.T) {
	t.Parallel()
	i := start(t, "-profile", "ecr", "-user", "ci:secret", "-create", "team/**")
	post := func(repo string) string {
		r, err := http.NewRequest("POST", i.url+"/v2/"+repo+"/blobs/uploads/", nil)
		require.NoError(t, err)
		r.SetBasicAuth("ci", "secret")
		resp, err := i.client.Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.Status
	}
	require.Equal(t, "202 Accepted", post("team/app"))
	require.Equal(t, "404 Not Found", post("other/app"))
}

// The banner names the repositories to which clients can push.
func TestBannerOfCreate(t *testing.T) {
	t.Parallel()
	last := func(args ...string) string {
		i := start(t, args...)
		return strings.ReplaceAll(strings.Join(i.banner[2:], "\n"), i.host, "HOST")
	}
	require.Equal(t, "no repository exists; -create PATTERN makes some", last("-profile", "ecr"))
	require.Equal(t, "push to HOST/team/…:TAG\npush to HOST/app:TAG", last("-profile", "ecr", "-create", "team/**", "-create", "app"))
	require.Equal(t, "push to HOST/NAME:TAG", last("-profile", "ghcr", "-create", "team/**"))
}

// A flag that contradicts the profile ends the command before it says that it
// serves.
func TestContradiction(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-profile", "quay", "-page-size", "10"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "both set the page size")
	require.Empty(t, stdout.String())
}
