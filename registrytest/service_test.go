package registrytest

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
)

// served waits until no request is being served, and returns the number of
// hijacked connections that the service knows.
func (s *service) served(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	idle := s.when(func() bool { return len(s.requests) == 0 })
	s.mu.Unlock()
	<-idle
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hijacked)
}

// The server forgets a connection that a fault reset, so that a long-running server
// does not use more and more memory.
func TestResetConnectionIsForgotten(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{"port": nil, "TLS": {WithTLS()}, "in memory": {WithInMemory()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewServer(t, opts...)
			reset := s.Fault(t, fault.On(registry.Ping).Reset())
			transport := s.Transport().Clone()
			transport.ForceAttemptHTTP2 = false // With HTTP/2, the fault resets a stream instead.
			if transport.TLSClientConfig != nil {
				transport.TLSClientConfig.NextProtos = nil
			}
			for range 3 {
				_, err := (&http.Client{Transport: transport}).Get(s.URL + "/v2/")
				require.Error(t, err)
			}
			require.Equal(t, 3, reset.Fired())
			require.Zero(t, s.service.served(t))
		})
	}
}

// The server keeps track of a hijacked connection until the handler closes it, so
// that closing the server closes the connection.
func TestKeptConnectionIsForgottenWhenItEnds(t *testing.T) {
	t.Parallel()
	n := NewNetwork(t)
	kept := make(chan net.Conn, 1)
	n.Handle("a.test:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keep" {
			c, _, _ := http.NewResponseController(w).Hijack()
			kept <- c
		}
	}))
	s := n.places["a.test:80"].service
	client, err := n.DialContext(t.Context(), "tcp", "a.test:80")
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "GET /keep HTTP/1.1\r\nHost: a.test\r\n\r\n")
	require.NoError(t, err)
	c := <-kept
	require.Equal(t, 1, s.served(t))
	later := func() int {
		resp, err := n.Client().Get("http://a.test/")
		require.NoError(t, err)
		resp.Body.Close()
		return s.served(t)
	}
	require.Equal(t, 1, later())
	c.Close()
	require.Zero(t, later())
}

// A server in memory without TLS makes no key for its CA until a test needs it.
func TestServerInMemoryMakesNoKey(t *testing.T) {
	t.Parallel()
	s := NewServer(t, WithInMemory())
	resp, err := s.Client().Get(s.URL + "/v2/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Nil(t, s.CA().issuer.made)
	require.NotEmpty(t, s.CA().PEM())
	require.NotNil(t, s.CA().issuer.made)
}
