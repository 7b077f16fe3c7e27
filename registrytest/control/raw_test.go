package control_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/control"
)

// Requests that an HTTP library would not send get a response, which is an error if the
// request is malformed or not permitted. They have no effect.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{Token: "s3cret", Page: http.NotFoundHandler()})
	s := httptest.NewUnstartedServer(a.handler)
	s.Config.DisableGeneralOptionsHandler = true // as the command ocireg does
	s.Start()
	defer s.Close()
	const auth = "Authorization: Bearer s3cret\r\n"
	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n" + auth + "\r\n", 403},
		{"star", "GET * HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 404},
		{"absolute", "GET http://localhost/v1/ HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 200},
		{"absolute, of another host", "GET http://evil.example/v1/ HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 403},
		{"absolute, for the page of another host", "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 403},
		{"connect", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 404},
		{"connect to a path", "CONNECT /v1/faults HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 405},
		{"no host", "GET /v1/ HTTP/1.0\r\n" + auth + "\r\n", 403},
		{"two hosts", "GET /v1/ HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n" + auth + "\r\n", 400},
		{"two tokens", "GET /v1/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n" + auth + "\r\n", 401},
		{"huge header", "GET /v1/ HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", 431},
		{"huge query", "GET /v1/requests?repo=" + strings.Repeat("*", 900<<10) + " HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 200},
		{"semicolons", "GET /v1/requests?op=ping;failed HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 400},
		{"escaped path", "GET /v1%2ffaults HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 404},
		{"odd method", "get /v1/faults HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\n", 405},
		{"body of a GET", "GET /v1/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n" + auth + "\r\nabc", 200},
		{"body that is cut", "POST /v1/faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n" + auth + "\r\nany close", 400},
		{"chunks that are cut", "POST /v1/faults HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + auth + "\r\n9\r\nany close\r\n", 400},
		{"object that is cut", "POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n" + auth + "\r\n{}", 400},
		{"archive that is cut", "PUT /v1/content HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n" + auth + "\r\nabc", 400},
		{"recipe that is cut", "POST /v1/content HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n" + auth + "\r\n{\"ref\":\"a:v1\",\"image\":{}}", 400},
		{"empty body of content", "POST /v1/content HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" + auth + "\r\n", 400},
		{"clock with a cut body", "POST /v1/clock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n" + auth + "\r\n{\"advance\":\"6m\"}", 400},
		{"outage with a cut body", "POST /v1/listener/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n" + auth + "\r\n", 400},
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		sent := make(chan struct{})
		go func() { // The server may respond before it has read the whole request.
			io.WriteString(conn, test.request)
			conn.(*net.TCPConn).CloseWrite()
			close(sent)
		}()
		method, _, _ := strings.Cut(test.request, " ")
		response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		if test.status == 431 && err != nil {
			conn.Close() // The connection may be reset before the response is read.
			<-sent
			continue
		}
		require.NoError(t, err, test.name)
		body, _ := io.ReadAll(response.Body)
		conn.Close()
		<-sent
		if test.status != response.StatusCode {
			t.Errorf("%s: %d, not %d: %.200s", test.name, response.StatusCode, test.status, body)
		}
		require.NotContains(t, string(body), "s3cret", test.name)
	}
	require.Empty(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"])
	require.Equal(t, "up", a.do(t, 200, "GET", "/v1/", "")["listener"])
	require.Empty(t, repositories(t, a.reg.Store))
}
