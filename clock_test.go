package registry_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// Upload sessions expire, and Retry-After is computed, by the clock that
// SetClock sets.
func TestClock(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Unix(1e9, 0).Add(time.Duration(ahead.Load())) }
	var seen time.Time
	set := registry.WithFaults(func(r *registry.Request) *registry.Fault {
		r.SetClock(now)
		return nil
	})
	look := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			seen = r.Now()
			return next(w, r)
		}
	})
	h := inMemory(t, set, registry.WithUploadLimit(1), look)
	location := h.start("app")
	require.Equal(t, now(), seen)
	h.want(204, h.call("GET", location, ""))
	ahead.Store(int64(59 * time.Minute))
	w := h.call("POST", "/v2/app/blobs/uploads/", "")
	h.want(429, w)
	require.Equal(t, "60", w.Header().Get("Retry-After"))
	ahead.Store(int64(time.Hour))
	h.wantNoUpload(location)
	require.Equal(t, now(), seen)

	r, err := registry.ParseRequest(httptest.NewRequest("GET", "/v2/", nil))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), r.Now(), time.Hour)
}
