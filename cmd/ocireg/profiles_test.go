package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/profile"
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
	require.Contains(t, ecr, "ecr.patch-201:\n    the response to a chunk is 201, not 202\n    github.com/regclient/regclient (workaround, 2021-12)\n")
	require.Contains(t, ecr, "\n    https://github.com/aws/containers-roadmap/issues/1970 (issue, 2023-03)\n")
	require.Contains(t, ecr, "ecr.immutable-tags (setting, which -quirk adds):\n    a repository may have immutable tags")
	old, err := list("ecr@2023-01")
	require.NoError(t, err)
	require.Contains(t, old, "; from ? until 2024-06)")

	one, err := list("ecr.patch-201")
	require.NoError(t, err)
	require.Contains(t, ecr, one)

	_, err = list("erc")
	require.EqualError(t, err, `profile: no profile is called "erc"; did you mean "ecr"?`)
	_, err = list("ecr", "quay")
	require.ErrorContains(t, err, "takes the name of one profile, got 2")
}

// The help about profiles lists all quirks. The command describes each of them, and
// -quirk accepts each. No line has more than 100 characters, so long URLs are
// shortened; docs/profiles.md has the whole URLs.
func TestHelpAboutProfiles(t *testing.T) {
	t.Parallel()
	_, names, ok := strings.Cut(helpAbout(t, "profiles"), "describes them:\n\n")
	require.True(t, ok)
	listed := strings.Fields(names)
	var all []string
	for q := range profile.AllQuirks() {
		all = append(all, string(q))
	}
	require.Equal(t, all, listed)
	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "profiles.md"))
	require.NoError(t, err)
	for _, name := range listed {
		var b bytes.Buffer
		require.NoError(t, listProfiles([]string{name}, &b))
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		require.Equal(t, name+":", lines[0])
		_, err := parse([]string{"-quirk", name}, nil)
		require.NoError(t, err)
		for _, line := range lines {
			require.LessOrEqual(t, utf8.RuneCountInString(line), 100, line)
		}
		url := profile.Quirk(name).Fact().Source
		source, _, _ := strings.Cut(strings.TrimSpace(lines[len(lines)-1]), " ")
		require.Contains(t, url, source)
		require.True(t, strings.Contains(string(document), "]("+url+")"), url)
	}
}

// The command can imitate single quirks, alone or on top of those of a profile.
func TestQuirksOfCommand(t *testing.T) {
	t.Parallel()
	patch := func(i *instance) string {
		r := i.do(t, "POST", "/v2/team/app/blobs/uploads/", "")
		require.Equal(t, "202 Accepted", r.Status)
		return i.do(t, "PATCH", r.Header.Get("Location"), "x").Status
	}
	require.Equal(t, "202 Accepted", patch(start(t)))
	i := start(t, "-quirk", "ecr.patch-201,quay.upload-range")
	require.Equal(t, "201 Created", patch(i))
	require.Equal(t, "bytes=0--1", i.do(t, "POST", "/v2/team/app/blobs/uploads/", "").Header.Get("Range"))
	require.Len(t, i.banner, 2, "a quirk about uploads brings no authentication")
	require.Equal(t, "201 Created", patch(start(t, "-profile", "distribution-3", "-quirk", "ecr.patch-201")))

	// A quirk that concerns authentication brings the authentication of its
	// registry, even if it is not the first.
	i = start(t, "-quirk", "ecr.patch-201", "-quirk", "acr.challenge")
	require.Contains(t, i.do(t, "GET", "/v2/", "").Header.Get("WWW-Authenticate"), "/oauth2/token")
	require.Contains(t, i.banner[1], "docker login --username ")
	i = start(t, "-quirk", "ecr.patch-201", "-user", "ci:secret")
	require.Contains(t, i.do(t, "GET", "/v2/", "").Header.Get("WWW-Authenticate"), "Basic ")
	i = start(t, "-quirk", "ecr.repository-must-exist", "-create", "team/**")
	require.Equal(t, "202 Accepted", i.do(t, "POST", "/v2/team/app/blobs/uploads/", "").Status)
	require.Equal(t, "404 Not Found", i.do(t, "POST", "/v2/app/blobs/uploads/", "").Status)

	for args, want := range map[string]string{
		"-quirk ecr.patch-20":   `no quirk is called "ecr.patch-20"; did you mean "ecr.patch-201"?; ocireg help profiles lists the quirks`,
		"-quirk=":               "want the name of a quirk, such as ecr.patch-201",
		"-quirk ecr.patch-201,": "want the name of a quirk, such as ecr.patch-201",
		"-quirk ghcr":           "ghcr is a registry, for -profile",
		"-quirk ecr.patch-201 -quirk ecr.patch-201":          "ecr.patch-201 is given twice",
		"-quirk ecr.patch-201 -profile ecr":                  "-quirk ecr.patch-201: the profile ecr has it already",
		"-quirk ghcr.no-referrers,distribution.no-referrers": "contradict each other: both decide the feature list-referrers; leave one out",
		"-quirk distribution.no-referrers -profile ghcr":     "ghcr.no-referrers and distribution.no-referrers contradict each other",
		"-quirk acr.challenge -profile distribution-3":       "With adds acr.challenge, which needs a token service; this registry has no authentication",
		"-quirk acr.challenge -token":                        "-token contradicts -quirk",
	} {
		_, err := parse(strings.Fields(args), nil)
		require.ErrorContains(t, err, want, args)
	}
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
		"-profile ecr+ecr.immutable-tags":         "-quirk ecr.immutable-tags adds it",
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

// Clients can push to the repositories of -create in a registry where
// repositories must exist before a push.
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

// A flag that contradicts the profile ends the command before it prints the banner.
func TestContradiction(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	for _, flag := range [][]string{{"-profile", "quay"}, {"-quirk", "quay.page-100"}} {
		stderr.Reset()
		require.Equal(t, 2, run(t.Context(), append(flag, "-addr", "127.0.0.1:0", "-page-size", "10"), &stdout, &stderr))
		require.Contains(t, stderr.String(), "both set the page size")
		require.Empty(t, stdout.String())
	}
}
