package auth_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

func TestImmutable(t *testing.T) {
	open := auth.Basic()
	require.NoError(t, open.Allow("anonymous * **"))
	r := newReg(t, open, auth.Immutable{Tags: []string{"team/**:v*", "public/app:**"}}.Options()...)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/v2", nil, `{"n":1}`).Code)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/v2", nil, `{"n":1}`).Code, "the same manifest may be pushed again")
	w := put(r, "/v2/team/app/manifests/v2", nil, `{"n":2}`)
	require.Equal(t, 409, w.Code)
	require.Equal(t, "DENIED", code(t, w))
	body := `{"n":2}`
	require.Equal(t, 409, put(r, "/v2/team/app/manifests/"+string(digest.FromString(body))+"?tag=new&tag=v2", nil, body).Code)
	require.Equal(t, 404, r.do("GET", "/v2/team/app/manifests/new", nil, "").Code, "a refused push adds none of its tags")
	require.Equal(t, 404, r.do("GET", "/v2/team/app/manifests/"+string(digest.FromString(body)), nil, "").Code)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/latest", nil, `{"n":1}`).Code)
	require.Equal(t, 201, put(r, "/v2/team/app/manifests/latest", nil, `{"n":2}`).Code)
	require.Equal(t, 409, put(r, "/v2/public/app/manifests/v1", nil, `{"n":2}`).Code)

	refusal := &registry.Error{Code: "TAG_INVALID", Status: 400}
	r = newReg(t, open, auth.Immutable{Tags: []string{"**:v1"}, Strict: true, Error: refusal}.Options()...)
	w = put(r, "/v2/team/app/manifests/v1", nil, `{"repo":"team/app"}`)
	require.Equal(t, 400, w.Code, "Strict also refuses the manifest that the tag has")
	require.Equal(t, "TAG_INVALID", code(t, w))
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := auth.Basic()
		require.NoError(t, a.Allow("anonymous pull **"))
		limit := &auth.RateLimit{Limit: 2, Window: time.Minute}
		r := newReg(t, a, limit.Options()[0])
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
		require.Equal(t, "60", w.Header().Get("Retry-After"), "the seconds are rounded up")
		require.Equal(t, 200, r.do("HEAD", path, ci, "").Code, "a HEAD does not count")
		require.Equal(t, 200, r.do("GET", path, nil, "").Code, "an address has a limit of its own")
		time.Sleep(59*time.Second + 499*time.Millisecond)
		require.Equal(t, 429, r.do("GET", path, ci, "").Code)
		time.Sleep(time.Millisecond)
		require.Equal(t, 200, r.do("GET", path, ci, "").Code)

		every := &auth.RateLimit{Limit: 0, Counts: func(r *registry.Request) bool { return r.Op == registry.ListRepositories }}
		r = newReg(t, a, every.Options()[0])
		require.Equal(t, 429, r.do("GET", "/v2/_catalog", basic(r.User("ci")), "").Code)

		short := &auth.RateLimit{Limit: 1, Window: 1500 * time.Millisecond}
		r = newReg(t, a, short.Options()[0])
		require.Equal(t, "1;w=2", r.do("GET", path, nil, "").Header().Get("RateLimit-Limit"), "the length of the window is rounded up")
	})
}

// The zero limits permit nothing.
func TestZeroLimits(t *testing.T) {
	a := auth.Basic()
	r := newReg(t, a, new(auth.RateLimit).Options()[0], new(auth.Quota).Options()[0])
	ci := basic(r.User("ci"))
	require.Equal(t, 429, r.do("GET", "/v2/team/app/manifests/v1", ci, "").Code)
	require.Equal(t, 403, r.do("POST", "/v2/team/app/blobs/uploads/?digest="+string(digest.FromString("a")), ci, "a").Code)
}

func TestQuota(t *testing.T) {
	a := auth.Basic()
	quota := &auth.Quota{Bytes: 10}
	r := newReg(t, a, quota.Options()[0])
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
