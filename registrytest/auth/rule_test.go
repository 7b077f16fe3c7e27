package auth_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// Clients have exactly the rights that the rules give them.
func TestRules(t *testing.T) {
	r := newReg(t, &auth.Auth{OpenPing: true})
	require.NoError(t, r.Allow("anonymous pull public/**"))
	require.NoError(t, r.Allow("* list public/**"))
	all := r.User("all")
	reader := r.User("reader", "pull,list team/*")
	writer := r.User("writer", "push **")
	deleter := r.User("deleter", "delete team/app")
	none := auth.Credentials{}

	upload := func(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }
	tags := func(repo string) string { return "/v2/" + repo + "/tags/list" }
	missing := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct {
		as           auth.Credentials
		method, path string
		want         int
	}{
		{none, "GET", "/v2/", 200},
		{none, "GET", blobPath("public/app"), 200},
		{none, "HEAD", blobPath("public/app"), 200},
		{none, "GET", "/v2/public/app/manifests/v1", 200},
		{none, "GET", "/v2/public/app/referrers/" + missing, 200},
		{none, "GET", tags("public/app"), 200},
		{none, "POST", upload("public/app"), 401},
		{none, "GET", blobPath("team/app"), 401},
		{none, "HEAD", blobPath("team/app"), 401},
		{none, "GET", tags("team/app"), 401},
		{none, "GET", "/v2/team/app/referrers/" + missing, 401},
		{none, "GET", "/v2/team/app/_oci/ext/discover", 401},
		{none, "GET", "/v2/_oci/ext/discover", 200},
		{none, "GET", "/v2/_catalog", 200},
		{all, "GET", blobPath("secret/app"), 200},
		{all, "POST", upload("secret/app"), 202},
		{all, "DELETE", "/v2/secret/app/manifests/v1", 202},
		{reader, "GET", blobPath("team/app"), 200},
		{reader, "GET", tags("team/app"), 200},
		{reader, "GET", tags("public/app"), 200},
		{reader, "GET", blobPath("public/app"), 200}, // a right of anonymous clients
		{reader, "POST", upload("public/app"), 403},
		{reader, "GET", blobPath("secret/app"), 403},
		{reader, "POST", upload("team/app"), 403},
		{reader, "PUT", "/v2/team/app/manifests/v2", 403},
		{reader, "PATCH", upload("team/app") + "x", 403},
		{reader, "GET", upload("team/app") + "x", 403},
		{reader, "DELETE", upload("team/app") + "x", 403},
		{reader, "DELETE", blobPath("team/app"), 403},
		{reader, "DELETE", "/v2/team/app/manifests/v1", 403},
		{writer, "POST", upload("team/app"), 202},
		{writer, "GET", blobPath("team/app"), 403},
		{writer, "GET", tags("team/app"), 403},
		{writer, "DELETE", blobPath("team/app"), 403},
		{deleter, "DELETE", "/v2/team/app/manifests/v1", 202},
		{deleter, "DELETE", blobPath("secret/app"), 403},
		{deleter, "GET", blobPath("team/app"), 403},
	} {
		h := basic(c.as)
		if c.as == none {
			h = nil
		}
		w := r.do(c.method, c.path, h, "")
		require.Equal(t, c.want, w.Code, "%q %s %s: %s", c.as.Username, c.method, c.path, w.Body)
		if c.want == 403 {
			require.Equal(t, "DENIED", code(t, w))
		}
	}
}

// A user with rules also has the rights of an anonymous client, with each
// authentication scheme.
func TestUsersMayWhatAnonymousMay(t *testing.T) {
	const rule = "anonymous pull public/**"
	for name, a := range map[string]*auth.Auth{
		"basic": auth.Basic(rule), "bearer": auth.Bearer(rule), "always": auth.BearerAlways(rule), "either": auth.BearerOrBasic(rule),
	} {
		r := newReg(t, a)
		ro := basic(r.User("ro", "pull team/**"))
		if name != "basic" {
			ro = r.tokenOf(ro, "repository:public/app:pull", "repository:secret/app:pull")
		}
		require.Equal(t, 200, r.do("GET", "/v2/public/app/manifests/v1", ro, "").Code, name)
		require.Equal(t, 200, r.do("GET", blobPath("public/app"), ro, "").Code, name)
		require.Equal(t, 403, r.do("GET", "/v2/secret/app/manifests/v1", ro, "").Code, name)
	}
}

// The response to a forbidden request does not reveal whether the repository
// exists.
func TestForbidden(t *testing.T) {
	for status, want := range map[int]string{0: "DENIED", 403: "DENIED", 404: "NAME_UNKNOWN", 401: "UNAUTHORIZED"} {
		r := newReg(t, &auth.Auth{Forbidden: status})
		c := r.User("ci", "* team/**")
		var bodies []string
		for _, repo := range []string{"secret/app", "secret/nop"} {
			for _, path := range []string{"/manifests/v1", "/manifests/v2", "/tags/list", "/referrers/" + string(digest.FromString("")), "/_oci/ext/discover"} {
				w := r.do("GET", "/v2/"+repo+path, basic(c), "")
				require.Equal(t, want, code(t, w))
				if status != 0 {
					require.Equal(t, status, w.Code)
				}
				require.Equal(t, status == 401, w.Header().Get("WWW-Authenticate") != "")
				bodies = append(bodies, strings.ReplaceAll(w.Body.String(), repo, "REPO"))
			}
		}
		require.Equal(t, bodies[:5], bodies[5:], "a response tells whether the repository exists")
	}
}

func TestParseRule(t *testing.T) {
	for _, text := range []string{"anonymous pull public/**", "* pull,list **", "ci delete team/app"} {
		r, err := auth.ParseRule(text)
		require.NoError(t, err)
		require.Equal(t, text, r.String())
	}
	for _, text := range []string{"", "ci", "ci pull", "ci pull a b", "ci fly **", "ci pull, **", "ci , **", "ci PULL **", "a:b pull **"} {
		_, err := auth.ParseRule(text)
		require.Error(t, err, text)
	}
	a := auth.Basic()
	require.Error(t, a.Allow("x"))
	for _, name := range []string{"", "a:b", "anonymous", "*", "a b"} {
		require.Error(t, a.AddUser(auth.Credentials{Username: name}), name)
	}
	require.Error(t, a.AddUser(auth.Credentials{Username: "ci"}, "fly **"))
	require.Panics(t, func() { a.User("ci", "fly **") })
}

// With an invalid rule, a server does not start, even if the test ignores the error. A
// running registry stays as it was.
func TestIgnoredErrors(t *testing.T) {
	ci := auth.Credentials{Username: "ci", Password: "secret"}
	for want, add := range map[string]func(*auth.Auth) error{
		`rule "*" of user ci: want rights and repositories, such as "pull,push team/**" or "* **"`: func(a *auth.Auth) error { return a.AddUser(ci, "*") },
		`rule "anonymous fly **": "fly" is not pull, push, delete, list or *`:                      func(a *auth.Auth) error { return a.Allow("anonymous fly **") },
		`"a b" cannot be the name of a user`:                                                       func(a *auth.Auth) error { return a.AddUser(auth.Credentials{Username: "a b"}) },
	} {
		before := auth.Basic()
		add(before)
		require.ErrorContains(t, before.Err(), want)
		require.PanicsWithValue(t, "auth: "+before.Err().Error(), func() { before.Options() })
		tb := faketb.New(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			registrytest.NewServer(tb, before)
		}()
		<-ended
		require.Len(t, tb.Errors(), 1)
		require.Contains(t, tb.Errors()[0], want)

		r := newReg(t, auth.Basic())
		require.NoError(t, r.AddUser(ci))
		require.Equal(t, 200, r.do("GET", "/v2/", basic(ci), "").Code)
		require.ErrorContains(t, add(r.Auth), want)
		require.NoError(t, r.Err())
		require.Equal(t, 200, r.do("GET", "/v2/", basic(ci), "").Code)
	}
	require.ErrorContains(t, auth.Bearer("x").Err(), `rule "x"`)
	require.ErrorContains(t, auth.Bearer("").Err(), "the rule is empty")
}
