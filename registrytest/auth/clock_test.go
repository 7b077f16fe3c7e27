package auth_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// Tokens expire and rate limits reset by the clock of the registry.
func TestClock(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	clock := registry.WithFaults(func(r *registry.Request) *registry.Fault {
		r.SetClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		return nil
	})
	limit := &auth.RateLimit{Limit: 1, Window: time.Hour}
	r := newReg(t, auth.Bearer(), append(limit.Options(), clock)...)
	ci := basic(r.User("ci"))
	get := func(token any) int {
		return r.do("GET", "/v2/team/app/manifests/v1", bearer(token.(string)), "").Code
	}
	token := r.token(ci, "repository:team/app:pull")["token"]
	require.Equal(t, 200, get(token))
	require.Equal(t, 429, get(token))
	ahead.Add(int64(6 * time.Minute))
	require.Equal(t, 401, get(token))
	token = r.token(ci, "repository:team/app:pull")["token"]
	require.Equal(t, 429, get(token))
	ahead.Add(int64(time.Hour))
	token = r.token(ci, "repository:team/app:pull")["token"]
	require.Equal(t, 200, get(token))
}

func TestSave(t *testing.T) {
	t.Parallel()
	r := newReg(t, auth.Basic("anonymous pull public/**"))
	ci := basic(r.User("ci", "pull team/**"))
	gone := basic(r.User("gone", "pull team/**"))
	get := func(h header, repo string) int {
		return r.do("GET", "/v2/"+repo+"/app/manifests/v1", h, "").Code
	}
	restore := r.Save()
	for range 2 {
		require.NoError(t, r.Allow("anonymous pull secret/**"))
		r.Revoke("gone")
		other := basic(r.User("ci"))
		added := basic(r.User("added"))
		require.Equal(t, 200, get(nil, "secret"))
		require.Equal(t, 401, get(ci, "team"))
		require.Equal(t, 401, get(gone, "team"))
		restore()
		require.Equal(t, 401, get(nil, "secret"))
		require.Equal(t, 200, get(nil, "public"))
		require.Equal(t, 200, get(ci, "team"))
		require.Equal(t, 200, get(gone, "team"))
		require.Equal(t, 401, get(other, "team"))
		require.Equal(t, 401, get(added, "team"))
	}
}
