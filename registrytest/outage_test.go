package registrytest

import (
	"context"
	"crypto/tls"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
)

func TestRefuseTheFirst(t *testing.T) {
	withNewcomer(t, func(s *Server, t TB, _ ...int) func() { return s.Refuse(t, 2) }, func(t *testing.T, s *Server, other testclient.Client, undo func()) {
		for range 2 {
			err := other.Get("/v2/").Err
			require.Error(t, err)
			if s.inMemory {
				require.ErrorIs(t, err, conn.Refused)
			}
		}
		require.Equal(t, 200, other.Get("/v2/").Status)
		require.Equal(t, 2, s.Requests().Last().Conn, "connections that are refused are not counted")
		undo()
		require.Equal(t, 200, other.Get("/v2/").Status)
	})
}

func TestSilenceTheFirst(t *testing.T) {
	withNewcomer(t, func(s *Server, t TB, _ ...int) func() { return s.Silence(t, 1) }, func(t *testing.T, s *Server, other testclient.Client, undo func()) {
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
		require.Equal(t, 200, other.Get("/v2/").Status)
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
	})
}

// If two calls of Refuse, each with a number of connections, are in force, a refused
// connection counts for only one of them.
func TestRefuseTheFirstTwice(t *testing.T) {
	t.Parallel()
	s := NewServer(t, WithInMemory())
	client := &http.Client{Transport: s.Transport()}
	defer client.CloseIdleConnections()
	get := func() error {
		client.CloseIdleConnections()
		resp, err := client.Get(s.URL + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	tb := faketb.Try(t, func(tb *faketb.TB) {
		first, second := s.Refuse(tb, 2), s.Refuse(tb, 1)
		require.ErrorIs(t, get(), conn.Refused)
		first()
		second()
	})
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "refused 1 connection, not 2")
	require.NoError(t, get())
}

// patient returns a client of the network with a timeout of a minute. The client
// speaks HTTP/1.1, because HTTP/2 does not work in bubbles of Go 1.25.
func patient(t *testing.T, n *Network) *http.Client {
	transport := &http.Transport{DialContext: n.DialContext, TLSClientConfig: &tls.Config{RootCAs: n.CA().Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// Refuse and Silence affect a host of the network with a registry, with a handler,
// or with neither.
func TestDeadNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(t)
		n.Handle("handler.test", http.NotFoundHandler())
		reg := n.Registry("docker.io")
		client := patient(t, n)
		get := func(url string) error {
			resp, err := client.Get(url)
			if err == nil {
				resp.Body.Close()
				client.CloseIdleConnections()
			}
			return err
		}
		undo := n.Refuse(t, "dead.test")
		require.ErrorIs(t, get("https://dead.test"), conn.Refused)
		require.ErrorIs(t, get("http://DEAD.test:5000"), conn.Refused)
		undo()
		require.ErrorContains(t, get("https://dead.test"), "no such host")

		n.Refuse(t, "handler.test", 2)
		require.ErrorIs(t, get("http://handler.test"), conn.Refused)
		require.ErrorIs(t, get("https://handler.test"), conn.Refused)
		require.NoError(t, get("https://handler.test"))
		undo = n.Refuse(t, "handler.test:443")
		require.NoError(t, get("http://handler.test"))
		require.ErrorIs(t, get("https://handler.test"), conn.Refused)
		undo()

		// This registry has several host names. Refuse affects only one of them.
		undo = n.Refuse(t, "index.docker.io")
		require.ErrorIs(t, get("https://index.docker.io"), conn.Refused)
		require.NoError(t, get("https://registry-1.docker.io"))
		undo()
		require.NoError(t, get("https://index.docker.io"))
		reg.Refuse(t, 1)
		require.ErrorIs(t, get("https://index.docker.io"), conn.Refused)
		require.NoError(t, get("https://index.docker.io"))

		for _, host := range []string{"docker.io", "dead.test"} {
			undo = n.Silence(t, host, 1)
			begin := time.Now()
			require.ErrorIs(t, get("https://"+host), context.DeadlineExceeded)
			require.Equal(t, time.Minute, time.Since(begin))
			undo()
		}
		require.NoError(t, get("https://docker.io"))
		require.Len(t, n.outages, 1, "the network keeps only the outage that has not ended")
	})
}

// The test fails if clients make fewer connections than the number given to Refuse
// or Silence.
func TestTooFewConnections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		set  func(n *Network, s *Server, tb TB)
		want string
	}{
		"server refuses":   {func(_ *Network, s *Server, tb TB) { s.Refuse(tb, 3) }, "reg.test refused 1 connection, not 3"},
		"server is silent": {func(_ *Network, s *Server, tb TB) { s.Silence(tb, 3) }, "reg.test was silent on 1 connection, not 3"},
		"name refuses":     {func(n *Network, _ *Server, tb TB) { n.Refuse(tb, "reg.test", 3) }, "reg.test refused 1 connection, not 3"},
		"name is silent":   {func(n *Network, _ *Server, tb TB) { n.Silence(tb, "reg.test:443", 2) }, "reg.test:443 was silent on 1 connection, not 2"},
		"another name":     {func(n *Network, _ *Server, tb TB) { n.Refuse(tb, "rge.test") }, "rge.test refused 0 connections, not 1"},
		"no number":        {func(_ *Network, s *Server, tb TB) { s.Refuse(tb, 0) }, "[0] is not a number of connections; give one number, from 1"},
		"two numbers":      {func(n *Network, _ *Server, tb TB) { n.Silence(tb, "reg.test", 1, 2) }, "[1 2] is not a number of connections"},
		"enough":           {func(_ *Network, s *Server, tb TB) { s.Refuse(tb, 1) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := NewNetwork(t)
				s := n.Registry("reg.test")
				client := patient(t, n)
				tb := faketb.Try(t, func(tb *faketb.TB) {
					test.set(n, s, tb)
					if resp, err := client.Get(s.URL); err == nil {
						resp.Body.Close()
					}
				})
				if test.want == "" {
					require.Empty(t, tb.Errors())
					return
				}
				require.Len(t, tb.Errors(), 1)
				require.Contains(t, tb.Errors()[0], test.want)
				resp, err := client.Get(s.URL)
				require.NoError(t, err, "the outage ends with the test")
				resp.Body.Close()
			})
		})
	}
}
