package registrytest_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
)

func TestServerIsSilent(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		tr := faketb.Try(t, func(t *faketb.TB) {
			s := start(t)
			s.Client().Get(s.URL + "/v2/nothing/here")
			// A failed TLS handshake is not logged, either.
			(&http.Client{Transport: &http.Transport{DialContext: s.Transport().DialContext}}).Get(s.URL)
		})
		require.Empty(t, tr.Errors())
		require.Empty(t, tr.Lines())
	})
}

func TestServerTellsWhatHappenedIfTheTestFails(t *testing.T) {
	t.Parallel()
	tr := faketb.Try(t, func(t *faketb.TB) {
		s := registrytest.NewServer(t, registrytest.WithTLS())
		s.Client().Get(s.URL + "/v2/team/app/manifests/v1")
		(&http.Client{Transport: &http.Transport{}}).Get(s.URL + "/v2/")
		t.Errorf("no")
	})
	require.Equal(t, []string{"no"}, tr.Errors())
	require.Contains(t, tr.Log(), "GET /v2/team/app/manifests/v1")
	require.Contains(t, tr.Log(), "TLS handshake error")
}

func TestServerTellsWhatHappenedOfAServerThatWasClosed(t *testing.T) {
	t.Parallel()
	tr := faketb.Try(t, func(t *faketb.TB) {
		s := registrytest.NewServer(t)
		s.Client().Get(s.URL + "/v2/team/app/manifests/v1")
		s.Close()
		t.Errorf("no")
	})
	require.Contains(t, tr.Log(), "GET /v2/team/app/manifests/v1")
}

func TestServerLogsIfAsked(t *testing.T) {
	t.Parallel()
	var atOnce string
	tr := faketb.Try(t, func(tb *faketb.TB) {
		s := registrytest.NewServer(tb, registrytest.WithLogs())
		s.Client().Get(s.URL + "/v2/team/app/manifests/v1")
		s.Close() // Close waits until the request has been recorded.
		atOnce = tb.Log()
	})
	require.Contains(t, atOnce, "/v2/team/app/manifests/v1")
	require.Contains(t, atOnce, "status=404")
	require.NotContains(t, atOnce, "time=")
	require.Len(t, tr.Lines(), 1)
}

// With registry.WithLogger, the requests go to that logger and not to the test's log.
func TestServerLogsToTheTestsLogger(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	tr := faketb.Try(t, func(tb *faketb.TB) {
		s := registrytest.NewServer(tb, registry.WithLogger(slog.New(slog.NewTextHandler(&text, nil))))
		s.Client().Get(s.URL + "/v2/")
	})
	require.Contains(t, text.String(), "op=ping")
	require.Empty(t, tr.Lines())
}

func TestHangingHandlerFailsTheTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		began := time.Now()
		tr := faketb.Try(t, func(t *faketb.TB) {
			s := registrytest.NewServer(t, registrytest.WithInMemory(), middleware(func(r *registry.Request) {
				if r.Op == registry.GetManifest {
					<-release // The request does not end when the client goes away.
				}
			}))
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v2/team/app/manifests/v1", nil)
			_, err := s.Client().Do(req)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		close(release)
		require.Len(t, tr.Errors(), 1)
		require.Contains(t, tr.Errors()[0], "get-manifest team/app:v1")
		require.Contains(t, tr.Errors()[0], "server_test.go", "the failure shows the stack")
		require.Contains(t, tr.Errors()[0], "127.0.0.1:1")
		require.Less(t, time.Since(began), 2*time.Minute, "the server stops waiting")
	})
}

func TestLeakedGoroutineFailsTheTest(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, opts ...registrytest.Option) {
		release := make(chan struct{})
		tr := faketb.Try(t, func(tb *faketb.TB) {
			requireUp(t, registrytest.NewServer(tb, append(opts, middleware(func(*registry.Request) {
				go leakForTest(release)
			}))...))
		})
		close(release)
		require.Len(t, tr.Errors(), 1)
		require.Contains(t, tr.Errors()[0], "leakForTest")
	}
	t.Run("port", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		testclient.NeedHTTP2InBubbles(t)
		synctest.Test(t, func(t *testing.T) { test(t, registrytest.WithInMemory(), registrytest.WithTLS()) })
	})
}

func leakForTest(release chan struct{}) { <-release }

// A server that is closed does not report goroutines of another server as leaks.
func TestServersOfATestDoNotAccuseEachOther(t *testing.T) {
	t.Parallel()
	tr := faketb.Try(t, func(tb *faketb.TB) {
		for range 2 {
			nothing := middleware(func(*registry.Request) {})
			requireUp(t, registrytest.NewServer(tb, registrytest.WithInMemory(), nothing))
			requireUp(t, registrytest.NewServer(tb, nothing))
		}
	})
	require.Empty(t, tr.Errors())
}

// A handler may be a client itself. Idle connections of that client are no leak.
func TestConnectionsOfHandlersAreNoLeak(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t)
	tr := faketb.Try(t, func(tb *faketb.TB) {
		s := registrytest.NewServer(tb, middleware(func(*registry.Request) { requireUp(t, up) }))
		requireUp(t, s)
	})
	require.Empty(t, tr.Errors())
}

func TestPanicFailsTheTest(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		tr := faketb.Try(t, func(t *faketb.TB) {
			s := start(t, middleware(func(*registry.Request) { panic("mistake") }))
			_, err := s.Client().Get(s.URL + "/v2/team/app/tags/list")
			require.Error(t, err)
		})
		require.Len(t, tr.Errors(), 1)
		require.Contains(t, tr.Errors()[0], "list-tags team/app: mistake")
		require.Contains(t, tr.Errors()[0], "server_test.go", "the failure shows the stack")
	})
}

// A handler panics with http.ErrAbortHandler on purpose. Such a panic is no failure.
func TestAbortIsNoPanic(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		tr := faketb.Try(t, func(t *faketb.TB) {
			s := start(t, registry.WithFaults(func(*registry.Request) *registry.Fault {
				return &registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error { return registry.CloseConnection }}
			}))
			_, err := s.Client().Get(s.URL + "/v2/")
			require.Error(t, err)
		})
		require.Empty(t, tr.Errors())
		require.Empty(t, tr.Lines())
	})
}

// A syncBuffer is a buffer that several goroutines may use.
type syncBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
