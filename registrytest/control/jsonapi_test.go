package control_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/jsonapi"
)

// Each response of an API of package jsonapi has the right status, and an error is one
// sentence in JSON. The test is in this package to save a test binary, since only this
// package uses jsonapi.
func TestJSONAPI(t *testing.T) {
	t.Parallel()
	api := &jsonapi.API{Name: "test", Prefix: "/v1", Help: "there is one", Token: "s3cret"}
	api.Handle(jsonapi.Endpoint{Pattern: "POST /v1/x", Status: 201, Parameters: "a n d l", Serve: func(c *jsonapi.Call) (any, error) {
		var in struct{ Error string }
		if err := c.Decode(&in); err != nil {
			return nil, err
		}
		switch in.Error {
		case "missing":
			return nil, fmt.Errorf("no x: %w", fs.ErrNotExist)
		case "unsupported":
			return nil, fmt.Errorf("not x: %w", errors.ErrUnsupported)
		case "other":
			return nil, errors.New("failed")
		case "members":
			err := jsonapi.Fail(422, "odd")
			err.Members = map[string]any{"position": 3}
			return nil, fmt.Errorf("wrapped: %w", err)
		}
		a, _ := c.Value("a")
		return map[string]any{"a": a, "n": c.Number("n", 1, 7), "d": c.Duration("d", time.Second).String(), "l": c.List("l")}, c.Err
	}})
	api.Handle(jsonapi.Endpoint{Pattern: "DELETE /v1/x", Status: 204, Serve: func(*jsonapi.Call) (any, error) { return nil, nil }})
	api.Handle(jsonapi.Endpoint{Pattern: "GET /v1/cut", Serve: func(c *jsonapi.Call) (any, error) {
		fmt.Fprint(c.Response, "part")
		return nil, errors.New("failed")
	}})
	send := func(method, target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://127.0.0.1:1"+target, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer s3cret")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	for _, test := range []struct {
		target, body string
		status       int
		want         string
	}{
		{"POST /v1/x", "", 201, `{"a":"","d":"1s","l":[""],"n":7}`},
		{"POST /v1/x?a=1&n=2&d=3s&l=4&l=5,6", " {} ", 201, `{"a":"1","d":"3s","l":["4","5","6"],"n":2}`},
		{"DELETE /v1/x", "", 204, ""},
		{"POST /v1/x?b=1", "", 400, `{"error":"this request has no parameter \"b\"; it has: a n d l"}`},
		{"DELETE /v1/x?b", "", 400, `{"error":"this request has no parameter \"b\"; it has: none"}`},
		{"POST /v1/x?a", "", 400, `{"error":"a has no value; leave it out, or give it one"}`},
		{"POST /v1/x?a=1,2", "", 400, `{"error":"a has more than one value"}`},
		{"POST /v1/x?n=0", "", 400, `{"error":"n=\"0\" is not a number of at least 1"}`},
		{"POST /v1/x?d=-1s&n=x", "", 400, `{"error":"n=\"x\" is not a number of at least 1"}`},
		{"POST /v1/x?d=-1s", "", 400, `{"error":"d=\"-1s\" is not a duration, such as 5s"}`},
		{"POST /v1/x", `{"x": 1}`, 400, `{"error":"the body is not the JSON of this request: unknown field \"x\""}`},
		{"POST /v1/x", `{}{}`, 400, `{"error":"the body is not the JSON of this request: it is not one JSON object"}`},
		{"POST /v1/x", `null`, 400, `{"error":"the body is not the JSON of this request: it is not one JSON object"}`},
		{"POST /v1/x", strings.Repeat(" ", jsonapi.MaxBody+1), 413, `{"error":"the body has more than 1048576 bytes, uncompressed"}`},
		{"POST /v1/x", `{"error": "missing"}`, 404, `{"error":"no x: file does not exist"}`},
		{"POST /v1/x", `{"error": "unsupported"}`, 409, `{"error":"not x: unsupported operation"}`},
		{"POST /v1/x", `{"error": "other"}`, 500, `{"error":"failed"}`},
		{"POST /v1/x", `{"error": "members"}`, 422, `{"error":"wrapped: odd","position":3}`},
		{"PATCH /v1/x", "", 405, `{"error":"\"/v1/x\" takes POST, DELETE, not \"PATCH\""}`},
		{"GET /v1/y", "", 404, `{"error":"the test API has no \"/v1/y\"; there is one"}`},
	} {
		method, target, _ := strings.Cut(test.target, " ")
		w := send(method, target, test.body)
		require.Equal(t, test.status, w.Code, "%v: %s", test, w.Body)
		require.Equal(t, test.want, strings.TrimSpace(w.Body.String()), test)
	}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { send("GET", "/v1/cut", "") }, "the API cuts a response that has begun")
}

// An API of package jsonapi without a token refuses every request.
func TestJSONAPIWithoutToken(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "http://127.0.0.1:1/v1/x", nil)
	r.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	(&jsonapi.API{Prefix: "/v1"}).ServeHTTP(w, r)
	require.Equal(t, 401, w.Code)
}
