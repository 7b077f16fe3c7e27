package auth

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// An Auth keeps a limited number of grants and refresh tokens: the latest ones.
func TestAuthKeepsTheLast(t *testing.T) {
	t.Parallel()
	a := Bearer()
	ci := a.User("ci")
	h := registry.New(memstore.New(), a.Options()...)
	first := a.IdentityToken("ci")
	refresh := func(token string) int {
		body := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode()
		r := httptest.NewRequest("POST", "/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, 200, refresh(first))
	second := a.IdentityToken("ci")
	for n := range maxKept {
		r := httptest.NewRequest("GET", fmt.Sprintf("/token?offline_token=true&scope=repository:app%d:pull", n), nil)
		r.SetBasicAuth(ci.Username, ci.Password)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		if n == maxKept-2 {
			require.Equal(t, 401, refresh(first))
			require.Equal(t, 200, refresh(second))
		}
	}
	require.Equal(t, 401, refresh(second))
	grants := a.Grants()
	require.Len(t, grants, maxKept)
	require.Equal(t, fmt.Sprintf("app%d", maxKept-1), grants[maxKept-1].Scopes[0].Name)
	require.Len(t, a.refresh, maxKept)
	require.LessOrEqual(t, cap(a.grants), 3*maxKept)
}

// Even if clients request as much as they can, the grants of an Auth take little more
// memory than maxKeptSize.
func TestAuthKeepsLittle(t *testing.T) {
	// Not parallel: the test measures memory.
	a := Bearer("anonymous pull **")
	h := registry.New(memstore.New(), a.Options()...)
	const n = 250
	for name, value := range map[string]string{
		"scopes":     strings.Repeat("a::+", 5000),
		"actions":    "a:a:" + strings.Repeat("a,", 9000),
		"names":      "repository:" + strings.Repeat("a", 20_000) + ":pull",
		"long query": "repository:a:pull&x=" + strings.Repeat("a", 60_000),
	} {
		a.grants, a.grantsSize = nil, 0
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprint("/token?service=", i, "&scope=", value), nil))
			require.Equal(t, 200, w.Code)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(maxKeptSize*3/2), name)
		grants := a.Grants()
		require.Equal(t, fmt.Sprint(n-1), grants[len(grants)-1].Service, name)
		if name == "long query" {
			require.Len(t, grants, n)
		}
	}
}

// The token service refuses a request with a long query.
func TestLongTokenRequest(t *testing.T) {
	t.Parallel()
	a := Bearer()
	h := registry.New(memstore.New(), a.Options()...)
	for size, want := range map[int]int{maxTokenRequest: 200, maxTokenRequest + 1: 400} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/token?"+strings.Repeat("x", size), nil))
		require.Equal(t, want, w.Code)
	}
	require.Len(t, a.Grants(), 1)
}

// A RateLimit removes the expired windows of clients that are gone.
func TestRateLimitForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &RateLimit{Limit: 1, Window: time.Minute}
		for round := range 10 {
			for n := range minSweep {
				_, _ = l.use(fmt.Sprint("client ", round, n), time.Minute, time.Now())
			}
			remaining, _ := l.use(fmt.Sprint("client ", round, 0), time.Minute, time.Now())
			require.Equal(t, -1, remaining)
			time.Sleep(time.Minute)
		}
		require.LessOrEqual(t, len(l.windows), 2*minSweep)
	})
}
