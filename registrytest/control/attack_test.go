package control_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/control"
)

// The API refuses requests that a web page of another origin could send, even with
// the token.
func TestWebPagesAreRefused(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "page") })
	a := newAPI(t, control.Config{Hosts: []string{"registry.test"}, Page: page})
	for _, test := range []struct {
		host   string
		header []string
		status int
	}{
		{"127.0.0.1:1", nil, 200},
		{"localhost:1", nil, 200},
		{"LOCALHOST.", nil, 200},
		{"app.localhost:1", nil, 200},
		{"[::1]:1", nil, 200},
		{"192.0.2.1:99", nil, 200}, // DNS rebinding needs a name, so an IP address is safe
		{"registry.test:1", nil, 200},
		{"evil.example:1", nil, 403},
		{"localhost.evil.example", nil, 403},
		{"registry.test.evil.example", nil, 403},
		{"127.0.0.1.evil.example", nil, 403},
		{"", nil, 403},
		{"127.0.0.1:1", []string{"Origin", "http://127.0.0.1:1"}, 200},
		{"127.0.0.1:1", []string{"Origin", "https://127.0.0.1:1"}, 403},
		{"127.0.0.1:1", []string{"Origin", "http://127.0.0.1:2"}, 403},
		{"127.0.0.1:1", []string{"Origin", "http://localhost:1"}, 403},
		{"127.0.0.1:1", []string{"Origin", "http://evil.example"}, 403},
		{"127.0.0.1:1", []string{"Origin", "null"}, 403},
		{"127.0.0.1:1", []string{"Origin", ""}, 403},
		{"127.0.0.1:1", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"127.0.0.1:1", []string{"Sec-Fetch-Site", "none"}, 200},
		{"127.0.0.1:1", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"127.0.0.1:1", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		for _, path := range []string{"/v1/", "/"} {
			r := a.request("GET", path, "")
			r.Host = test.host
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Set(test.header[i], test.header[i+1])
			}
			w := a.send(r)
			require.Equal(t, test.status, w.Code, "%s %v", path, test)
			for name := range w.Header() {
				require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
			}
		}
	}
	r := a.request("OPTIONS", "/v1/faults", "")
	r.Header.Set("Access-Control-Request-Method", "POST")
	require.Equal(t, 405, a.send(r).Code)
}

func TestToken(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "page") })
	a := newAPI(t, control.Config{Token: "s3cret", Page: page})
	for authorization, status := range map[string]int{
		"": 401, "Bearer ": 401, "Bearer s3cre": 401, "Bearer s3cret ": 401, "Basic s3cret": 401, "s3cret": 401, "Bearer s3cret": 200, "bearer s3cret": 200,
	} {
		for path := range control.Routes() {
			if method, path, _ := strings.Cut(path, " "); status == 401 {
				r := a.request(method, strings.NewReplacer("{", "", "}", "").Replace(path), "")
				r.Header.Set("Authorization", authorization)
				w := a.send(r)
				require.Equal(t, 401, w.Code, path)
				require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
			}
		}
		r := a.request("GET", "/v1/", "")
		r.Header.Set("Authorization", authorization)
		require.Equal(t, status, a.send(r).Code, authorization)
	}
	for path, want := range map[string]int{"/": 200, "/app.js": 200, "/v1": 401, "/v1/": 401, "/v1/x": 401, "/v1?token=s3cret": 401, "/v1/?token=s3cret": 401} {
		require.Equal(t, want, a.send(httptest.NewRequest("GET", "http://127.0.0.1:1"+path, nil)).Code, path)
	}
	bare := newAPI(t, control.Config{})
	require.GreaterOrEqual(t, len(bare.Token()), 20)
	require.NotEqual(t, bare.Token(), newAPI(t, control.Config{}).Token())
	bare.refused(t, 404, "GET", "/", "")
	for _, token := range []string{"a b", "a\n", "ä"} {
		_, err := control.New(control.Config{Token: token})
		require.ErrorContains(t, err, "the token has a space")
	}
	_, err := control.New(control.Config{Faults: []string{"any"}})
	require.ErrorContains(t, err, "it has no effect: add an action, such as status=503 or close")
	c, err := control.New(control.Config{})
	require.NoError(t, err)
	require.Panics(t, func() { c.Handler(nil) })
}

// The token appears neither in the logs nor in the responses of a server.
func TestTokenIsInNoLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{Token: "s3cret-token"})
	var logged bytes.Buffer
	s := httptest.NewUnstartedServer(a.handler)
	s.Config.ErrorLog = log.New(&logged, "", 0)
	s.Start()
	for path := range control.Routes() {
		method, path, _ := strings.Cut(path, " ")
		for _, body := range []string{"", `{"x": "`, "\x1f\x8b", `{"rule": "x", "session": "s3cre"}`} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			r, err := http.NewRequestWithContext(ctx, method, s.URL+strings.NewReplacer("{", "", "}", "").Replace(path), strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer s3cret-token")
			response, err := s.Client().Do(r)
			require.NoError(t, err)
			var all bytes.Buffer
			require.NoError(t, response.Write(&all))
			require.NotContains(t, all.String(), "s3cret-token")
			response.Body.Close()
			cancel()
		}
	}
	s.Close()
	require.NotContains(t, logged.String(), "s3cret-token")
	require.NotContains(t, a.reg.Requests().String(), "s3cret-token")
}

// A path with dots or escapes reaches neither a file nor an endpoint.
func TestPaths(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	for _, path := range []string{
		"/v1/registry/../faults", "/v1/registry/v2/../../../../etc/passwd", "/v1/registry/%2e%2e/%2e%2e/etc/passwd", "//v1/faults",
		"/v1/snapshots/%2e%2e%2fx/restore", "/v1/registry/", "/v1/registry/x",
	} {
		w := a.send(a.request("GET", path, ""))
		require.NotEqual(t, 200, w.Code, path)
		require.NotContains(t, w.Body.String(), "root:", path)
	}
	// The response to an irregular path is an error in JSON and not a redirect.
	for _, path := range []string{"/v1/../v1/", "/v1", "/v1/./faults", "/v1//faults", "/v1/faults/", "/v1/registry", "/x/../v1/", "//v1/", "/v1/snapshots/../reset"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			w := a.send(a.request(method, path, ""))
			require.Equal(t, 404, w.Code, path)
			require.Empty(t, w.Header().Get("Location"), path)
			require.Contains(t, decoded(t, w.Body.String()), "error", path)
		}
	}
	require.Equal(t, "GET, HEAD, POST, DELETE", a.send(a.request("PATCH", "/v1/faults", "")).Header().Get("Allow"))
}

// Many clients use the API at the same time. A reset or fault in one session
// does not affect the others.
func TestManyClients(t *testing.T) {
	t.Parallel()
	c, err := control.New(control.Config{})
	require.NoError(t, err)
	reg, err := registrytest.StartServer(c)
	require.NoError(t, err)
	a := &api{c, c.Handler(reg), reg}
	s := httptest.NewServer(a.handler)
	var running sync.WaitGroup
	errs := make(chan error, 1000)
	for i := range 16 {
		session := fmt.Sprint("team-", i)
		send := func(want int, method, path, body string) {
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
			if err == nil {
				r.Header.Set("Authorization", "Bearer "+a.Token())
				var response *http.Response
				if response, err = s.Client().Do(r); err == nil {
					response.Body.Close()
					if response.StatusCode != want {
						err = fmt.Errorf("%s %s: %s", method, path, response.Status)
					}
				}
			}
			if err != nil {
				errs <- err
			}
		}
		running.Go(func() {
			for range 2 {
				send(201, "POST", "/v1/content", `{"ref": "`+session+`/app:v1", "image": {"layers": 1}}`)
				send(201, "POST", "/v1/faults?session="+session, "get-manifest times=2 status=503")
				for n, want := range []int{503, 503, 200} {
					if status, _ := a.pull(t, "/v2/"+session+"/app/manifests/v1"); status != want {
						errs <- fmt.Errorf("%s: request %d has status %d", session, n, status)
					}
				}
				send(200, "GET", "/v1/requests?wait=3&session="+session, "")
				send(200, "GET", "/v1/requests?format=har", "")
				send(200, "GET", "/v1/findings?session="+session, "")
				send(201, "POST", "/v1/snapshots", "")
				send(200, "GET", "/v1/snapshots", "")
				send(201, "POST", "/v1/tamper", `{"ref": "`+session+`/app:v1", "truncate": 1}`)
				send(200, "GET", "/v1/tamper", "")
				send(200, "POST", "/v1/clock", `{"advance": "1s"}`)
				send(200, "GET", "/v1/", "")
				send(204, "DELETE", "/v1/faults?check&session="+session, "")
				send(204, "POST", "/v1/reset?session="+session, "")
				if status, _ := a.pull(t, "/v2/"+session+"/app/manifests/v1"); status != 404 {
					errs <- fmt.Errorf("%s: status %d after the reset", session, status)
				}
			}
		})
	}
	running.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	s.Close()
	c.Close()
	require.NoError(t, reg.Close())
}

// A control API leaves no goroutine behind when its clients disconnect and its
// server closes.
func TestNothingIsLeft(t *testing.T) {
	// This test counts goroutines, so it does not run in parallel with others.
	before := runtime.NumGoroutine()
	c, err := control.New(control.Config{})
	require.NoError(t, err)
	reg, err := registrytest.StartServer(c)
	require.NoError(t, err)
	a := &api{c, c.Handler(reg), reg}
	begun := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		a.handler.ServeHTTP(w, r)
	}))
	a.do(t, 201, "POST", "/v1/holds", "any")
	held := make(chan int)
	go func() {
		status, _ := a.pull(t, "/v2/")
		held <- status
	}()
	a.do(t, 200, "GET", "/v1/holds/h1?wait=1m", "")

	// These clients disconnect while they follow the journal or wait.
	var running sync.WaitGroup
	ctx, hangUp := context.WithCancel(t.Context())
	for _, path := range []string{"/v1/requests?follow", "/v1/requests?wait=100&timeout=1h", "/v1/holds/h1?wait=1h&count=100"} {
		running.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "GET", s.URL+path, nil)
			if err == nil {
				r.Header.Set("Authorization", "Bearer "+a.Token())
				var response *http.Response
				if response, err = s.Client().Do(r); err == nil {
					buffer := make([]byte, 1<<16)
					for err == nil {
						_, err = response.Body.Read(buffer)
					}
					response.Body.Close()
				}
			}
		})
		// This client never reads its response.
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", path, a.Token())
		defer conn.Close()
		<-begun
		<-begun // CloseClientConnections misses connections that are not accepted yet.
	}
	hangUp()
	running.Wait()
	s.CloseClientConnections()
	s.Close() // Close waits for all requests.
	c.Close()
	require.Equal(t, 200, <-held, "the gate opens")
	require.NoError(t, reg.Close())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		stacks := make([]byte, 1<<20)
		t.Fatalf("the test left goroutines: %d now, %d before:\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
	}
}
