package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func basic(pair string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// Users have to authenticate, and -allow gives them rights.
func TestUsers(t *testing.T) {
	t.Parallel()
	i := start(t, "-user", "ci:secret", "-user", "ro:other", "-allow", "ro pull team/*", "-allow", "anonymous pull public/**")
	upload := func(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }
	manifest := func(repo string) string { return "/v2/" + repo + "/manifests/v1" }
	for _, c := range []struct {
		who, method, path string
		want              int
	}{
		{"", "GET", "/v2/", 401},
		{"ci:secret", "GET", "/v2/", 200},
		{"ci:wrong", "GET", "/v2/", 401},
		{"ci:secret", "POST", upload("team/app"), 202},
		{"ro:other", "POST", upload("team/app"), 403},
		{"ro:other", "GET", manifest("team/app"), 404},
		{"ro:other", "GET", manifest("secret/app"), 403},
		{"", "GET", manifest("public/app"), 404},
		{"ro:other", "GET", manifest("public/app"), 404},
		{"", "GET", manifest("team/app"), 401},
	} {
		var header []string
		if c.who != "" {
			header = []string{"Authorization", basic(c.who)}
		}
		require.Equal(t, c.want, i.do(t, c.method, c.path, "", header...).StatusCode, "%+v", c)
	}
}

// With -token, the registry issues tokens.
func TestToken(t *testing.T) {
	t.Parallel()
	i := start(t, "-token", "-user", "ci:secret")
	challenge := i.do(t, "GET", "/v2/", "").Header.Get("WWW-Authenticate")
	require.Contains(t, challenge, `Bearer realm="`+i.url+`/token"`)
	answer := i.do(t, "GET", "/token?service="+i.host+"&scope=repository:app:pull,push", "", "Authorization", basic("ci:secret"))
	var token struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(answer.body), &token))
	require.Equal(t, http.StatusAccepted, i.do(t, "POST", "/v2/app/blobs/uploads/", "", "Authorization", "Bearer "+token.Token).StatusCode)
}

// A rule of -fault takes effect as many times as it says.
func TestFault(t *testing.T) {
	t.Parallel()
	i := start(t, "-fault", "get-manifest repo=team/* times=2 status=503 retry-after=7", "-fault", "ping once code=DENIED")
	for range 2 {
		answer := i.do(t, "GET", "/v2/team/app/manifests/v1", "")
		require.Equal(t, 503, answer.StatusCode)
		require.Equal(t, "7", answer.Header.Get("Retry-After"))
	}
	require.Equal(t, 404, i.do(t, "GET", "/v2/team/app/manifests/v1", "").StatusCode)
	require.Equal(t, 403, i.do(t, "GET", "/v2/", "").StatusCode)
	require.Equal(t, 200, i.do(t, "GET", "/v2/", "").StatusCode)
}

// Rules of -fault may set bodies and header fields. The last rule that matches a
// request applies to it.
func TestFaultWords(t *testing.T) {
	t.Parallel()
	i := start(t, "-fault", "ping status=503 retry-after=date:60 body=html", "-fault", "ping once status=429 body=text:later add-header=X:1 add-header=X:2")
	first, second := i.do(t, "GET", "/v2/", ""), i.do(t, "GET", "/v2/", "")
	require.Equal(t, 429, first.StatusCode, "the last rule that matches applies")
	require.Equal(t, "later", first.body)
	require.Equal(t, []string{"1", "2"}, first.Header["X"])
	require.Equal(t, 503, second.StatusCode)
	require.Equal(t, "text/html", second.Header.Get("Content-Type"))
	_, err := http.ParseTime(second.Header.Get("Retry-After"))
	require.NoError(t, err)

	for rule, want := range map[string]string{
		"get-blob reset=headr:10": "reset=headr:10: not a place",
		"get-blbo close":          `did you mean "get-blob"?`,
		"get-blob stauts=503":     `did you mean "status"?`,
		"get-blob tag=v1 close":   "no get-blob request has a tag",
	} {
		_, err := parse([]string{"-fault", rule}, io.Discard)
		require.ErrorContains(t, err, want)
	}
}

// Rights that differ between the repositories of one layout end the command before
// it listens. A tree of layouts keeps the rights of its repositories apart.
func TestRightsOverALayout(t *testing.T) {
	t.Parallel()
	layout, tree := t.TempDir(), t.TempDir()
	makeLayout(t, layout, "pub/x:v1", "priv/x:v1")
	makeLayout(t, filepath.Join(tree, "pub", "x"), "v1")
	makeLayout(t, filepath.Join(tree, "priv", "x"), "v1")
	rights := []string{"-addr", ":0", "-user", "ci:secret", "-allow", "anonymous pull pub/**"}
	require.Equal(t, `an anonymous client may pull in some repositories only, but the repositories of this store share their blobs, `+
		`so that would reach all; allow "pull **", or serve a tree of layouts, whose repositories are separate`,
		refused(t, append(rights, layout)...))
	i := start(t, append(rights, tree)...)
	require.Equal(t, 200, i.do(t, "GET", "/v2/pub/x/manifests/v1", "").StatusCode)
	require.Equal(t, 401, i.do(t, "GET", "/v2/priv/x/manifests/v1", "").StatusCode)
	everywhere := start(t, "-user", "ci:secret", "-allow", "anonymous pull **", layout)
	require.Equal(t, 200, everywhere.do(t, "GET", "/v2/priv/x/manifests/v1", "").StatusCode)
}
