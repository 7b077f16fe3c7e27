package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The banner links to the page of the control API, which is served without the
// token. The fragment of the link has the token.
func TestPageOfControl(t *testing.T) {
	t.Setenv(tokenVariable, `a/b%20"c`)
	i := start(t, "-control", "127.0.0.1:0")
	_, text, found := strings.Cut(i.banner[1], " page ")
	require.True(t, found, i.banner[1])
	link, err := url.Parse(text)
	require.NoError(t, err)
	require.Equal(t, `a/b%20"c`, link.Fragment)

	resp, err := i.client.Get(link.String())
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "require-trusted-types-for 'script'")
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(page), `src="page.mjs"`)

	resp, err = i.client.Get("http://" + link.Host + "/v1/")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}
