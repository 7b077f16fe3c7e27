package auth_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/auth"
)

func TestTokenService(t *testing.T) {
	r := newReg(t, auth.Bearer())
	require.NoError(t, r.Allow("anonymous pull public/**"))
	ci := r.User("ci", "pull,push team/**")
	post := func(form url.Values) *httptest.ResponseRecorder {
		return r.do("POST", "/token", header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
	}

	t.Run("anonymous", func(t *testing.T) {
		h := r.tokenOf(nil, "repository:public/app:pull,push", "repository:team/app:pull")
		require.Equal(t, 200, r.do("GET", "/v2/", h, "").Code)
		require.Equal(t, 200, r.do("GET", "/v2/public/app/manifests/v1", h, "").Code)
		require.Equal(t, 401, r.do("POST", "/v2/public/app/blobs/uploads/", h, "").Code)
		require.Equal(t, 401, r.do("GET", "/v2/team/app/manifests/v1", h, "").Code)
	})
	t.Run("only rights are granted", func(t *testing.T) {
		before := len(r.Grants())
		r.token(basic(ci), "repository:team/app:pull,push,delete repository:secret/app:pull registry:catalog:* nonsense repository:x")
		g := r.Grants()[before]
		require.Equal(t, "ci", g.User)
		require.Equal(t, host, g.Service)
		require.Len(t, g.Requested, 3)
		require.Equal(t, []auth.Scope{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}}, g.Scopes)
	})
	t.Run("password", func(t *testing.T) {
		w := post(url.Values{"grant_type": {"password"}, "username": {ci.Username}, "password": {ci.Password}, "service": {host}, "scope": {"repository:team/app:pull"}, "access_type": {"offline"}})
		require.Equal(t, 200, w.Code, w.Body)
		response := decode(t, w)
		require.Equal(t, "repository:team/app:pull", response["scope"])
		require.NotContains(t, response, "token")
		require.Equal(t, 200, r.do("GET", "/v2/team/app/manifests/v1", bearer(response["access_token"].(string)), "").Code)

		w = post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {response["refresh_token"].(string)}, "service": {host}, "scope": {"repository:team/other:push"}})
		require.Equal(t, 200, w.Code, w.Body)
		again := decode(t, w)
		require.Equal(t, response["refresh_token"], again["refresh_token"])
		require.Equal(t, 202, r.do("POST", "/v2/team/other/blobs/uploads/", bearer(again["access_token"].(string)), "").Code)
	})
	t.Run("offline token", func(t *testing.T) {
		w := r.do("GET", "/token?offline_token=true&service="+host, basic(ci), "")
		refresh := decode(t, w)["refresh_token"].(string)
		require.Equal(t, 200, post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}).Code)
		w = r.do("GET", "/token?offline_token=true&service="+host, nil, "")
		require.NotContains(t, decode(t, w), "refresh_token", "an anonymous client gets no refresh token")
	})
	t.Run("identity token", func(t *testing.T) {
		token := r.IdentityToken("ci")
		require.Equal(t, 200, post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}).Code)
		r.Revoke("ci")
		require.Equal(t, 401, post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}).Code)
	})
	t.Run("bad requests", func(t *testing.T) {
		require.Equal(t, 400, post(url.Values{"grant_type": {"authorization_code"}}).Code)
		require.Equal(t, 400, post(nil).Code)
		require.Equal(t, 401, post(url.Values{"grant_type": {"password"}, "username": {"x"}, "password": {"y"}}).Code)
		require.Equal(t, 401, post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}).Code)
		require.Equal(t, 401, post(url.Values{"grant_type": {"refresh_token"}}).Code)
		require.Equal(t, 400, r.do("POST", "/token?grant_type=password&username=ci&password="+ci.Password, nil, "").Code, "the token service ignores credentials in a URL")
		require.Equal(t, 401, r.do("GET", "/token", basic(auth.Credentials{Username: "ci", Password: "x"}), "").Code)
		require.Equal(t, 405, r.do("DELETE", "/token", nil, "").Code)
		big := url.Values{"grant_type": {"password"}, "username": {strings.Repeat("x", 1<<20)}}
		require.Equal(t, 400, post(big).Code)
	})
	t.Run("none under Basic", func(t *testing.T) {
		require.Equal(t, 404, newReg(t, auth.Basic()).do("GET", "/token", nil, "").Code)
	})
	t.Run("on a host of its own", func(t *testing.T) {
		a := auth.Bearer()
		a.Realm, a.Service = "https://auth.test/token", "registry"
		own := newReg(t, a)
		c := own.User("ci")
		require.Contains(t, own.do("GET", "/v2/", nil, "").Header().Get("WWW-Authenticate"), `realm="https://auth.test/token",service="registry"`)
		service := &reg{t, a, a.TokenHandler(), nil}
		w := service.do("GET", "/anything?service=registry&scope=repository:team/app:pull", basic(c), "")
		require.Equal(t, 200, w.Code)
		require.Equal(t, 200, own.do("GET", "/v2/team/app/manifests/v1", bearer(decode(t, w)["token"].(string)), "").Code)
		w = service.do("GET", "/token", basic(auth.Credentials{Username: "ci", Password: "x"}), "")
		require.Equal(t, 401, w.Code)
		require.Equal(t, "UNAUTHORIZED", code(t, w))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	})
}

// Like Docker Hub, the registry answers every request without a token with a
// challenge. Its token service issues tokens to clients without credentials.
func TestBearerAlways(t *testing.T) {
	r := newReg(t, auth.BearerAlways("anonymous pull public/**"))
	manifest := "/v2/public/app/manifests/v1"
	w := r.do("GET", manifest, nil, "")
	require.Equal(t, 401, w.Code)
	require.Equal(t, `Bearer realm="http://registry.test/token",service="registry.test",scope="repository:public/app:pull"`, w.Header().Get("WWW-Authenticate"))
	require.Equal(t, 401, r.do("GET", "/v2/", nil, "").Code)
	h := r.tokenOf(nil, "repository:public/app:pull,push")
	require.Equal(t, 200, r.do("GET", "/v2/", h, "").Code)
	require.Equal(t, 200, r.do("GET", manifest, h, "").Code)
	require.Equal(t, 200, r.do("GET", "/v2/public/app/tags/list", h, "").Code)
	require.Equal(t, 401, r.do("GET", "/v2/team/app/manifests/v1", h, "").Code)
	require.Equal(t, 401, r.do("POST", "/v2/public/app/blobs/uploads/", h, "").Code)
	require.Equal(t, 200, r.do("GET", manifest, r.tokenOf(basic(r.User("ci")), "repository:public/app:pull"), "").Code)
	require.Equal(t, 200, newReg(t, auth.Bearer("anonymous pull public/**")).do("GET", manifest, nil, "").Code, "Bearer serves anonymous clients")
}

func TestAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReg(t, auth.Bearer("anonymous pull public/**"))
		r.User("ci", "pull team/**")
		get := func(repo string, h header) int { return r.do("GET", "/v2/"+repo+"/manifests/v1", h, "").Code }
		token := bearer(r.AccessToken("ci", "repository:team/app:pull,push", "repository:secret/app:pull"))
		require.Equal(t, 200, get("team/app", token))
		require.Equal(t, 401, get("public/app", token), "the token does not cover this repository")
		require.Equal(t, 403, get("secret/app", token), "the user lacks the right")
		require.Equal(t, 403, r.do("POST", "/v2/team/app/blobs/uploads/", token, "").Code)
		require.Equal(t, 200, get("public/app", bearer(r.AccessToken("", "repository:public/app:pull"))))
		require.Equal(t, 200, r.do("GET", "/v2/", bearer(r.AccessToken("ci")), "").Code)
		require.Empty(t, r.Grants(), "the token service issued nothing")

		time.Sleep(5 * time.Minute)
		require.Equal(t, 401, get("team/app", token), "the token has expired")
		token = bearer(r.AccessToken("ci", "repository:team/app:pull repository:team/b:pull"))
		require.Equal(t, 200, get("team/app", token))
		r.ExpireTokens()
		require.Equal(t, 401, get("team/app", token), "ExpireTokens makes the token expire")

		require.PanicsWithValue(t, `auth: AccessToken: no user "nobody" was added; call User or AddUser first`, func() { r.AccessToken("nobody") })
		require.PanicsWithValue(t, `auth: AccessToken: "team/app" is not a scope; want one like "repository:team/app:pull"`, func() { r.AccessToken("ci", "team/app") })
	})
}

func TestStaticToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReg(t, auth.Bearer())
		r.User("ci", "pull team/**")
		get := func(repo string, h header) int { return r.do("GET", "/v2/"+repo+"/manifests/v1", h, "").Code }
		token := bearer(r.StaticToken("ci"))
		require.Equal(t, 200, get("team/app", token))
		require.Equal(t, 403, get("secret/app", token))
		require.Equal(t, 401, get("team/app", bearer("x")))
		time.Sleep(time.Hour)
		r.ExpireTokens()
		require.Equal(t, 200, get("team/app", token), "a static token does not expire")
		r.User("ci")
		require.Equal(t, 401, get("team/app", token), "a new password ends the static token")
		token = bearer(r.StaticToken("ci"))
		r.Revoke("ci")
		require.Equal(t, 401, get("team/app", token))
		require.Panics(t, func() { r.StaticToken("nobody") })
	})
}

// TokenResponse can remove fields from the response of the token service.
func TestTokenResponse(t *testing.T) {
	for _, leave := range []string{"token", "access_token"} {
		r := newReg(t, auth.Bearer())
		r.TokenResponse = func(fields map[string]any) {
			for name := range fields {
				if name != leave {
					delete(fields, name)
				}
			}
		}
		got := r.token(basic(r.User("ci")), "repository:team/app:pull")
		require.Len(t, got, 1)
		require.Equal(t, 200, r.do("GET", "/v2/team/app/manifests/v1", bearer(got[leave].(string)), "").Code)
	}
}

// The right to pull, and a token with the scope "pull", are enough to list tags,
// unless StrictList is set.
func TestListTags(t *testing.T) {
	for _, strict := range []bool{false, true} {
		r := newReg(t, auth.BearerOrBasic())
		r.StrictList = strict
		puller, lister := r.User("puller", "pull team/**"), r.User("lister", "list team/**")
		tags := func(h header) int { return r.do("GET", "/v2/team/app/tags/list", h, "").Code }
		want := map[bool]int{false: 200, true: 403}[strict]
		require.Equal(t, want, tags(basic(puller)))
		require.Equal(t, want, tags(r.tokenOf(basic(puller), "repository:team/app:pull")))
		require.Equal(t, 200, tags(basic(lister)))
		require.Equal(t, 403, r.do("GET", "/v2/_catalog", basic(puller), "").Code, "the catalog requires list")
		require.Equal(t, 403, r.do("GET", "/v2/team/app/manifests/v1", basic(lister), "").Code)
	}
}

// A token with Everything gives all rights of its user, and no others.
func TestTokenCoversEverything(t *testing.T) {
	t.Parallel()
	a := auth.Bearer()
	a.Mint = func(c *auth.Claims) { c.Everything = true }
	ci := a.User("ci", "pull public/**")
	r := newReg(t, a)
	token := decode(t, r.do("GET", "/token?scope=aws&service="+host, basic(ci), ""))["token"].(string)
	require.Equal(t, 200, r.do("GET", "/v2/public/app/manifests/v1", bearer(token), "").Code)
	require.Equal(t, 403, r.do("GET", "/v2/secret/app/manifests/v1", bearer(token), "").Code)
}

// The action metadata_read of a scope covers only lists of tags.
func TestMetadataRead(t *testing.T) {
	t.Parallel()
	a := auth.Bearer()
	ci := a.User("ci", "pull public/**")
	r := newReg(t, a)
	token := decode(t, r.do("GET", "/token?scope=repository:public/app:metadata_read+repository:secret/app:metadata_read&service="+host, basic(ci), ""))["token"].(string)
	require.Equal(t, 200, r.do("GET", "/v2/public/app/tags/list", bearer(token), "").Code)
	require.Equal(t, 401, r.do("GET", "/v2/public/app/manifests/v1", bearer(token), "").Code)
	require.NotEqual(t, 200, r.do("GET", "/v2/secret/app/tags/list", bearer(token), "").Code)
	require.Equal(t, "repository:public/app:metadata_read", a.Grants()[0].Scopes[0].String())
	require.Len(t, a.Grants()[0].Scopes, 1)
}
