package explore

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
)

// An other is a server at another host, to which faults redirect or link. It
// has the content of the registry, asks for no credentials, and notes the
// requests that have some.
type other struct {
	handler http.Handler

	mu    sync.Mutex
	shown []string // the requests that had credentials
}

func newOther(store registry.Store) *other { return &other{handler: registry.New(store)} }

func (o *other) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		q, _ := registry.ParseRequest(r) // The error does not matter: the request is described anyway.
		o.mu.Lock()
		o.shown = append(o.shown, q.String())
		o.mu.Unlock()
	}
	o.handler.ServeHTTP(w, r)
}

// leaks returns the requests that had credentials.
func (o *other) leaks() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.shown)
}

// serve starts the server and returns its URL. The server is in the network or,
// if n is nil, on a port of this machine under the name localhost.
func (o *other) serve(t *T, n *registrytest.Network) string {
	if n != nil {
		n.Handle(otherHost, o)
		return "http://" + otherHost
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("explore: serving another host: %v", err)
	}
	server := &http.Server{Handler: o}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Shutdown(context.Background())
		server.Close()
		<-done
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://localhost:" + port
}
