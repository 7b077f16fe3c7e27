package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// listByHand is the command of a client that prints the first page of tags. Its
// argument is the URL of the list.
func listByHand(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if w := resp.Header.Get("Warning"); w != "" {
		fmt.Println(w)
	}
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

// runCheck runs ocireg check and returns its exit code and output.
func runCheck(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"check"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "list.check")
	require.NoError(t, os.WriteFile(file, []byte("name lister\nenv OCIREG_TEST_CLIENT=1\nlist '"+exe+"' {url}/v2/{name}/tags/list\n"), 0o600))

	// The client violates no MUST. It violates a SHOULD, because it does not
	// request more pages.
	code, out, errs := runCheck(t, "-client", file)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "lister: ")
	require.Contains(t, out, "VIOLATED  tags of all pages are listed (Listing Tags)")
	require.Contains(t, out, "GET /v2/team/app/tags/list 200")

	code, out, errs = runCheck(t, "-profile", "distribution-3", "-client", file)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, ", against a registry like distribution-3\n")
	code, out, errs = runCheck(t, "-quirk", "quay.page-100", "-client", file)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, ", against a registry with quay.page-100\n")
	require.Contains(t, out, "tags of all pages are listed: a registry with quay.page-100 cannot play this scenario: ")
	// ECR requires credentials, and the client has none.
	code, out, errs = runCheck(t, "-profile", "ecr", "-client", file)
	require.Equal(t, 2, code)
	require.Empty(t, out)
	require.Contains(t, errs, "fails against a registry like ecr, so it cannot be judged")
	require.Contains(t, errs, "GET /v2/team/app/tags/list 401")

	report := filepath.Join(t.TempDir(), "report.json")
	code, out, errs = runCheck(t, "-client", file, "-strict", "-format", "json", "-o", report)
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Empty(t, errs)
	text, err := os.ReadFile(report)
	require.NoError(t, err)
	require.True(t, json.Valid(text))

	// Ocireg check hides the environment, so the test binary does not know that
	// it must act as a client.
	code, _, errs = runCheck(t, "--", exe, "-test.list", "^$", "{ref}")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "it sent no request to the registry")
}

// Each line of an error is printed on its own line. An indented line belongs
// to the one before.
func TestErrorsOfSeveralLines(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "idle.check")
	require.NoError(t, os.WriteFile(file, []byte("name idle\npull '"+exe+"' -test.list ^$ a\npush '"+exe+"' -test.list ^$ b\n"), 0o600))
	code, _, errs := runCheck(t, "-client", file)
	require.Equal(t, 2, code)
	lines := strings.Split(strings.TrimSuffix(errs, "\n"), "\n")
	require.Len(t, lines, 4, "%q", errs)
	for i, task := range []string{"pull", "push"} {
		require.Regexp(t, "^ocireg: the command for "+task+" fails .* it sent no request to the registry", lines[2*i])
		require.Regexp(t, `^    \S+ -test\.list '\^\$' [ab]$`, lines[2*i+1])
	}

	var b bytes.Buffer
	printError(&b, errors.New("one\r\n\t| \x1b[2J\n\nocireg: two\u202e\n  three"))
	require.Equal(t, "ocireg: one\n    |  [2J\nocireg: ocireg: two \n    three\n", b.String())
}

func TestCheckUsage(t *testing.T) {
	t.Parallel()
	code, out, _ := runCheck(t, "-h")
	require.Equal(t, 0, code)
	require.Contains(t, out, "  {ref}       an image in the registry")
	require.Contains(t, out, "cosign, crane, helm, oras, podman, regctl, skopeo")
	for want, args := range map[string][]string{
		"check needs a command after --, or -client":                          {},
		"-client has the commands; leave out the one after --":                {"-client", "crane", "--", "crane"},
		"-format yaml: want text, markdown, junit or json":                    {"-format", "yaml", "--", "crane"},
		"-timeout has to be above 0":                                          {"-timeout", "-1s", "--", "crane"},
		`-profile: profile: no profile is called "erc"; did you mean "ecr"`:   {"-profile", "erc", "--", "crane"},
		`no quirk is called "ecr.patch-20"; did you mean "ecr.patch-201"`:     {"-quirk", "ecr.patch-20", "--", "crane"},
		"-jobs must not be negative":                                          {"-jobs", "-1", "--", "crane"},
		"no placeholder is called {rep}; did you mean {":                      {"--", "crane", "{rep}"},
		"the clients that ocireg knows are cosign, crane, helm, oras, podman": {"-client", "missing"},
		"flag provided but not defined: -x; ocireg check -h lists":            {"-x"},
	} {
		code, out, errs := runCheck(t, args...)
		require.Equal(t, 2, code)
		require.Empty(t, out)
		require.Contains(t, errs, want)
	}
}
