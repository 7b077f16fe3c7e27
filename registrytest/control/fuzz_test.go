package control_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/control"
)

// answered sends a request to the control API and returns the status of the
// response. It fails the test if the response is an unexpected failure of the
// server, or if its error is not JSON.
func answered(t *testing.T, a *api, method, target, body string) int {
	t.Helper()
	w := a.send(a.request(method, target, body))
	if w.Code >= 500 && w.Code != 504 {
		t.Fatalf("%s %s %q: %d %s", method, target, body, w.Code, w.Body)
	}
	if w.Code >= 400 {
		var e struct {
			Error    string
			Position *int
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e))
		require.NotEmpty(t, e.Error)
		if e.Position != nil {
			require.LessOrEqual(t, *e.Position, len(body))
		}
	}
	return w.Code
}

func FuzzRule(f *testing.F) {
	for _, body := range []string{"get-blob times=2 status=503", `{"rule": "any close", "session": "x"}`, `{"rule": 1}`, "{", "ping delay=1s then once close"} {
		f.Add(body, "team-7")
	}
	f.Add("any close", "X-Test: 7")
	f.Fuzz(func(t *testing.T, body, session string) {
		a := newAPI(t, control.Config{})
		for _, kind := range []string{"faults", "holds"} {
			if answered(t, a, "POST", "/v1/"+kind+"?session="+url.QueryEscape(session), body) == 201 {
				require.Len(t, a.do(t, 200, "GET", "/v1/"+kind, "")[kind], 1)
				answered(t, a, "DELETE", "/v1/"+kind+"?check", "")
				require.Empty(t, a.do(t, 200, "GET", "/v1/"+kind, "")[kind])
			}
		}
	})
}

func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		seed, `{"ref": "a:v1", "raw": {"mediaType": "x", "content": "y"}}`, `{"ref": "a:v1", "flip": 1}`, `{"name": "x"}`, `{"advance": "1s"}`,
		`{"keep": ["content"], "session": "a"}`, `{"password": "x", "rights": ["pull **"]}`, `{"first": 1}`, "", "[]", "null", "{}{}",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		a := newAPI(t, control.Config{MaxImport: 1 << 16})
		a.reg.Push(new(fatal), "a:v1", content.Image())
		for _, target := range []string{
			"POST /v1/content", "POST /v1/tamper", "POST /v1/snapshots", "POST /v1/clock", "PUT /v1/users/x", "POST /v1/listener/refuse", "POST /v1/reset", "PUT /v1/content",
		} {
			method, path, _ := strings.Cut(target, " ")
			answered(t, a, method, path, body)
		}
		require.Equal(t, 200, answered(t, a, "GET", "/v1/content", ""))
	})
}

func FuzzQuery(f *testing.F) {
	for _, query := range []string{"op=get-blob&status=200", "wait=1&timeout=1ms", "session=X: y&failed", "format=har&bodies", "digest=sha256:*&repo=**", "since=1&number=2", "%zz;"} {
		f.Add(query)
	}
	a := newAPI(f, control.Config{})
	a.pull(f, "/v2/team/app/tags/list")
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsAny(query, "#\n\r \t\x00") || strings.Contains(query, "follow") || strings.Contains(query, "sse") || strings.Contains(query, "wait") {
			t.Skip("no URL, or a long wait")
		}
		if _, err := url.ParseRequestURI("/v1/requests?" + query); err != nil {
			t.Skip(err)
		}
		for _, path := range []string{"/v1/requests?", "/v1/findings?", "/v1/faults?", "/v1/content?"} {
			answered(t, a, "GET", path+query, "")
		}
	})
}

func FuzzArchive(f *testing.F) {
	a := newAPI(f, control.Config{})
	a.do(f, 201, "POST", "/v1/content", `{"ref": "a:v1", "image": {"layerSizes": [10]}}`)
	whole := a.text(f, 200, "GET", "/v1/content", "")
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add("\x1f\x8b\x08")
	f.Fuzz(func(t *testing.T, archive string) {
		b := newAPI(t, control.Config{MaxImport: 1 << 20})
		if answered(t, b, "PUT", "/v1/content", archive) >= 400 {
			require.Empty(t, repositories(t, b.reg.Store))
		}
	})
}
