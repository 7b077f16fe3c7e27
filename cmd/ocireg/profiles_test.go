package main

import (
	"bytes"
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
	require.Regexp(t, `(?m)^huawei +Huawei Cloud SWR +1 quirk$`, all)

	ecr, err := list("ecr")
	require.NoError(t, err)
	require.Contains(t, ecr, "ecr.patch-201: the response to a chunk is 201, not 202\n    https://")
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
		"-profile ecr -token":                     "-token contradicts -profile",
		"-profile distribution-3 -user ci:secret": "-user and -allow need authentication",
	} {
		_, err := parse(strings.Fields(args), nil)
		require.ErrorContains(t, err, want, args)
	}
}
