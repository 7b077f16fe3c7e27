package registrytest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// BenchmarkServer may take at most 1.2 times as long as BenchmarkServerHTTPTest,
// which serves one request with an empty handler.
//
// The operating system keeps each connection that BenchmarkServerHTTPTest closes
// in TIME_WAIT for a minute, so a few thousand iterations make both slow.

func BenchmarkServer(b *testing.B) { benchmarkServer(b) }

func BenchmarkServerInMemory(b *testing.B) { benchmarkServer(b, registrytest.WithInMemory()) }

func benchmarkServer(b *testing.B, opts ...registrytest.Option) {
	for b.Loop() {
		t := &shortTest{TB: b}
		s := registrytest.NewServer(t, opts...)
		resp, err := s.Client().Get(s.URL + "/v2/")
		requireOK(b, resp, err)
		t.cleanup()
	}
}

func BenchmarkServerHTTPTest(b *testing.B) {
	for b.Loop() {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		resp, err := s.Client().Get(s.URL)
		requireOK(b, resp, err)
		s.Close()
	}
}

func requireOK(b *testing.B, resp *http.Response, err error) {
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, resp.StatusCode)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(b, err)
	require.NoError(b, resp.Body.Close())
}

// A shortTest is the TB of one iteration. The benchmark calls cleanup at the end of
// the iteration, to include closing the server in the time.
type shortTest struct {
	testing.TB
	cleanup func()
}

func (t *shortTest) Cleanup(f func()) { t.cleanup = f }
