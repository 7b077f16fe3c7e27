package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
)

// A server is an HTTP server of this process that serves a store.
type server struct {
	*http.Server
	url    string
	log    strings.Builder // guarded by logMu
	logMu  sync.Mutex
	served chan error
}

// Write appends to the log of the server.
func (s *server) Write(p []byte) (int, error) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return s.log.Write(p)
}

// panics returns the log as a finding if it says that a handler panicked.
func (s *server) panics() []string {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if strings.Contains(s.log.String(), "panic") {
		return []string{s.log.String()}
	}
	return nil
}

func startServer(store registry.Store, opts ...registry.Option) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + l.Addr().String(), served: make(chan error, 1)}
	s.Server = &http.Server{Handler: registry.New(store, opts...), ReadHeaderTimeout: 2 * time.Second, ErrorLog: log.New(s, "", 0)}
	go func() { s.served <- s.Serve(l) }()
	return s, nil
}

// stop closes the server and waits until Serve returns.
func (s *server) stop() {
	s.Close()
	<-s.served
}

const loadClients = 64

// load uses a store in memory and then a store on disk with 64 clients. It looks
// for errors, wrong bytes and leaks.
func load(ctx context.Context, c *campaign) error {
	deadline, _ := ctx.Deadline()
	half, cancel := context.WithDeadline(ctx, time.Now().Add(time.Until(deadline)/2))
	defer cancel()
	if err := c.loadOne(half, "memory", memstore.New()); err != nil {
		return err
	}
	dir, err := c.mkdir("load")
	if err != nil {
		return err
	}
	s, err := layout.Open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	return c.loadOne(ctx, "tree", s)
}

func (c *campaign) loadOne(ctx context.Context, name string, store registry.Store) error {
	// The first write of a store on disk opens a file that stays open until Close,
	// so make it before counting descriptors.
	if _, err := pushDirect(store, repositories[0], "first"); err != nil {
		return err
	}
	before := takeCensus()
	s, err := startServer(store)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: loadClients}
	clients := make([]*client, loadClients)
	var wg sync.WaitGroup
	for i := range clients {
		clients[i] = &client{ledger: newLedger(), name: fmt.Sprintf("c%d", i), http: &http.Client{Transport: transport}, url: s.url,
			rng: rand.New(rand.NewPCG(c.seed, uint64(100+i)))}
		wg.Go(func() { clients[i].work(ctx) })
	}
	wg.Wait()
	transport.CloseIdleConnections()
	s.stop()
	findings := s.panics()
	acknowledged, reads := 0, 0
	for _, client := range clients {
		n, lost := client.check(store)
		acknowledged += n
		reads += client.reads
		findings = append(findings, append(lost, client.findings...)...)
	}
	findings = append(findings, before.leaks()...)
	c.report("load", fmt.Sprintf("%s, %d clients", name, loadClients), fmt.Sprintf("%d writes checked, %d reads", acknowledged, reads), findings)
	return nil
}

// mkdir creates a directory in the directory of the campaign and returns its
// path.
func (c *campaign) mkdir(name string) (string, error) {
	dir := filepath.Join(c.dir, name)
	return dir, os.Mkdir(dir, 0o755)
}
