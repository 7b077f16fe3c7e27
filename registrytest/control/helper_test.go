package control_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/control"
)

// An api is a registry in memory and its control API. The tests call the handler
// directly.
type api struct {
	*control.Control
	handler http.Handler
	reg     *registrytest.Server
}

// newAPI starts a registry with the options, and returns it with its control
// API.
func newAPI(t testing.TB, config control.Config, opts ...registrytest.Option) *api {
	t.Helper()
	c, err := control.New(config)
	require.NoError(t, err)
	reg, err := registrytest.StartServer(append(opts, c, registrytest.WithInMemory())...)
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		require.NoError(t, reg.Close())
	})
	return &api{c, c.Handler(reg), reg}
}

// An object is a decoded JSON object.
type object = map[string]any

// request returns a request to the control API, with its token.
func (a *api) request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:1"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+a.Token())
	return r
}

// send returns the response of the control API to a request.
func (a *api) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return w
}

// text sends a request to the control API and returns the response body. It
// fails the test if the response does not have the status.
func (a *api) text(t testing.TB, status int, method, target, body string) string {
	t.Helper()
	w := a.send(a.request(method, target, body))
	require.Equal(t, status, w.Code, "%s %s: %s", method, target, w.Body)
	checkShape(t, method, target, w)
	return w.Body.String()
}

// do sends a request to the control API and returns the JSON object in the
// response. It fails the test if the response does not have the status.
func (a *api) do(t testing.TB, status int, method, target, body string) object {
	t.Helper()
	text := a.text(t, status, method, target, body)
	if status == http.StatusNoContent {
		require.Empty(t, text)
		return nil
	}
	var o object
	require.NoError(t, json.Unmarshal([]byte(text), &o), text)
	return o
}

// refused sends a request to the control API and returns the error message in
// the response. It fails the test if the response does not have the status.
func (a *api) refused(t testing.TB, status int, method, target, body string) string {
	t.Helper()
	return a.do(t, status, method, target, body)["error"].(string)
}

// pull sends a GET request to the registry, not to its API, and returns the
// status and the body of the response.
func (a *api) pull(t testing.TB, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", a.reg.URL+path, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := a.reg.Client().Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err.Error()
	}
	return response.StatusCode, string(body)
}

// lines decodes NDJSON: one JSON object a line.
func lines(t testing.TB, text string) (list []object) {
	t.Helper()
	for line := range bytes.Lines([]byte(text)) {
		var o object
		require.NoError(t, json.Unmarshal(line, &o), text)
		list = append(list, o)
	}
	return list
}
