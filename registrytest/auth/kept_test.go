package auth

import (
	"fmt"
	"net/http/httptest"
	"net/url"
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
