package auth_test

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

func TestBearer(t *testing.T) {
	r := newReg(t, auth.Bearer())
	ci := r.User("ci")

	w := r.do("GET", "/v2/", nil, "")
	require.Equal(t, 401, w.Code)
	require.Equal(t, `Bearer realm="http://registry.test/token",service="registry.test"`, w.Header().Get("WWW-Authenticate"))
	w = r.do("GET", "/v2/team/app/manifests/v1", nil, "")
	require.Equal(t, `Bearer realm="http://registry.test/token",service="registry.test",scope="repository:team/app:pull"`, w.Header().Get("WWW-Authenticate"))
	w = r.do("POST", "/v2/team/app/blobs/uploads/?mount="+string(digest.FromString(""))+"&from=a/b", nil, "")
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="repository:team/app:pull,push repository:a/b:pull"`)
	w = r.do("GET", "/v2/_catalog", nil, "")
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="registry:catalog:*"`)
	w = r.do("DELETE", "/v2/team/app/manifests/v1", nil, "")
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="repository:team/app:delete"`)

	response := r.token(basic(ci), "repository:team/app:pull")
	require.Equal(t, response["token"], response["access_token"])
	require.EqualValues(t, 300, response["expires_in"])
	_, err := time.Parse(time.RFC3339, response["issued_at"].(string))
	require.NoError(t, err)
	require.NotContains(t, response, "refresh_token")

	pull := bearer(response["token"].(string))
	require.Equal(t, 200, r.do("GET", "/v2/", pull, "").Code)
	require.Equal(t, 200, r.do("GET", "/v2/team/app/manifests/v1", pull, "").Code)
	require.Equal(t, 200, r.do("GET", "/v2/team/app/tags/list", pull, "").Code)
	w = r.do("POST", "/v2/team/app/blobs/uploads/", pull, "")
	require.Equal(t, 401, w.Code)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="repository:team/app:pull,push",error="insufficient_scope"`)
	require.Equal(t, 401, r.do("GET", "/v2/public/app/manifests/v1", pull, "").Code, "the token covers another repository")
	require.Equal(t, 401, r.do("GET", "/v2/_catalog", pull, "").Code)
	require.Equal(t, 401, r.do("GET", "/v2/", basic(ci), "").Code, "Basic is for the token service")

	both := r.tokenOf(basic(ci), "repository:team/app:pull,push", "repository:public/app:pull registry:catalog:*")
	mount := "/v2/team/app/blobs/uploads/?from=public/app&mount=" + string(digest.FromBytes(blob("public/app")))
	require.Equal(t, 201, r.do("POST", mount, both, "").Code)
	w = r.do("POST", mount, r.tokenOf(basic(ci), "repository:team/app:pull,push"), "")
	require.Equal(t, 401, w.Code, "the challenge names the scopes")
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="repository:team/app:pull,push repository:public/app:pull",error="insufficient_scope"`)
	anonymousMount := "/v2/team/app/blobs/uploads/?mount=" + string(digest.FromBytes(blob("secret/app")))
	require.Equal(t, 201, r.do("POST", anonymousMount, r.tokenOf(basic(ci), "repository:team/app:pull,push"), "").Code, "no token could name the source")
	require.JSONEq(t, `{"repositories":["public/app","secret/app","team/app"]}`, r.do("GET", "/v2/_catalog", both, "").Body.String())

	r = newReg(t, auth.Bearer("anonymous pull public/**"))
	reader := r.User("reader", "pull team/**")
	require.Equal(t, 200, r.do("GET", "/v2/public/app/manifests/v1", r.tokenOf(basic(reader), "repository:public/app:pull,push"), "").Code, "a user has the rights of an anonymous client, too")
	require.Equal(t, "repository:public/app:pull", scopes(r.Grants()[0].Scopes))

	r = newReg(t, auth.Bearer())
	few := r.User("few", "pull,push team/**")
	narrow := r.tokenOf(basic(few), "repository:team/other:pull,push repository:secret/app:pull")
	for _, from := range []string{"", "&from=secret/app"} {
		path := "/v2/team/other/blobs/uploads/?mount=" + string(digest.FromBytes(blob("secret/app"))) + from
		require.Equal(t, 202, r.do("POST", path, narrow, "").Code, "a blob is not mounted from a repository that the user may not pull")
	}
}

// A token may become invalid in the middle of a push: by the clock, by ExpireTokens,
// or because its user is revoked.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReg(t, auth.Bearer())
		r.TokenLife = time.Minute
		ci := r.User("ci")
		scope := "repository:team/app:pull,push"
		h := r.tokenOf(basic(ci), scope)
		w := r.do("POST", "/v2/team/app/blobs/uploads/", h, "")
		require.Equal(t, 202, w.Code)
		location := w.Header().Get("Location")
		require.Equal(t, 202, r.do("PATCH", location, h, "first,").Code)

		time.Sleep(time.Minute)
		w = r.do("PATCH", location, h, "lost")
		require.Equal(t, 401, w.Code)
		require.Contains(t, w.Header().Get("WWW-Authenticate"), `error="invalid_token"`)
		h = r.tokenOf(basic(ci), scope)
		require.Equal(t, "0-5", r.do("GET", location, h, "").Header().Get("Range"), "the registry stored nothing of a refused request")

		r.ExpireTokens()
		require.Equal(t, 401, r.do("PATCH", location, h, "lost").Code)
		h = r.tokenOf(basic(ci), scope)
		require.Equal(t, 202, r.do("PATCH", location, h, "second").Code)

		r.Revoke("ci")
		require.Equal(t, 401, r.do("PUT", location+"?digest="+string(digest.FromString("first,second")), h, "").Code)
		h = r.tokenOf(basic(r.User("ci")), scope)
		require.Equal(t, 201, r.do("PUT", location+"?digest="+string(digest.FromString("first,second")), h, "").Code)
	})
}

// When a user is revoked or replaced, its password and tokens become invalid. They
// remain invalid if the user is added again.
func TestTokensEndWithTheirUser(t *testing.T) {
	for name, change := range map[string]func(r *reg){
		"revoked":                 func(r *reg) { r.Revoke("ci") },
		"revoked and added again": func(r *reg) { r.Revoke("ci"); r.User("ci") },
		"a new password":          func(r *reg) { r.User("ci") },
		"other rules": func(r *reg) {
			require.NoError(t, r.AddUser(auth.Credentials{Username: "ci", Password: "x"}, "pull **"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReg(t, auth.BearerOrBasic())
			ci := r.User("ci")
			scope := "repository:team/app:pull"
			get := func(h header) int { return r.do("GET", "/v2/team/app/manifests/v1", h, "").Code }
			refresh := func(token any) int {
				form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.(string)}}.Encode()
				return r.do("POST", "/token", header{"Content-Type": {"application/x-www-form-urlencoded"}}, form).Code
			}
			access, identity := r.tokenOf(basic(ci), scope), r.IdentityToken("ci")
			offline := decode(t, r.do("GET", "/token?offline_token=true&service="+host, basic(ci), ""))["refresh_token"]
			require.Equal(t, []int{200, 200, 200, 200}, []int{get(access), get(basic(ci)), refresh(identity), refresh(offline)})
			change(r)
			require.Equal(t, []int{401, 401, 401, 401}, []int{get(access), get(basic(ci)), refresh(identity), refresh(offline)})

			again := r.User("ci")
			require.Equal(t, []int{401, 401, 401, 401}, []int{get(access), get(basic(ci)), refresh(identity), refresh(offline)})
			require.Equal(t, 200, get(basic(again)))
			require.Equal(t, 200, get(r.tokenOf(basic(again), scope)))
			require.Equal(t, 200, refresh(r.IdentityToken("ci")))
		})
	}
}

func TestUnknownUsers(t *testing.T) {
	a := auth.Bearer()
	require.PanicsWithValue(t, `auth: Revoke: no user "nobody" was added; call User or AddUser first`, func() { a.Revoke("nobody") })
	require.PanicsWithValue(t, `auth: IdentityToken: no user "nobody" was added; call User or AddUser first`, func() { a.IdentityToken("nobody") })
	a.User("ci")
	a.Revoke("ci")
	require.NotPanics(t, func() { a.Revoke("ci") }, "a user may be revoked twice")
}

func TestMisbehaviour(t *testing.T) {
	scope := "repository:team/app:pull"
	get := func(r *reg, h header) int { return r.do("GET", "/v2/team/app/manifests/v1", h, "").Code }
	t.Run("clocks that differ", func(t *testing.T) {
		r := newReg(t, auth.Bearer())
		ci := r.User("ci")
		r.SetSkew(time.Hour)
		require.Equal(t, 401, get(r, r.tokenOf(basic(ci), scope)), "the token is not valid yet")
		r.SetSkew(-time.Hour)
		require.Equal(t, 401, get(r, r.tokenOf(basic(ci), scope)), "the token has expired already")
		r.SetSkew(0)
		require.Equal(t, 200, get(r, r.tokenOf(basic(ci), scope)))
	})
	t.Run("a token for less than was asked", func(t *testing.T) {
		r := newReg(t, auth.Bearer())
		r.Mint = func(c *auth.Claims) { c.Access = nil }
		h := r.tokenOf(basic(r.User("ci")), scope)
		require.Equal(t, 200, r.do("GET", "/v2/", h, "").Code)
		require.Equal(t, 401, get(r, h))
	})
	t.Run("challenges", func(t *testing.T) {
		for _, want := range [][]string{nil, {"Bearer"}, {`bearer REALM="http://other.test/token"`}, {`Basic realm="x", Bearer realm="y",service="z"`}, {"Negotiate", `Basic realm="x"`}} {
			r := newReg(t, &auth.Auth{Challenge: func(*registry.Request, []string) []string { return want }})
			w := r.do("GET", "/v2/", nil, "")
			require.Equal(t, 401, w.Code)
			require.Equal(t, want, w.Header().Values("WWW-Authenticate"))
		}
	})
	t.Run("both schemes", func(t *testing.T) {
		r := newReg(t, auth.BearerOrBasic())
		ci := r.User("ci")
		require.Len(t, r.do("GET", "/v2/", nil, "").Header().Values("WWW-Authenticate"), 2)
		require.Equal(t, 200, get(r, basic(ci)))
		require.Equal(t, 200, get(r, r.tokenOf(basic(ci), scope)))
	})
}

// A recorder gets the user and the scopes of the token.
func TestRecord(t *testing.T) {
	var last *registry.Exchange
	r := newReg(t, auth.Bearer(), registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { last = e })))
	h := r.tokenOf(basic(r.User("ci", "pull team/**")), "repository:team/app:pull,push")
	require.Equal(t, registry.GetToken, last.Request.Op)
	require.Equal(t, "ci", last.Request.User)
	require.Equal(t, "repository:team/app:pull", last.Request.Scope)
	r.do("GET", "/v2/team/app/manifests/v1", h, "")
	require.Equal(t, "ci", last.Request.User)
	require.Equal(t, "repository:team/app:pull", last.Request.Scope)
}

// With a path prefix, the token service is below the prefix, even if TokenPath is not
// the default.
func TestTokenPath(t *testing.T) {
	t.Parallel()
	a := auth.Bearer()
	a.TokenPath = "/v2/auth"
	r := newReg(t, a, registry.WithPathPrefix("/registry"))
	challenge := r.do("GET", "/registry/v2/", nil, "").Header().Get("WWW-Authenticate")
	require.Contains(t, challenge, `realm="http://`+host+`/registry/v2/auth"`)
	require.Equal(t, 200, r.do("GET", "/registry/v2/auth", nil, "").Code)
	require.Equal(t, 404, r.do("GET", "/registry/token", nil, "").Code)
}

func TestTokensUnderAPathPrefix(t *testing.T) {
	r := newReg(t, auth.Bearer(), registry.WithPathPrefix("/registry"))
	ci := basic(r.User("ci", "pull team/**"))
	require.Contains(t, r.do("GET", "/registry/v2/", nil, "").Header().Get("WWW-Authenticate"), `realm="http://registry.test/registry/token"`)
	require.Equal(t, 404, r.do("GET", "/token?service=registry.test", nil, "").Code)
	w := r.do("GET", "/registry/token?service=registry.test&scope=repository:team/app:pull", ci, "")
	require.Equal(t, 200, w.Code, w.Body)
	token := decode(t, w)["token"].(string)
	require.Equal(t, 200, r.do("GET", "/registry/v2/team/app/manifests/v1", bearer(token), "").Code)
}
