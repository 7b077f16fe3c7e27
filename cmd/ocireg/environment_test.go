package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A variable can set each kind of flag. A flag on the command line takes precedence.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"OCIREG_ADDR": "127.0.0.1:7", "OCIREG_HOST": "registry.test", "OCIREG_QUIET": "true", "OCIREG_READ_ONLY": "true",
		"OCIREG_PAGE_SIZE": "1", "OCIREG_SPARSE": "junk/**", "OCIREG_FAULT": "ping status=418", "OCIREG_PROFILE": "ghcr",
		"OCIREG_LOG": "", "OCIREG_VERSION": "0.1.0",
	} {
		t.Setenv(name, value)
	}
	s, err := parse([]string{"-host", "other.test", "-profile=quay"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7", s.addr)
	require.Equal(t, []string{"other.test"}, s.hosts)
	require.True(t, s.quiet && s.readOnly)
	require.Equal(t, "quay", s.profile)
	require.Equal(t, "text", s.log)

	i := start(t, "-profile", "docker-hub")
	require.Equal(t, http.StatusTeapot, i.do(t, "GET", "/v2/", "").StatusCode)
}

// The error for an invalid variable does not contain a value that may be secret. The
// help and the other commands ignore the variables.
func TestEnvironmentIsWrong(t *testing.T) {
	for name, want := range map[string]string{
		"OCIREG_TOKEN": "for -token: parse error",
		"OCIREG_USER":  "for -user: want NAME:PASSWORD",
		"OCIREG_ALLOW": `for -allow: rule ":secret"`,
	} {
		t.Setenv(name, ":secret")
		got := refused(t)
		require.Contains(t, got, want)
		require.Equal(t, name == "OCIREG_ALLOW", strings.Contains(got, "secret"), got)
		t.Setenv(name, "")
	}
	t.Setenv("OCIREG_TOKEN", "secret")
	for _, args := range [][]string{{"-h"}, {"help", "flags"}, {"-version"}, {"profiles"}} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr), stderr.String())
	}
}
