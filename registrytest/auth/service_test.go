package auth_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

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
		require.Equal(t, []auth.Scope{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}}, g.Granted)
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
		require.NotContains(t, decode(t, w), "refresh_token", "anonymous has no identity")
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
		require.Equal(t, 400, r.do("POST", "/token?grant_type=password&username=ci&password="+ci.Password, nil, "").Code, "credentials in a URL are not taken")
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
	})
}
