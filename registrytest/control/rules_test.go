package control_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/control"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	f := a.do(t, 201, "POST", "/v1/faults", "ping times=2 status=503\n")
	require.Equal(t, object{"id": "f1", "rule": "ping times=2 status=503", "fired": 0.0}, f)
	status, _ := a.pull(t, "/v2/")
	require.Equal(t, 503, status)
	require.Equal(t, 1.0, a.do(t, 200, "GET", "/v1/faults/f1", "")["fired"])

	other := a.do(t, 201, "POST", "/v1/faults", `{"rule": "list-tags status=429", "session": "team-7"}`)
	require.Equal(t, object{"id": "f2", "rule": "list-tags status=429 repo=team-7/**", "session": "team-7", "fired": 0.0}, other)
	require.Len(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"], 2)
	require.Equal(t, []any{other}, a.do(t, 200, "GET", "/v1/faults?session=team-7", "")["faults"])
	status, _ = a.pull(t, "/v2/team-70/tags/list")
	require.Equal(t, 404, status)
	status, _ = a.pull(t, "/v2/team-7/app/tags/list")
	require.Equal(t, 429, status)

	problem := a.refused(t, 409, "DELETE", "/v1/faults/f1?check", "")
	require.Contains(t, problem, `fault "ping times=2 status=503" did not happen as it says`)
	require.Contains(t, problem, "hit 1 request, not 2")
	a.refused(t, 404, "GET", "/v1/faults/f1", "")
	a.refused(t, 404, "DELETE", "/v1/faults/f1?check", "")
	a.do(t, 204, "DELETE", "/v1/faults?check", "")
	require.Empty(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"])
	status, _ = a.pull(t, "/v2/")
	require.Equal(t, 200, status)

	a.do(t, 201, "POST", "/v1/faults?session=team-8", "any status=503")
	a.do(t, 201, "POST", "/v1/faults?session=X-Test:%208", "any status=429")
	status, _ = a.pull(t, "/v2/", "X-Test", "8")
	require.Equal(t, 429, status)
	a.do(t, 204, "DELETE", "/v1/faults?session=team-8", "")
	require.Len(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"], 1)
	a.do(t, 201, "POST", "/v1/faults", "get-blob status=418")
	a.do(t, 201, "POST", "/v1/faults", "ping status=418")
	problem = a.refused(t, 409, "DELETE", "/v1/faults?check", "")
	require.Contains(t, problem, `fault "get-blob status=418" did not happen as it says`, "each rule has its report")
	require.Contains(t, problem, `fault "ping status=418" did not happen as it says`)
	a.do(t, 201, "POST", "/v1/faults", "ping status=418")
	a.do(t, 204, "DELETE", "/v1/faults", "") // without check, an unused rule is no error

	bad := a.do(t, 422, "POST", "/v1/faults", "ping staus=503")
	require.Equal(t, object{"error": `fault rule "ping staus=503": no fault is called "staus"; did you mean "status"?`, "position": 5.0}, bad)
	// The rule is valid. Only the session does not fit it, so the error has no
	// position.
	require.NotContains(t, a.do(t, 422, "POST", "/v1/faults", `{"rule": "ping status=500", "session": "team"}`), "position")
	for body, want := range map[string]string{
		"": "it names no requests", "ping": "it has no effect: add an action, such as status=503 or close", `{"rule": "ping times=1 close status=500"}`: "cannot respond to a request and also",
		`{"rule": "ping status=500", "session": "team"}`: "no ping request has a repository",
	} {
		require.Contains(t, a.refused(t, 422, "POST", "/v1/faults", body), want, body)
	}
	for _, body := range []string{`{"rule": 1}`, `{"rul": "ping status=500"}`, `{"rule": "ping status=500"} {}`, `{`, `{"rule": "any close", "session": "A b"}`} {
		a.refused(t, 400, "POST", "/v1/faults", body)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, control.Config{})
		a.do(t, 201, "POST", "/v1/holds", "ping")
		require.Contains(t, a.refused(t, 504, "GET", "/v1/holds/h1?wait=5s", ""), `waited 5s for the gate "ping": 0 of 1 requests wait at it`)
		statuses := make(chan int)
		for range 2 {
			go func() {
				time.Sleep(time.Second)
				status, _ := a.pull(t, "/v2/")
				statuses <- status
			}()
		}
		h := a.do(t, 200, "GET", "/v1/holds/h1?wait=5s&count=2", "")
		require.Equal(t, object{"id": "h1", "rule": "ping", "fired": 2.0, "waiting": []any{"ping", "ping"}, "released": false}, h)
		require.Equal(t, []any{h}, a.do(t, 200, "GET", "/v1/holds", "")["holds"])
		require.Empty(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"], "a hold is no fault")
		a.refused(t, 404, "GET", "/v1/faults/h1", "")
		require.Equal(t, true, a.do(t, 200, "POST", "/v1/holds/h1/release", "")["released"])
		require.Equal(t, []int{200, 200}, []int{<-statuses, <-statuses})
		require.Equal(t, true, a.do(t, 200, "GET", "/v1/holds/h1?wait=5s&count=9", "")["released"])
		a.do(t, 204, "DELETE", "/v1/holds/h1?check", "")

		a.do(t, 201, "POST", "/v1/holds", "ping")
		go func() {
			status, _ := a.pull(t, "/v2/")
			statuses <- status
		}()
		a.do(t, 200, "GET", "/v1/holds/h2?wait=5s", "")
		a.do(t, 204, "DELETE", "/v1/holds", "")
		require.Equal(t, 200, <-statuses, "a gate that is removed opens")
		a.do(t, 201, "POST", "/v1/holds", "list-tags")
		require.Contains(t, a.refused(t, 409, "DELETE", "/v1/holds?check", ""), `gate "list-tags" did not happen as it says`)
		a.refused(t, 404, "POST", "/v1/holds/h9/release", "")
		a.refused(t, 400, "GET", "/v1/holds?wait=1s", "")
	})
}
