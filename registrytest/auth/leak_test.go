package auth_test

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/auth"
)

// A user with all rights on team/** learns nothing about the content of
// secret/app.
func TestNothingLeaks(t *testing.T) {
	r := newReg(t, auth.Basic())
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
	require.Equal(t, 201, r.do("POST", "/v2/team/other/blobs/uploads/?mount="+own, c, "").Code, "an anonymous mount finds blobs that the user may pull")
	require.Equal(t, 201, r.do("POST", "/v2/team/third/blobs/uploads/?from=team/app&mount="+own, c, "").Code)

	w := r.do("GET", "/v2/_catalog", c, "")
	require.JSONEq(t, `{"repositories":["team/app","team/other","team/third"]}`, w.Body.String())
	w = r.do("GET", "/v2/_catalog?n=1", c, "")
	require.JSONEq(t, `{"repositories":["team/app"]}`, w.Body.String())
	w = r.do("GET", "/v2/_catalog?n=2&last=public/app", c, "")
	require.JSONEq(t, `{"repositories":["team/app","team/other"]}`, w.Body.String())
	require.NotContains(t, w.Header().Get("Link"), "secret")

	// The response to a manifest in one repository does not reveal whether
	// another repository has the blob.
	body := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"%s","size":1},"layers":[]}`, secret)
	h := c.Clone()
	h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	require.Equal(t, "MANIFEST_BLOB_UNKNOWN", code(t, r.do("PUT", "/v2/team/app/manifests/probe", h, body)))
}

// Ambiguous requests, which two parts of a server could read differently, do not
// get around authentication.
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

func FuzzScopes(f *testing.F) {
	f.Add("repository:team/app:pull,push registry:catalog:*")
	f.Add("repository:host:5000/app:pull")
	f.Add("::")
	f.Add("repository:secret/app\x00:pull")
	f.Add("repository:team/../secret/app:pull")
	f.Add("repository(plugin):secret/app:*")
	a := auth.Bearer()
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
