package control_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/control"
)

// Each endpoint of the API succeeds, in an order in which a client may use them.
func TestEachRequest(t *testing.T) {
	t.Parallel()
	b := auth.BearerOrBasic("anonymous pull **")
	a := newAPI(t, control.Config{Auth: b}, b)
	missing := make(map[string]bool)
	for pattern := range control.Routes() {
		missing[pattern] = true
	}
	do := func(status int, request, body string, want ...string) {
		t.Helper()
		method, target, _ := strings.Cut(request, " ")
		text := a.text(t, status, method, target, body)
		for _, part := range want {
			require.Contains(t, text, part, request)
		}
		path, _, _ := strings.Cut(request, "?")
		for pattern := range missing {
			if regexp.MustCompile("^" + regexp.MustCompile(`\{path\}`).ReplaceAllString(regexp.MustCompile(`\{(id|name|action)\}`).ReplaceAllString(pattern, "[^/]+"), ".*") + "$").MatchString(path) {
				delete(missing, pattern)
			}
		}
	}
	do(200, "GET /v1/", "", `"version":`, `"registries":`, `"url":"`+a.reg.URL)
	do(200, "GET /v1/openapi.json", "", `"3.1.0"`)
	do(201, "POST /v1/content", `{"ref":"team/app:v1","image":{"layers":3,"platforms":["linux/amd64"]}}`, `"digest":"sha256:`)
	do(201, "POST /v1/snapshots", `{"name": "seeded"}`, `"id":"s1"`)
	archive := a.text(t, 200, "GET", "/v1/content", "")
	do(200, "GET /v1/content", "")
	do(200, "GET /v1/registry/v2/team/app/tags/list", "", "v1")

	do(201, "POST /v1/faults", "get-manifest times=2 status=503", `"id":"f2"`)
	do(201, "POST /v1/faults", `{"rule": "list-tags status=429", "session": "team"}`, `"session":"team"`)
	do(422, "POST /v1/faults", "get-blob staus=503", `did you mean \"status\"?`, `"position":9`)
	a.pull(t, "/v2/team/app/manifests/v1")
	a.pull(t, "/v2/team/app/manifests/other")
	do(200, "GET /v1/faults/f2", "", `"fired":2`)
	do(200, "GET /v1/faults", "", "f2", "f3")
	do(204, "DELETE /v1/faults/f2?check", "")
	a.pull(t, "/v2/team2/app/tags/list")
	do(409, "DELETE /v1/faults?check", "", "did not happen as it says", "it nearly hit these requests", "list-tags team2/app, but not repo=team/**")

	do(201, "POST /v1/holds", "list-tags", `"id":"h4"`)
	done := make(chan int)
	go func() {
		status, _ := a.pull(t, "/v2/team/app/tags/list")
		done <- status
	}()
	do(200, "GET /v1/holds/h4?wait=5s", "", `"waiting":["list-tags team/app"]`)
	do(200, "GET /v1/holds", "", "h4")
	do(200, "POST /v1/holds/h4/release", "", `"released":true`)
	require.Equal(t, http.StatusOK, <-done)
	do(204, "DELETE /v1/holds/h4?check", "")
	do(204, "DELETE /v1/holds", "")

	do(200, "GET /v1/requests?op=get-manifest&repo=team/*&status=503&failed&since=1&wait=1&timeout=5s", "", `"number":2`)
	do(504, "GET /v1/requests?wait=30&timeout=5ms", "", "waited 5ms: 4 of 30 requests arrived")
	do(200, "GET /v1/findings", "", `"findings":`)
	do(200, "DELETE /v1/requests", "", `"since":4`)

	do(201, "POST /v1/tamper", `{"ref": "team/app:v1", "drop": true}`, `"id":"t5"`)
	status, _ := a.pull(t, "/v2/team/app/manifests/v1")
	require.Equal(t, http.StatusNotFound, status)
	do(200, "GET /v1/tamper", "", "t5")
	do(204, "DELETE /v1/tamper/t5?check", "")
	do(204, "DELETE /v1/tamper", "")
	do(200, "PUT /v1/content", archive, "team/app")
	do(200, "GET /v1/snapshots", "", "seeded")
	do(200, "POST /v1/snapshots/seeded/restore", "", `"id":"s1"`)
	do(204, "DELETE /v1/snapshots/s1", "")

	do(200, "PUT /v1/users/ci", `{"rights": ["pull,push team/**"]}`, `"config":{"auths":{"`+a.reg.Host())
	do(200, "PUT /v1/users/ci?config", "", `{"auths":`)
	do(204, "DELETE /v1/tokens", "")
	do(204, "DELETE /v1/users/ci", "")
	do(200, "POST /v1/clock", `{"advance": "6m"}`, `"now":`)
	for _, action := range []string{"stop", "start", "restart", "refuse", "start", "silence", "start", "drop"} {
		do(200, "POST /v1/listener/"+action, "", `"listener":`)
	}
	do(204, "POST /v1/reset", `{"keep": ["users"]}`)
	require.Empty(t, missing, "this test sends no such requests")
}
