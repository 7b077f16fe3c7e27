package registrytest

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
)

// listenerKinds maps each kind of server to its options.
var listenerKinds = map[string][]Option{
	"HTTP":                nil,
	"HTTPS":               {WithTLS()},
	"in memory":           {WithInMemory()},
	"in memory and HTTPS": {WithInMemory(), WithTLS()},
}

// newcomer returns a client that makes a connection for each request.
func newcomer(t *testing.T, s *Server) testclient.Client {
	c := testclient.New(t, s.Client(), s.URL)
	transport := s.Transport().Clone()
	transport.DisableKeepAlives = true // Otherwise the client may use a connection that has just ended.
	c.Client = &http.Client{Transport: transport}
	return c
}

// withNewcomer runs a test with each kind of server, after it has called the function
// begin, such as [Server.Refuse]. The client that it passes to the test had no
// connection before that call.
func withNewcomer(t *testing.T, begin func(s *Server, t TB, first ...int) (undo func()), test func(t *testing.T, s *Server, other testclient.Client, undo func())) {
	t.Helper()
	t.Parallel()
	for name, opts := range listenerKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.HasPrefix(name, "in memory") {
				// While the server refuses connections, its port is free.
				opts = append(opts, WithListener(testclient.Listen(t)))
			}
			s := NewServer(t, opts...)
			there, other := testclient.New(t, s.Client(), s.URL), newcomer(t, s)
			require.Equal(t, 200, there.Get("/v2/").Status)
			undo := begin(s, t)
			require.Equal(t, 200, there.Get("/v2/").Status, "existing connections go on")
			test(t, s, other, undo)
		})
	}
}

// requireRefused checks that the server refuses a new connection.
func requireRefused(t *testing.T, other testclient.Client) {
	t.Helper()
	require.ErrorIs(t, other.Get("/v2/").Err, conn.Refused)
}

func TestRefuse(t *testing.T) {
	withNewcomer(t, (*Server).Refuse, func(t *testing.T, s *Server, other testclient.Client, undo func()) {
		requireRefused(t, other)
		s.Refuse(t)
		requireRefused(t, other)
		undo()
		undo()
		require.Equal(t, 200, other.Get("/v2/").Status)

		undo = s.Refuse(t)
		requireRefused(t, other)
		s.Stop()
		s.Start()
		require.Equal(t, 200, other.Get("/v2/").Status, "Start ends the outage")
		undo()
		require.Equal(t, 200, other.Get("/v2/").Status)

		undo = s.Refuse(t)
		requireRefused(t, other)
		s.Stop()
		undo()
		requireRefused(t, other) // The outage that Stop began goes on.
	})
}

func TestSilence(t *testing.T) {
	withNewcomer(t, (*Server).Silence, func(t *testing.T, s *Server, other testclient.Client, undo func()) {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/v2/", nil)
			if err == nil {
				_, err = other.Client.Do(req)
			}
			failed <- err
		}()
		for s.service.silence.heard.Load() == 0 {
			runtime.Gosched()
		}
		require.Equal(t, 2, s.Requests().Len())
		undo()
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		require.Equal(t, 200, other.Get("/v2/").Status)
	})
}

// Closing the server takes no time, even while a client waits on a silent connection.
func TestSilenceEndsWithTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, WithInMemory(), WithTLS())
		s.Silence(t)
		done := make(chan error)
		go func() {
			_, err := s.Client().Get(s.URL + "/v2/")
			done <- err
		}()
		synctest.Wait()
		begin := time.Now()
		s.Close()
		require.Error(t, <-done)
		require.Zero(t, time.Since(begin))
	})
}

// A test that calls Silence or Refuse fails if no client connects, except for a server
// that refuses clients at a port.
func TestRefuseAndSilenceWithoutClients(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts []Option
		set  func(*Server, TB, ...int) func()
		want string // part of the failure, or "" if the test passes
	}{
		"silence":           {nil, (*Server).Silence, "no client connected to"},
		"silence in memory": {[]Option{WithInMemory()}, (*Server).Silence, "while it was silent"},
		"refuse in memory":  {[]Option{WithInMemory()}, (*Server).Refuse, "while it refused connections"},
		// The operating system refuses clients, so the server cannot count them.
		"refuse at a port": {nil, (*Server).Refuse, ""},
	} {
		s := NewServer(t, test.opts...)
		tb := faketb.Try(t, func(tb *faketb.TB) { test.set(s, tb) })
		if test.want == "" {
			require.Empty(t, tb.Errors(), name)
			continue
		}
		require.Len(t, tb.Errors(), 1, name)
		require.Contains(t, tb.Errors()[0], test.want, name)
	}
}
