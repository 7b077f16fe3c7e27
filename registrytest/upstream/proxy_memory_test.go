package upstream_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A proxy streams bodies: it needs little memory for a large blob, in both
// directions. This test counts all allocations of the process, so it does not
// run in parallel with others.
func TestProxyStreams(t *testing.T) {
	const size, limit = 64 << 20, 2 << 20
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			io.CopyN(w, new(zeros), size)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != size {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(behind.Close)
	proxy := upstream.NewProxy(behind.URL)
	t.Cleanup(func() { proxy.Close() })
	front := httptest.NewServer(registry.New(proxy))
	t.Cleanup(front.Close)

	const blob = "/v2/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct {
		method, path string
		body         io.Reader
		length, want int64
	}{
		{"GET", blob, nil, 0, size},
		{"PATCH", "/v2/app/blobs/uploads/1", io.LimitReader(new(zeros), size), size, 0},
		{"PATCH", "/v2/app/blobs/uploads/1", io.LimitReader(new(zeros), size), -1, 0}, // chunked
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := http.NewRequestWithContext(t.Context(), test.method, front.URL+test.path, test.body)
		require.NoError(t, err)
		r.ContentLength = test.length
		resp, err := front.Client().Do(r)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		runtime.ReadMemStats(&after)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, test.want, n)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(limit))
		t.Logf("%s: %d KiB allocated", test.method, (after.TotalAlloc-before.TotalAlloc)>>10)
	}
}
