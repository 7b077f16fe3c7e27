package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// An attack misuses a connection to a server. The caller closes the connection.
type attack struct {
	name string
	run  func(conn *net.TCPConn, rng *rand.Rand, v victim)
}

// A victim is a server under attack: its host and port, and the digest of a blob
// in repository app.
type victim struct{ host, blob string }

var attacks = []attack{
	{"slow body", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		fmt.Fprintf(conn, "POST /v2/app/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", v.blob, v.host)
		for range rng.IntN(5) {
			fmt.Fprint(conn, "a")
			time.Sleep(5 * time.Millisecond)
		}
	}},
	{"slow header", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		for _, c := range "GET /v2/ HTTP/1.1\r\nHost: "[:rng.IntN(24)] {
			fmt.Fprintf(conn, "%c", c)
			time.Sleep(time.Millisecond)
		}
	}},
	{"half closed", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		fmt.Fprintf(conn, "GET /v2/app/blobs/%s HTTP/1.1\r\nHost: %s\r\n\r\n", v.blob, v.host)
		conn.CloseWrite()
		io.Copy(io.Discard, conn)
	}},
	{"half a chunked body", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		resp := exchange(conn, fmt.Sprintf("POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", v.host))
		if resp == nil {
			return
		}
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nabc", resp.Header.Get("Location"), v.host)
		conn.CloseWrite()
	}},
	{"garbage after a request", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		fmt.Fprintf(conn, "GET /v2/ HTTP/1.1\r\nHost: %s\r\n\r\n", v.host)
		garbage := make([]byte, 1+rng.IntN(5000))
		for i := range garbage {
			garbage[i] = byte(rng.Uint32())
		}
		conn.Write(garbage)
	}},
	{"many requests, no reads", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for range 50 {
			fmt.Fprintf(conn, "GET /v2/app/blobs/%s HTTP/1.1\r\nHost: %s\r\n\r\n", v.blob, v.host)
		}
	}},
	{"reset in a response", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		fmt.Fprintf(conn, "GET /v2/app/blobs/%s HTTP/1.1\r\nHost: %s\r\n\r\n", v.blob, v.host)
		io.CopyN(io.Discard, conn, rng.Int64N(1<<16))
		conn.SetLinger(0)
	}},
	{"bad fields", func(conn *net.TCPConn, rng *rand.Rand, v victim) {
		bad := []string{
			"PUT /v2/app/manifests/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n{",
			"PUT /v2/app/manifests/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"GET /v2/app/blobs/" + v.blob + " HTTP/1.1\r\nHost: a\r\nRange: bytes=" + strings.Repeat("0-0,", 5000) + "0-0\r\n\r\n",
			"GET /v2/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /v2/app/blobs/uploads/?digest=" + v.blob + " HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
			"PATCH /v2/app/blobs/uploads/x HTTP/1.1\r\nHost: a\r\nContent-Range: 0-9223372036854775807\r\nContent-Length: 1\r\n\r\na",
		}
		fmt.Fprint(conn, bad[rng.IntN(len(bad))])
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		io.Copy(io.Discard, conn)
	}},
}

// exchange sends a request over the connection and returns the response, or nil
// if reading the response fails.
func exchange(conn net.Conn, request string) *http.Response {
	io.WriteString(conn, request)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil
	}
	resp.Body.Close()
	return resp
}

const attackers = 16

// hostileClients attacks a server on disk while other clients use it correctly.
// These clients must get no errors. At the end, no goroutine, descriptor or
// temporary file of the attacks may remain.
func hostileClients(ctx context.Context, c *campaign) error {
	dir, err := c.mkdir("hostile")
	if err != nil {
		return err
	}
	store, err := layout.Open(dir)
	if err != nil {
		return err
	}
	defer store.Close()
	content := strings.Repeat("content ", 1<<17)
	blob, err := pushDirect(store, "app", content)
	if err != nil {
		return err
	}
	before := takeCensus()
	s, err := startServer(store, registry.WithUploadExpiry(time.Millisecond*500))
	if err != nil {
		return err
	}
	v := victim{strings.TrimPrefix(s.url, "http://"), string(blob)}
	counts := make([]atomic.Int64, len(attacks))
	var wg sync.WaitGroup
	for i := range attackers {
		rng := c.rng(uint64(200 + i))
		wg.Go(func() {
			for ctx.Err() == nil {
				n := rng.IntN(len(attacks))
				conn, err := net.Dial("tcp", v.host)
				if err != nil {
					continue
				}
				tcp := conn.(*net.TCPConn)
				tcp.SetDeadline(time.Now().Add(time.Second))
				attacks[n].run(tcp, rng, v)
				tcp.Close()
				counts[n].Add(1)
			}
		})
	}
	transport := &http.Transport{}
	clients := make([]*client, 4)
	for i := range clients {
		clients[i] = &client{ledger: newLedger(), name: fmt.Sprintf("c%d", i), http: &http.Client{Transport: transport}, url: s.url, rng: c.rng(uint64(300 + i))}
		wg.Go(func() { clients[i].work(ctx) })
	}
	wg.Wait()
	time.Sleep(600 * time.Millisecond) // longer than the expiry of upload sessions
	send(s.url + "/v2/app/blobs/uploads/")
	transport.CloseIdleConnections()
	s.stop()
	findings := s.panics()
	acknowledged := 0
	for _, client := range clients {
		n, lost := client.check(store)
		acknowledged += n
		findings = append(findings, append(lost, client.findings...)...)
	}
	findings = append(findings, before.leaks()...)
	if left, err := filepath.Glob(filepath.Join(dir, ".ocireg", "*-*")); err != nil || len(left) > 0 {
		findings = append(findings, fmt.Sprintf("%d files of uploads are left: %v", len(left), err))
	}
	if _, err := store.StatBlob(context.Background(), "app", blob); err != nil {
		findings = append(findings, err.Error())
	}
	for i, a := range attacks {
		c.report("hostile", a.name, fmt.Sprintf("%d connections", counts[i].Load()), nil)
	}
	c.report("hostile", "meanwhile, four good clients", fmt.Sprintf("%d writes checked", acknowledged), findings)
	return nil
}

// send sends a POST without a body and ignores the response.
func send(url string) {
	if resp, err := http.Post(url, "", nil); err == nil {
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// pushDirect puts a blob into a store, without HTTP.
func pushDirect(s registry.Store, repo, content string) (digest.Digest, error) {
	ctx := context.Background()
	d := digest.FromString(content)
	w, err := s.CreateBlob(ctx, repo, int64(len(content)))
	if err != nil {
		return "", err
	}
	defer w.Close()
	if _, err := io.WriteString(w, content); err != nil {
		return "", err
	}
	return d, w.Commit(ctx, d)
}
