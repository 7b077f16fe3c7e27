package auth_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/auth"
)

// host is where the registry of a test believes to be.
const host = "registry.test"

// A reg is a registry behind an Auth. All of the tests look at it through its
// handler.
type reg struct {
	t *testing.T
	*auth.Auth
	http.Handler
	store registry.Store
}

// newReg returns a registry that has the blob of each of the repositories.
func newReg(t *testing.T, a *auth.Auth, opts ...registry.Option) *reg {
	store := memstore.New()
	for _, repo := range []string{"public/app", "team/app", "secret/app"} {
		content := blob(repo)
		w, err := store.CreateBlob(t.Context(), repo, int64(len(content)))
		require.NoError(t, err)
		_, err = w.Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Commit(t.Context(), digest.FromBytes(content)))
		require.NoError(t, w.Close())
		m := registry.Manifest{MediaType: "application/vnd.test", Content: []byte(`{"repo":"` + repo + `"}`)}
		m.Digest = digest.FromBytes(m.Content)
		require.NoError(t, store.PutManifest(t.Context(), repo, m, []string{"v1"}, nil))
	}
	h := registry.New(store, append(a.Options(), opts...)...)
	return &reg{t, a, h, store}
}

func blob(repo string) []byte { return []byte("the blob of " + repo) }

func blobPath(repo string) string {
	return "/v2/" + repo + "/blobs/" + string(digest.FromBytes(blob(repo)))
}

// A header is what a request has in its header.
type header = http.Header

func basic(c auth.Credentials) header {
	r := &http.Request{Header: header{}}
	r.SetBasicAuth(c.Username, c.Password)
	return r.Header
}

func bearer(token string) header { return header{"Authorization": {"Bearer " + token}} }

func (r *reg) do(method, target string, h header, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://"+host+target, strings.NewReader(body))
	req.Host = host
	for k, v := range h {
		req.Header[k] = v
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// token asks the token service for a token and returns the answer.
func (r *reg) token(h header, scopes ...string) map[string]any {
	r.t.Helper()
	w := r.do("GET", "/token?"+url.Values{"service": {host}, "scope": scopes}.Encode(), h, "")
	require.Equal(r.t, http.StatusOK, w.Code, w.Body)
	return decode(r.t, w)
}

func (r *reg) tokenOf(h header, scopes ...string) header {
	r.t.Helper()
	return bearer(r.token(h, scopes...)["token"].(string))
}

func decode(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v), w.Body)
	return v
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	return decode(t, w)["errors"].([]any)[0].(map[string]any)["code"].(string)
}

func TestBasic(t *testing.T) {
	r := newReg(t, &auth.Auth{})
	ci := r.User("ci")

	w := r.do("GET", "/v2/", nil, "")
	require.Equal(t, 401, w.Code)
	require.Equal(t, `Basic realm="registry"`, w.Header().Get("WWW-Authenticate"))
	require.Equal(t, "UNAUTHORIZED", code(t, w))
	require.Equal(t, "registry/2.0", w.Header().Get("Docker-Distribution-Api-Version"))

	require.Equal(t, 200, r.do("GET", "/v2/", basic(ci), "").Code)
	require.Equal(t, 200, r.do("GET", blobPath("team/app"), basic(ci), "").Code)
	lower := header{"Authorization": {strings.Replace(basic(ci).Get("Authorization"), "Basic", "bAsIc", 1)}}
	require.Equal(t, 200, r.do("GET", "/v2/", lower, "").Code, "RFC 9110, section 11.1: the scheme is case-insensitive")

	for name, h := range map[string]header{
		"another password": basic(auth.Credentials{Username: "ci", Password: "x"}),
		"no password":      basic(auth.Credentials{Username: "ci"}),
		"nobody":           basic(auth.Credentials{Username: "nobody", Password: ci.Password}),
		"empty":            basic(auth.Credentials{}),
		"not base64":       {"Authorization": {"Basic %%%"}},
		"no colon":         {"Authorization": {"Basic Y2k="}},
		"bearer":           bearer("x"),
		"nothing":          {"Authorization": {""}},
		"twice":            {"Authorization": {basic(ci).Get("Authorization"), basic(ci).Get("Authorization")}},
	} {
		for _, path := range []string{"/v2/", blobPath("team/app"), "/v2/_catalog"} {
			w := r.do("GET", path, h, "")
			require.Equal(t, 401, w.Code, "%s %s", name, path)
			require.NotEmpty(t, w.Header().Get("WWW-Authenticate"), name)
		}
	}

	r.Revoke("ci")
	require.Equal(t, 401, r.do("GET", "/v2/", basic(ci), "").Code)
	again := r.User("ci")
	require.NotEqual(t, ci.Password, again.Password)
	require.Equal(t, 200, r.do("GET", "/v2/", basic(again), "").Code)
}

// TestRules goes through who may do what.
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
		who          auth.Credentials
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
		{reader, "GET", blobPath("public/app"), 403},
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
		h := basic(c.who)
		if c.who == none {
			h = nil
		}
		w := r.do(c.method, c.path, h, "")
		require.Equal(t, c.want, w.Code, "%q %s %s: %s", c.who.Username, c.method, c.path, w.Body)
		if c.want == 403 {
			require.Equal(t, "DENIED", code(t, w))
		}
	}
}

// TestForbidden checks that what is forbidden looks as the field says, and the
// same whether or not it is there.
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
		require.Equal(t, bodies[:5], bodies[5:], "what is there and what is not look the same")
	}
}

// TestNothingLeaks checks that a repository that a user may not read does not
// show through one that he may write.
func TestNothingLeaks(t *testing.T) {
	r := newReg(t, &auth.Auth{})
	c := basic(r.User("ci", "* team/**"))
	secret := string(digest.FromBytes(blob("secret/app")))
	absent := string(digest.FromString("nowhere"))

	for _, query := range []string{"mount=%s&from=secret/app", "mount=%s", "mount=%s&from=", "from=secret/app&mount=%s", "mount=%s&from=SECRET/app", "mount=%s&from=team/app&from=secret/app"} {
		got := r.do("POST", "/v2/team/app/blobs/uploads/?"+fmt.Sprintf(query, secret), c, "")
		other := r.do("POST", "/v2/team/app/blobs/uploads/?"+fmt.Sprintf(query, absent), c, "")
		require.Equal(t, 202, got.Code, query)
		require.Equal(t, other.Code, got.Code, query)
		require.Equal(t, 404, r.do("HEAD", "/v2/team/app/blobs/"+secret, c, "").Code, query)
	}
	own := string(digest.FromBytes(blob("team/app")))
	require.Equal(t, 201, r.do("POST", "/v2/team/other/blobs/uploads/?mount="+own, c, "").Code, "an anonymous mount finds what the user may read")
	require.Equal(t, 201, r.do("POST", "/v2/team/third/blobs/uploads/?from=team/app&mount="+own, c, "").Code)

	w := r.do("GET", "/v2/_catalog", c, "")
	require.JSONEq(t, `{"repositories":["team/app","team/other","team/third"]}`, w.Body.String())
	w = r.do("GET", "/v2/_catalog?n=1", c, "")
	require.JSONEq(t, `{"repositories":["team/app"]}`, w.Body.String())
	w = r.do("GET", "/v2/_catalog?n=2&last=public/app", c, "")
	require.JSONEq(t, `{"repositories":["team/app","team/other"]}`, w.Body.String())
	require.NotContains(t, w.Header().Get("Link"), "secret")

	// A manifest cannot be used to ask for what is elsewhere.
	body := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"%s","size":1},"layers":[]}`, secret)
	h := c.Clone()
	h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	require.Equal(t, "MANIFEST_BLOB_UNKNOWN", code(t, r.do("PUT", "/v2/team/app/manifests/probe", h, body)))
}

// TestTricks has requests that try to be two things at once.
func TestTricks(t *testing.T) {
	r := newReg(t, &auth.Auth{OpenPing: true})
	require.NoError(t, r.Allow("anonymous pull public/**"))
	ro := basic(r.User("ro", "pull,list public/**"))
	manifest := "/manifests/v1"
	for _, path := range []string{
		"/v2/public/../secret/app" + manifest,
		"/v2/public/%2e%2e/secret/app" + manifest,
		"/v2/public%2f..%2fsecret%2fapp" + manifest,
		"/v2/public//secret/app" + manifest,
		"/v2//secret/app" + manifest,
		"/v2/./secret/app" + manifest,
		"/v2/SECRET/app" + manifest,
		"/v2/secret/app%00" + manifest,
		"/v2/secret%2Fapp" + manifest,
		"/v2/secret/app/manifests/v1%2F..%2F..%2Fpublic",
		"/v2/secret/app/manifests/v1?name=public/app",
		"/v2/secret/app/manifests/v1?repo=public/app&from=public/app&mount=x",
		"/v2/public/app/manifests/../../../secret/app/manifests/v1",
		"/v2/secret/app/./manifests/v1",
		"/V2/secret/app" + manifest,
		"/token/../v2/secret/app" + manifest,
		"/v2/secret/app;public/manifests/v1",
	} {
		for _, h := range []header{nil, ro} {
			for _, method := range []string{"GET", "HEAD"} {
				w := r.do(method, path, h, "")
				require.GreaterOrEqual(t, w.Code, 400, "%s %s", method, path)
				require.NotContains(t, w.Body.String(), `{"repo":"secret/app"}`, path)
			}
		}
	}
	t.Run("the method is the method", func(t *testing.T) {
		h := ro.Clone()
		h.Set("X-HTTP-Method-Override", "DELETE")
		h.Set("X-Method-Override", "DELETE")
		require.Equal(t, 200, r.do("GET", "/v2/public/app/manifests/v1?_method=DELETE", h, "").Code)
		h.Set("X-HTTP-Method-Override", "GET")
		require.Equal(t, 403, r.do("DELETE", "/v2/public/app/manifests/v1", h, "").Code)
		require.Equal(t, 200, r.do("GET", "/v2/public/app/manifests/v1", ro, "").Code)
	})
	t.Run("names with the API's own words", func(t *testing.T) {
		for _, path := range []string{
			"/v2/public/app/manifests/x/blobs/uploads/", "/v2/public/app/blobs/uploads/manifests/v1", "/v2/public/app/tags/list",
		} {
			w := r.do("PUT", path, nil, "{}")
			require.Contains(t, []int{401, 405}, w.Code, path)
		}
	})
	t.Run("headers that proxies set", func(t *testing.T) {
		h := header{"X-Forwarded-User": {"ro"}, "X-Original-Url": {"/v2/public/app/manifests/v1"}, "X-Rewrite-Url": {"/v2/"}, "Remote-User": {"ro"}}
		require.Equal(t, 401, r.do("GET", "/v2/secret/app/manifests/v1", h, "").Code)
	})
}

func TestBearer(t *testing.T) {
	r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearer})
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

	answer := r.token(basic(ci), "repository:team/app:pull")
	require.Equal(t, answer["token"], answer["access_token"])
	require.EqualValues(t, 300, answer["expires_in"])
	_, err := time.Parse(time.RFC3339, answer["issued_at"].(string))
	require.NoError(t, err)
	require.NotContains(t, answer, "refresh_token")

	pull := bearer(answer["token"].(string))
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
	require.Equal(t, 401, w.Code, "the client is told which token it needs")
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="repository:team/app:pull,push repository:public/app:pull",error="insufficient_scope"`)
	anonymousMount := "/v2/team/app/blobs/uploads/?mount=" + string(digest.FromBytes(blob("secret/app")))
	require.Equal(t, 201, r.do("POST", anonymousMount, r.tokenOf(basic(ci), "repository:team/app:pull,push"), "").Code, "no token could name the source")
	require.JSONEq(t, `{"repositories":["public/app","secret/app","team/app"]}`, r.do("GET", "/v2/_catalog", both, "").Body.String())

	r = newReg(t, &auth.Auth{Scheme: auth.SchemeBearer})
	few := r.User("few", "pull,push team/**")
	narrow := r.tokenOf(basic(few), "repository:team/other:pull,push repository:secret/app:pull")
	for _, from := range []string{"", "&from=secret/app"} {
		path := "/v2/team/other/blobs/uploads/?mount=" + string(digest.FromBytes(blob("secret/app"))) + from
		require.Equal(t, 202, r.do("POST", path, narrow, "").Code, "nothing is mounted from where the user may not pull")
	}
}

func TestTokenService(t *testing.T) {
	r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearer})
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
	t.Run("what a user may not have is not granted", func(t *testing.T) {
		before := len(r.Grants())
		r.token(basic(ci), "repository:team/app:pull,push,delete repository:secret/app:pull registry:catalog:* nonsense repository:x")
		g := r.Grants()[before]
		require.Equal(t, "ci", g.User)
		require.Equal(t, host, g.Service)
		require.Len(t, g.Asked, 3)
		require.Equal(t, []auth.Access{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}}, g.Granted)
	})
	t.Run("password", func(t *testing.T) {
		w := post(url.Values{"grant_type": {"password"}, "username": {ci.Username}, "password": {ci.Password}, "service": {host}, "scope": {"repository:team/app:pull"}, "access_type": {"offline"}})
		require.Equal(t, 200, w.Code, w.Body)
		answer := decode(t, w)
		require.Equal(t, "repository:team/app:pull", answer["scope"])
		require.NotContains(t, answer, "token")
		require.Equal(t, 200, r.do("GET", "/v2/team/app/manifests/v1", bearer(answer["access_token"].(string)), "").Code)

		w = post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {answer["refresh_token"].(string)}, "service": {host}, "scope": {"repository:team/other:push"}})
		require.Equal(t, 200, w.Code, w.Body)
		again := decode(t, w)
		require.Equal(t, answer["refresh_token"], again["refresh_token"])
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
		require.Equal(t, 404, newReg(t, &auth.Auth{}).do("GET", "/token", nil, "").Code)
	})
	t.Run("on a host of its own", func(t *testing.T) {
		a := &auth.Auth{Scheme: auth.SchemeBearer, Realm: "https://auth.test/token", Service: "registry"}
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

// TestExpiry has tokens come to their end by the clock, by command, and with
// their user, in the middle of a push.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearer, TokenLife: time.Minute})
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
		require.Equal(t, "0-5", r.do("GET", location, h, "").Header().Get("Range"), "what was refused has not arrived")

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

func TestMisbehaviour(t *testing.T) {
	scope := "repository:team/app:pull"
	get := func(r *reg, h header) int { return r.do("GET", "/v2/team/app/manifests/v1", h, "").Code }
	t.Run("clocks that differ", func(t *testing.T) {
		r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearer})
		ci := r.User("ci")
		r.SetSkew(time.Hour)
		require.Equal(t, 401, get(r, r.tokenOf(basic(ci), scope)), "not valid yet")
		r.SetSkew(-time.Hour)
		require.Equal(t, 401, get(r, r.tokenOf(basic(ci), scope)), "expired already")
		r.SetSkew(0)
		require.Equal(t, 200, get(r, r.tokenOf(basic(ci), scope)))
	})
	t.Run("a token for less than was asked", func(t *testing.T) {
		r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearer, Mint: func(c *auth.Claims) { c.Access = nil }})
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
		r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearerOrBasic})
		ci := r.User("ci")
		require.Len(t, r.do("GET", "/v2/", nil, "").Header().Values("WWW-Authenticate"), 2)
		require.Equal(t, 200, get(r, basic(ci)))
		require.Equal(t, 200, get(r, r.tokenOf(basic(ci), scope)))
	})
}

func TestClientCertificate(t *testing.T) {
	r := newReg(t, &auth.Auth{})
	r.User("ci", "pull **")
	verified := func(name string) *tls.ConnectionState {
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}}}}}
	}
	get := func(method string, state *tls.ConnectionState) int {
		req := httptest.NewRequest(method, "https://"+host+"/v2/team/app/manifests/v1", nil)
		req.TLS = state
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		return w.Code
	}
	require.Equal(t, 200, get("GET", verified("ci")))
	require.Equal(t, 403, get("DELETE", verified("ci")))
	require.Equal(t, 401, get("GET", verified("nobody")))
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "ci"}}}}
	require.Equal(t, 401, get("GET", unverified), "a certificate that nobody has verified says nothing")
	r.Revoke("ci")
	require.Equal(t, 401, get("GET", verified("ci")))
}

func TestRecordersAreTold(t *testing.T) {
	var last *registry.Exchange
	r := newReg(t, &auth.Auth{Scheme: auth.SchemeBearer}, registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { last = e })))
	h := r.tokenOf(basic(r.User("ci", "pull team/**")), "repository:team/app:pull,push")
	require.Equal(t, registry.GetToken, last.Request.Op)
	require.Equal(t, "ci", last.Request.User)
	require.Equal(t, "repository:team/app:pull", last.Request.Scope)
	r.do("GET", "/v2/team/app/manifests/v1", h, "")
	require.Equal(t, "ci", last.Request.User)
	require.Equal(t, "repository:team/app:pull", last.Request.Scope)
}

func TestRuleText(t *testing.T) {
	for _, text := range []string{"anonymous pull public/**", "* pull,list **", "ci delete team/app"} {
		r, err := auth.ParseRule(text)
		require.NoError(t, err)
		require.Equal(t, text, r.String())
	}
	for _, text := range []string{"", "ci", "ci pull", "ci pull a b", "ci fly **", "ci pull, **", "ci , **", "ci PULL **"} {
		_, err := auth.ParseRule(text)
		require.Error(t, err, text)
	}
	a := &auth.Auth{}
	require.Error(t, a.Allow("x"))
	for _, name := range []string{"", "a:b", "anonymous", "*", "a b"} {
		require.Error(t, a.AddUser(auth.Credentials{Username: name}), name)
	}
	require.Error(t, a.AddUser(auth.Credentials{Username: "ci"}, "fly **"))
	require.Panics(t, func() { a.User("ci", "fly **") })
}

func FuzzScopes(f *testing.F) {
	f.Add("repository:team/app:pull,push registry:catalog:*")
	f.Add("repository:host:5000/app:pull")
	f.Add("::")
	f.Add("repository:secret/app\x00:pull")
	f.Add("repository:team/../secret/app:pull")
	f.Add("repository(plugin):secret/app:*")
	a := &auth.Auth{Scheme: auth.SchemeBearer}
	ci := a.User("ci", "pull,push team/**")
	h := registry.New(memstore.New(), a.Options()...)
	f.Fuzz(func(t *testing.T, scope string) {
		r := &reg{t, a, h, nil}
		token := r.tokenOf(basic(ci), scope)
		for _, path := range []string{"/v2/secret/app/manifests/v1", "/v2/_catalog"} {
			require.Contains(t, []int{401, 403}, r.do("GET", path, token, "").Code, scope)
		}
		require.Contains(t, []int{401, 403}, r.do("DELETE", "/v2/team/app/manifests/v1", token, "").Code, scope)
	})
}

func put(r *reg, path string, h header, body string) *httptest.ResponseRecorder {
	h = h.Clone()
	if h == nil {
		h = header{}
	}
	h.Set("Content-Type", "application/vnd.test")
	return r.do("PUT", path, h, body)
}

func TestImmutable(t *testing.T) {
	open := &auth.Auth{}
	require.NoError(t, open.Allow("anonymous * **"))
	r := newReg(t, open, auth.Immutable("team/**:v*", "public/app:**"))
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/v2", nil, `{"n":1}`).Code)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/v2", nil, `{"n":1}`).Code, "the same again")
	w := put(r, "/v2/team/app/manifests/v2", nil, `{"n":2}`)
	require.Equal(t, 409, w.Code)
	require.Equal(t, "DENIED", code(t, w))
	body := `{"n":2}`
	require.Equal(t, 409, put(r, "/v2/team/app/manifests/"+string(digest.FromString(body))+"?tag=new&tag=v2", nil, body).Code)
	require.Equal(t, 404, r.do("GET", "/v2/team/app/manifests/new", nil, "").Code, "all or nothing")
	require.Equal(t, 404, r.do("GET", "/v2/team/app/manifests/"+string(digest.FromString(body)), nil, "").Code)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/latest", nil, `{"n":1}`).Code)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/latest", nil, `{"n":2}`).Code)
	require.Equal(t, 409, put(r, "/v2/public/app/manifests/v1", nil, `{"n":2}`).Code)

	refusal := &registry.Error{Code: "TAG_INVALID", Status: 400}
	r = newReg(t, open, auth.ImmutableWith(refusal, true, "**:v1"))
	w = put(r, "/v2/team/app/manifests/v1", nil, `{"repo":"team/app"}`)
	require.Equal(t, 400, w.Code, "not even the same")
	require.Equal(t, "TAG_INVALID", code(t, w))
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &auth.Auth{}
		require.NoError(t, a.Allow("anonymous pull **"))
		limit := &auth.RateLimit{Limit: 2, Window: time.Minute}
		r := newReg(t, a, registry.WithMiddleware(limit.Middleware))
		ci := basic(r.User("ci"))
		path := "/v2/team/app/manifests/v1"
		for left := 1; left >= 0; left-- {
			w := r.do("GET", path, ci, "")
			require.Equal(t, 200, w.Code)
			require.Equal(t, "2;w=60", w.Header().Get("RateLimit-Limit"))
			require.Equal(t, fmt.Sprintf("%d;w=60", left), w.Header().Get("RateLimit-Remaining"))
		}
		time.Sleep(500 * time.Millisecond)
		w := r.do("GET", path, ci, "")
		require.Equal(t, 429, w.Code)
		require.Equal(t, "TOOMANYREQUESTS", code(t, w))
		require.Equal(t, "60", w.Header().Get("Retry-After"), "rounded up")
		require.Equal(t, 200, r.do("HEAD", path, ci, "").Code, "a HEAD does not count")
		require.Equal(t, 200, r.do("GET", path, nil, "").Code, "an address has a limit of its own")
		time.Sleep(59*time.Second + 499*time.Millisecond)
		require.Equal(t, 429, r.do("GET", path, ci, "").Code)
		time.Sleep(time.Millisecond)
		require.Equal(t, 200, r.do("GET", path, ci, "").Code)

		every := &auth.RateLimit{Limit: 0, Counts: func(r *registry.Request) bool { return r.Op == registry.ListRepositories }}
		r = newReg(t, a, registry.WithMiddleware(every.Middleware))
		require.Equal(t, 429, r.do("GET", "/v2/_catalog", basic(r.User("ci")), "").Code)
	})
}

func TestQuota(t *testing.T) {
	a := &auth.Auth{}
	quota := &auth.Quota{Bytes: 10}
	r := newReg(t, a, registry.WithMiddleware(quota.Middleware))
	ci, other := basic(r.User("ci")), basic(r.User("other"))
	post := func(h header, body string) *httptest.ResponseRecorder {
		return r.do("POST", "/v2/team/app/blobs/uploads/?digest="+string(digest.FromString(body)), h, body)
	}
	require.Equal(t, 201, post(ci, "123456").Code)
	w := post(ci, "abcdef")
	require.Equal(t, 403, w.Code)
	require.Equal(t, "DENIED", code(t, w))
	require.Equal(t, 404, r.do("HEAD", "/v2/team/app/blobs/"+string(digest.FromString("abcdef")), ci, "").Code)
	require.Equal(t, 201, post(other, "abcdef").Code)

	location := r.do("POST", "/v2/team/app/blobs/uploads/", other, "").Header().Get("Location")
	req := httptest.NewRequest("PATCH", "http://"+host+location, struct{ *bytes.Reader }{bytes.NewReader([]byte("streamed"))})
	req.ContentLength = -1
	req.Header = other
	w = httptest.NewRecorder()
	r.ServeHTTP(w, req)
	require.Equal(t, 403, w.Code, "a stream is stopped where the quota ends")
}
