// Package conns checks the in-memory connections of a registrytest.Network with
// the tests that golang.org/x/net has for every net.Conn.
package conns

import (
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/ocireg/registry/registrytest"
)

// The client's end comes from DialContext. The server's end is hijacked by the
// handler at the host, as the network exports no listener.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (client, server net.Conn, stop func(), err error) {
		n := registrytest.NewNetwork(t)
		hijacked := make(chan net.Conn, 1)
		n.Handle("peer.test:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			hijacked <- c
		}))
		client, err = n.DialContext(t.Context(), "tcp", "peer.test:80")
		if err != nil {
			return nil, nil, nil, err
		}
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: peer.test\r\n\r\n"); err != nil {
			return nil, nil, nil, err
		}
		server = <-hijacked
		return client, server, func() { client.Close(); server.Close() }, nil
	})
}
