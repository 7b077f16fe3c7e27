package registrytest

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
)

// Proxy returns the URL of a proxy at 127.0.0.1 that connects to the network. Give
// it to clients in other processes as HTTP_PROXY and HTTPS_PROXY. The first call
// starts the proxy, and the proxy is closed at the end of the test. For HTTPS,
// clients have to trust the certificate in [CA.File].
//
// Clients in Go that take the proxy from the environment do not use it for
// localhost and 127.0.0.1.
func (n *Network) Proxy() string {
	n.t.Helper()
	at := userCode(0)
	n.proxyOnce.Do(func() { n.startProxy(at) })
	return n.proxy
}

func (n *Network) startProxy(at string) {
	n.t.Helper()
	l, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatalf("registrytest: starting a proxy: %v", err)
	}
	n.proxy = "http://" + l.Addr().String()
	s := &service{ports: []port{{listen: func() (net.Listener, error) { return l, nil }}}}
	forward := &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {},
		Transport:     n.Transport(),
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  badGateway,
	}
	s.setUp(n.t.Name(), "proxy "+n.proxy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			n.tunnel(w, r)
		case r.URL.Host == "":
			http.Error(w, "this is a proxy", http.StatusBadRequest)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	s.start() // start cannot fail, because the listener exists already.
	n.closeAtEnd(s, at)
}

func badGateway(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// tunnel serves a CONNECT request (RFC 9110, section 9.3.6).
func (n *Network) tunnel(w http.ResponseWriter, r *http.Request) {
	up, err := n.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		badGateway(w, r, err)
		return
	}
	defer up.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		badGateway(w, r, err)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { relay(up, buffered) })
	both.Go(func() { relay(conn, up) })
	both.Wait()
}

// relay copies all bytes from one side of a tunnel to the other, then closes the other
// side for writing. After an error, it closes the other side for reading, too.
func relay(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	if c, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		c.CloseWrite()
		return
	}
	to.Close()
}
