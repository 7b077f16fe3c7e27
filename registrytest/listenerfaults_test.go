package registrytest

import (
	"context"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
)

// listenerKinds are servers at all kinds of ports.
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
	transport.DisableKeepAlives = true // It does not see a connection end at once.
	c.Client = &http.Client{Transport: transport}
	return c
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	for name, opts := range listenerKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewServer(t, opts...)
			there, other := testclient.New(t, s.Client(), s.URL), newcomer(t, s)
			require.Equal(t, 200, there.Get("/v2/").Status)

			undo := s.Refuse(t)
			require.Equal(t, 200, there.Get("/v2/").Status, "connections that are there go on")
			require.ErrorIs(t, other.Get("/v2/").Err, syscall.ECONNREFUSED)
			s.Refuse(t)
			undo()
			undo()
			require.Equal(t, 200, other.Get("/v2/").Status)

			undo = s.Refuse(t)
			s.Stop()
			s.Start()
			require.Equal(t, 200, other.Get("/v2/").Status, "who starts the server starts it")
			undo()
			require.Equal(t, 200, other.Get("/v2/").Status)

			undo = s.Refuse(t)
			s.Stop()
			undo()
			require.ErrorIs(t, other.Get("/v2/").Err, syscall.ECONNREFUSED, "who stops the server stops it")
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, opts := range listenerKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewServer(t, opts...)
			there, other := testclient.New(t, s.Client(), s.URL), newcomer(t, s)
			require.Equal(t, 200, there.Get("/v2/").Status)

			undo := s.Silence(t)
			require.Equal(t, 200, there.Get("/v2/").Status, "connections that are there go on")
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error)
			go func() {
				req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/v2/", nil)
				if err == nil {
					_, err = other.Client.Do(req)
				}
				failed <- err
			}()
			for s.service.door.silent.Load() == 0 {
				runtime.Gosched()
			}
			require.Equal(t, 2, s.Requests().Len())
			undo()
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			require.Equal(t, 200, other.Get("/v2/").Status)
		})
	}
}

// A server is closed at once, however many wait for it.
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

func TestSilenceThatNobodyHeard(t *testing.T) {
	t.Parallel()
	s := NewServer(t)
	tb := faketb.New(t)
	s.Silence(tb)
	tb.End()
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "nobody connected")
}
