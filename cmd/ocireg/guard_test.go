package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
)

// The command refuses requests from web pages of other hosts and, on loopback,
// requests for an unknown host name. The flags -cross-origin and -host permit them.
func TestWebPages(t *testing.T) {
	t.Parallel()
	i := start(t, "-quiet")
	named := start(t, "-quiet", "-addr", "127.0.0.1:0", "-host", "Registry.test", "-host", "other.test")
	open := start(t, "-quiet", "-cross-origin")
	everywhere := start(t, "-quiet", "-addr", "0.0.0.0:0")
	for _, c := range []struct {
		to           *instance
		host, origin string
		want         int
	}{
		{i, "", "", 202},
		{i, "", "http://evil.example", 403},
		{i, "", "null", 403},
		{i, "", "http://localhost:1", 403},
		{i, "", "http://" + i.host, 202},
		{i, "localhost:5000", "", 202},
		{i, "LOCALHOST", "", 202},
		{i, "registry.localhost:1", "", 202},
		{i, "[::1]:5000", "", 202},
		{i, "127.0.0.2", "", 202},
		{i, "192.0.2.1:5000", "", 202},
		{i, "host.docker.internal:5000", "", 202},
		{i, "host.containers.internal", "", 202},
		{i, "evil.example", "", 403},
		{i, "evil.example:5000", "http://evil.example:5000", 403},
		{i, "localhost.evil.example", "", 403},
		{i, "127.0.0.1.evil.example", "", 403},
		{i, "evil.example.", "", 403},
		{named, "registry.test:5000", "", 202},
		{named, "other.test.", "", 202},
		{named, "third.test", "", 403},
		{open, "", "http://evil.example", 202},
		{open, "evil.example", "http://evil.example", 403},
		{everywhere, "registry.example", "", 202},
		{everywhere, "registry.example", "http://evil.example", 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", c.to.url+"/v2/app/blobs/uploads/", nil)
		require.NoError(t, err)
		if r.Host = c.host; c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		resp, err := c.to.client.Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.want, resp.StatusCode, "%s %s: %s", c.host, c.origin, text)
	}
	require.Contains(t, refused(t, "-host", "http://a:5000"), "want a host without a scheme and a port, such as registry.test")
}

// A client has a minute to send the next byte and to take the next piece. The
// whole transfer may take any time.
func TestStalledClients(t *testing.T) {
	t.Parallel()
	blob := strings.Repeat("0123456789abcdef", 1<<16) // exceeds the buffers of a connection
	d := string(digest.FromString(blob))
	// serve starts a server with the times of the command. It returns a
	// connection to the server, and the server, which records its requests.
	serve := func(t *testing.T, store registry.Store) (net.Conn, *registrytest.Server) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory(), registrytest.WithStore(store),
			registry.WithMiddleware(limitStalls(bodyTime)), registrytest.WithHTTPServer(setTimes))
		conn, err := reg.Transport().DialContext(t.Context(), "tcp", reg.Host())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn, reg
	}
	send := func(t *testing.T, conn net.Conn, text string) {
		t.Helper()
		_, err := io.WriteString(conn, text)
		require.NoError(t, err)
	}
	post := "POST /v2/app/blobs/uploads/?digest=" + d + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"
	get := "GET /v2/app/blobs/" + d + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, test := range map[string]func(*testing.T, registry.Store){
		"a slow body": func(t *testing.T, store registry.Store) {
			conn, _ := serve(t, store)
			send(t, conn, post)
			for piece := range 16 {
				time.Sleep(50 * time.Second)
				send(t, conn, blob[piece<<16:(piece+1)<<16])
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, 201, resp.StatusCode)
		},
		"a body that stops": func(t *testing.T, store registry.Store) {
			conn, reg := serve(t, store)
			send(t, conn, post+"begun")
			begun := time.Now()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, 400, resp.StatusCode)
			require.Equal(t, time.Minute, time.Since(begun))
			require.Equal(t, int64(5), reg.Requests().First().BytesIn)
		},
		"a short body that stops": func(t *testing.T, store registry.Store) {
			conn, _ := serve(t, store)
			send(t, conn, "PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
			begun := time.Now()
			_, err := io.Copy(io.Discard, conn)
			require.NoError(t, err)
			require.Less(t, time.Since(begun), 3*time.Minute)
		},
		"a body that nobody reads": func(t *testing.T, store registry.Store) {
			conn, _ := serve(t, store)
			send(t, conn, post+blob+strings.Replace(get, "\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n", 1))
			begun := time.Now()
			_, err := io.Copy(io.Discard, conn)
			require.NoError(t, err)
			require.Less(t, time.Since(begun), 3*time.Minute)
		},
		"a header that stops": func(t *testing.T, store registry.Store) {
			conn, _ := serve(t, store)
			send(t, conn, "GET /v2/")
			begun := time.Now()
			_, err := io.Copy(io.Discard, conn)
			require.NoError(t, err)
			require.Equal(t, time.Minute, time.Since(begun))
		},
		"no further request": func(t *testing.T, store registry.Store) {
			conn, _ := serve(t, store)
			begun := time.Now()
			for range 2 {
				send(t, conn, "GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
				time.Sleep(2 * time.Minute)
			}
			text, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Equal(t, 2, strings.Count(string(text), "200 OK"))
			require.Equal(t, 5*time.Minute, time.Since(begun))
		},
		"a slow reader": func(t *testing.T, store registry.Store) {
			conn, _ := serve(t, store)
			send(t, conn, post+blob+get)
			r := bufio.NewReaderSize(conn, 16)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			require.Equal(t, 201, resp.StatusCode)
			resp, err = http.ReadResponse(r, nil)
			require.NoError(t, err)
			var got strings.Builder
			for range 16 {
				time.Sleep(10 * time.Second)
				_, err := io.CopyN(&got, resp.Body, 1<<16)
				require.NoError(t, err)
			}
			require.Equal(t, blob, got.String())
		},
		"a reader that stops": func(t *testing.T, store registry.Store) {
			conn, reg := serve(t, store)
			send(t, conn, post+blob+get)
			time.Sleep(90 * time.Second)
			synctest.Wait()
			last := reg.Requests().Last()
			require.Equal(t, registry.GetBlob, last.Op)
			require.Equal(t, 200, last.Status)
			require.Error(t, last.Err)
			require.Equal(t, time.Minute, last.Duration)
		},
	} {
		for kind, open := range map[string]func(*testing.T) registry.Store{
			"memory": func(*testing.T) registry.Store { return memstore.New() },
			"layout": func(t *testing.T) registry.Store {
				s, err := layout.Open(t.TempDir())
				require.NoError(t, err)
				t.Cleanup(func() { s.Close() })
				return s
			},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { test(t, open(t)) })
			})
		}
	}
}

// With HTTP/2, too, an upload fails after a minute without a byte.
func TestLimitedStreams(t *testing.T) {
	t.Parallel()
	testclient.NeedHTTP2InBubbles(t)
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory(), registrytest.WithTLS(), registry.WithMiddleware(limitStalls(bodyTime)), registrytest.WithHTTPServer(setTimes))
		body, w := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", reg.URL+"/v2/app/blobs/uploads/?digest="+string(digest.FromString("begun")), body)
		require.NoError(t, err)
		go func() {
			io.WriteString(w, "begun")
			time.Sleep(2 * time.Minute)
			w.Close()
		}()
		begun := time.Now()
		resp, err := reg.Client().Do(r)
		if err == nil {
			require.GreaterOrEqual(t, resp.StatusCode, 400)
			resp.Body.Close()
		}
		require.Equal(t, time.Minute, time.Since(begun))
		time.Sleep(2 * time.Minute)
	})
}
