// Package testclient provides a client that sends requests in tests.
package testclient

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A Client sends requests to one server for one test.
type Client struct {
	*http.Client

	t    testing.TB
	base string
}

// New returns a client that sends requests with c to the server at the base URL.
func New(t testing.TB, c *http.Client, base string) Client {
	return Client{c, t, base}
}

// A Response is a response with its whole body, or the error of the request. If
// reading the body failed, both Status and the error are set.
type Response struct {
	Status int
	Header http.Header
	Body   string
	Err    error
}

// Do sends a request to the target, an absolute URL or a path. The header is
// given as pairs of names and values.
func (c Client) Do(method, target, body string, header ...string) Response {
	c.t.Helper()
	if !strings.Contains(target, "://") {
		target = c.base + target
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		c.t.Fatalf("making a request: %v", err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Client.Do(r)
	if err != nil {
		return Response{Err: err}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return Response{resp.StatusCode, resp.Header, string(content), err}
}

// Get sends a GET request, see [Client.Do].
func (c Client) Get(target string, header ...string) Response {
	c.t.Helper()
	return c.Do(http.MethodGet, target, "", header...)
}
