// Package conns runs the tests of golang.org/x/net/nettest for net.Conn on the
// in-memory connections of a registrytest.Network.
package conns

import (
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/ocireg/registry/registrytest"
)

// The client's end of a connection is from DialContext. The handler at the host
// hijacks the server's end, because the network exports no listener.
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
