package control_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/control"
)

func TestAbout(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	got := a.do(t, 200, "GET", "/v1/", "")
	require.Equal(t, "up", got["listener"])
	require.Equal(t, []any{object{"name": a.reg.Host(), "url": a.reg.URL}}, got["registries"])
	a = newAPI(t, control.Config{URL: "https://registry.test", CA: "PEM", Profile: "ghcr"})
	require.Equal(t, []any{object{"name": "registry.test", "url": "https://registry.test", "ca": "PEM", "profile": "ghcr"}}, a.do(t, 200, "GET", "/v1/", "")["registries"])
}

// basic returns the value of Authorization for the credentials in a Docker
// config.json.
func basic(t testing.TB, config any) string {
	t.Helper()
	for _, entry := range config.(object)["auths"].(object) {
		return "Basic " + entry.(object)["auth"].(string)
	}
	t.Fatal("config.json has no credentials")
	return ""
}

func TestUsers(t *testing.T) {
	t.Parallel()
	b := auth.Basic()
	a := newAPI(t, control.Config{Auth: b}, b)
	status := func(authorization, path string) int {
		status, _ := a.pull(t, path, "Authorization", authorization)
		return status
	}
	a.do(t, 201, "POST", "/v1/content", seed)
	a.do(t, 201, "POST", "/v1/content", `{"ref": "secret:v1", "image": {}}`)
	ci := a.do(t, 200, "PUT", "/v1/users/ci", `{"password": "pw", "rights": ["pull team-7/**"]}`)
	require.Equal(t, "pw", ci["password"])
	require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("ci:pw")), basic(t, ci["config"]))
	require.Equal(t, 200, status(basic(t, ci["config"]), "/v2/team-7/app/manifests/v1"))
	require.Equal(t, 403, status(basic(t, ci["config"]), "/v2/secret/manifests/v1"))
	all := basic(t, a.do(t, 200, "PUT", "/v1/users/all?config", ""))
	require.Equal(t, 200, status(all, "/v2/secret/manifests/v1"))
	again := a.do(t, 200, "PUT", "/v1/users/ci", "")
	require.Equal(t, 401, status(basic(t, ci["config"]), "/v2/team-7/app/manifests/v1"), "the PUT replaced the password")
	require.Equal(t, 200, status(basic(t, again["config"]), "/v2/secret/manifests/v1"))
	a.do(t, 204, "DELETE", "/v1/users/ci", "")
	require.Equal(t, 401, status(basic(t, again["config"]), "/v2/secret/manifests/v1"))
	a.refused(t, 404, "DELETE", "/v1/users/nobody", "")

	// The API refuses an invalid user, and the registry stays up.
	for _, body := range []string{`{"rights": []}`, `{"rights": ["pull"]}`, `{"rights": ["fly **"]}`} {
		a.refused(t, 422, "PUT", "/v1/users/x", body)
	}
	for _, name := range []string{"*", "anonymous", "a:b", "a%20b", "a%0ab"} {
		a.refused(t, 422, "PUT", "/v1/users/"+name, "")
	}
	require.Equal(t, 200, status(all, "/v2/secret/manifests/v1"))

	open := newAPI(t, control.Config{})
	for _, request := range []string{"PUT /v1/users/ci", "DELETE /v1/users/ci", "DELETE /v1/tokens"} {
		method, path, _ := strings.Cut(request, " ")
		require.Contains(t, open.refused(t, 409, method, path, ""), "no authentication")
	}
}

// The repositories of one layout share their blobs, so a user needs the same
// rights to all repositories. The API refuses other rights, and the registry
// stays up.
func TestUsersOfSharedStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := layout.Open(dir, layout.Repository("app"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	require.NoError(t, err)
	b := auth.Basic()
	a := newAPI(t, control.Config{Auth: b}, b, registrytest.WithStore(l))
	if !l.SharesBlobs() {
		t.Skip("the store does not share its blobs")
	}
	require.Contains(t, a.refused(t, 422, "PUT", "/v1/users/ci", `{"rights": ["pull team/**"]}`), "share their blobs")
	all := basic(t, a.do(t, 200, "PUT", "/v1/users/all?config", ""))
	status, _ := a.pull(t, "/v2/", "Authorization", all)
	require.Equal(t, 200, status)
}

// Tokens and upload sessions expire by the registry's clock, which a reset
// restores.
func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := auth.Bearer("anonymous push,pull **")
		a := newAPI(t, control.Config{Auth: b}, b)
		credentials := basic(t, a.do(t, 200, "PUT", "/v1/users/ci?config", ""))
		token := func() string {
			status, body := a.pull(t, "/token?scope=repository:x:pull&service="+a.reg.Host(), "Authorization", credentials)
			require.Equal(t, 200, status)
			var response struct{ Token string }
			require.NoError(t, json.Unmarshal([]byte(body), &response))
			return "Bearer " + response.Token
		}
		ping := func(token string) int {
			status, _ := a.pull(t, "/v2/", "Authorization", token)
			return status
		}
		first := token()
		response, err := a.reg.Client().Post(a.reg.URL+"/v2/x/blobs/uploads/", "", nil)
		require.NoError(t, err)
		response.Body.Close()
		location := response.Header.Get("Location")
		upload := func() int {
			status, _ := a.pull(t, location)
			return status
		}
		require.Equal(t, 204, upload())
		require.Equal(t, 200, ping(first))
		now := a.do(t, 200, "POST", "/v1/clock", `{"advance": "6m"}`)["now"]
		require.Equal(t, time.Now().Add(6*time.Minute).Format(time.RFC3339Nano), now)
		require.Equal(t, 401, ping(first))
		second := token()
		require.Equal(t, 200, ping(second))
		require.Equal(t, 204, upload())
		a.do(t, 200, "POST", "/v1/clock", `{"advance": "1h"}`)
		require.Equal(t, 404, upload())
		third := token()
		a.do(t, 204, "DELETE", "/v1/tokens", "")
		require.Equal(t, 401, ping(third))
		for _, body := range []string{"", `{"advance": "-1s"}`, `{"advance": "x"}`, `{"advance": "100000h"}`, `[]`, `null`} {
			a.refused(t, 400, "POST", "/v1/clock", body)
		}
		a.do(t, 204, "POST", "/v1/reset", "")
		require.Equal(t, time.Now().Format(time.RFC3339Nano), a.do(t, 200, "GET", "/v1/", "")["now"])
	})
}

func TestReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := auth.Basic("anonymous pull,push **")
		ci := b.User("ci")
		start := http.Header{}
		r := &http.Request{Header: start}
		r.SetBasicAuth(ci.Username, ci.Password)
		a := newAPI(t, control.Config{Auth: b, Faults: []string{"list-tags times=1 status=429"}}, b)
		status := func(path string, header ...string) int {
			status, _ := a.pull(t, path, header...)
			return status
		}
		change := func() {
			a.do(t, 201, "POST", "/v1/content", seed)
			require.Equal(t, 429, status("/v2/team-7/app/tags/list"))
			a.do(t, 201, "POST", "/v1/faults", "get-manifest status=500")
			a.do(t, 201, "POST", "/v1/holds", "ping")
			a.do(t, 201, "POST", "/v1/tamper", `{"ref": "team-7/app:v1", "drop": true}`)
			a.do(t, 201, "POST", "/v1/snapshots", "")
			a.do(t, 200, "PUT", "/v1/users/ci", `{"password": "other"}`)
			a.do(t, 200, "POST", "/v1/clock", `{"advance": "1h"}`)
			a.do(t, 200, "POST", "/v1/listener/stop", "")
		}
		state := func() object {
			return object{
				"listener": a.do(t, 200, "GET", "/v1/", "")["listener"], "now": a.do(t, 200, "GET", "/v1/", "")["now"],
				"faults": len(a.do(t, 200, "GET", "/v1/faults", "")["faults"].([]any)), "holds": len(a.do(t, 200, "GET", "/v1/holds", "")["holds"].([]any)),
				"tampered": len(a.do(t, 200, "GET", "/v1/tamper", "")["tampered"].([]any)), "snapshots": len(a.do(t, 200, "GET", "/v1/snapshots", "")["snapshots"].([]any)),
				"repositories": repositories(t, a.reg.Store), "requests": len(a.numbers(t, "")),
			}
		}
		before := state()
		for range 2 {
			change()
			require.NotEqual(t, before, state())
			a.do(t, 204, "POST", "/v1/reset", "")
			require.Equal(t, before, state())
			require.Equal(t, 404, status("/v2/team-7/app/manifests/v1", "Authorization", start.Get("Authorization")), "a reset restores the first password")
			a.do(t, 200, "DELETE", "/v1/requests", "")
		}

		change()
		kept := state()
		a.do(t, 204, "POST", "/v1/reset", `{"keep": ["faults","holds","tamper","listener","clock","users","content","snapshots","requests"]}`)
		require.Equal(t, kept, state())
		a.refused(t, 400, "POST", "/v1/reset", `{"keep": ["fault"]}`)
		a.refused(t, 400, "POST", "/v1/reset", `{"session": "X"}`)
		a.do(t, 204, "POST", "/v1/reset", `{"keep": ["content"]}`)
		require.Equal(t, []string{"team-7/app"}, repositories(t, a.reg.Store))
	})
}

// A reset of a session does not affect other sessions.
func TestResetOfSession(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	for _, s := range []string{"team-7", "team-8"} {
		a.do(t, 201, "POST", "/v1/content", `{"ref": "`+s+`/app:v1", "image": {"layers": 1}}`)
		a.do(t, 201, "POST", "/v1/faults?session="+s, "list-tags status=429")
		a.do(t, 201, "POST", "/v1/holds?session="+s, "put-manifest")
		a.do(t, 201, "POST", "/v1/tamper", `{"ref": "`+s+`/app:v1", "drop": true}`)
		a.pull(t, "/v2/"+s+"/app/tags/list")
	}
	a.do(t, 201, "POST", "/v1/faults?session=X-Test:7", "any status=418")
	a.do(t, 204, "POST", "/v1/reset", `{"session": "team-7"}`)
	require.Equal(t, []string{"team-8/app"}, repositories(t, a.reg.Store))
	require.Empty(t, a.do(t, 200, "GET", "/v1/faults?session=team-7", "")["faults"])
	require.Len(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"], 2)
	require.Len(t, a.do(t, 200, "GET", "/v1/holds", "")["holds"], 1)
	require.Len(t, a.do(t, 200, "GET", "/v1/tamper", "")["tampered"], 1)
	require.Nil(t, a.numbers(t, "?session=team-7"))
	require.Equal(t, []int{2}, a.numbers(t, "?session=team-8"))
	a.do(t, 204, "POST", "/v1/reset?session=X-Test:%207", "")
	require.Len(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"], 1)
	require.Equal(t, []string{"team-8/app"}, repositories(t, a.reg.Store))
}

// A registry on disk refuses to reset its content. One in memory resets it.
func TestResetOfDirectory(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, a *api, memory bool) {
		a.do(t, 201, "POST", "/v1/content", seed)
		a.do(t, 201, "POST", "/v1/faults", "any status=500")
		if memory {
			a.do(t, 204, "POST", "/v1/reset", "")
			require.Empty(t, repositories(t, a.reg.Store))
			return
		}
		require.Contains(t, a.refused(t, 409, "POST", "/v1/reset", ""), "is on disk")
		require.Len(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"], 1, "a refused reset changes nothing")
		a.do(t, 204, "POST", "/v1/reset", `{"keep": ["content"]}`)
		require.Empty(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"])
	})
}

func TestOutages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, control.Config{})
		up := func() bool {
			a.reg.Client().Timeout = time.Second
			status, _ := a.pull(t, "/v2/")
			return status == 200
		}
		change := func(action, body string) any {
			return a.do(t, 200, "POST", "/v1/listener/"+action, body)["listener"]
		}
		require.True(t, up())
		for _, test := range []struct{ action, state string }{{"stop", "stopped"}, {"refuse", "refusing"}, {"silence", "silent"}} {
			change("drop", "")
			require.Equal(t, test.state, change(test.action, ""))
			require.Equal(t, test.state, a.do(t, 200, "GET", "/v1/", "")["listener"])
			require.False(t, up(), test.action)
			require.Equal(t, "up", change("start", ""))
			require.True(t, up(), test.action)
		}
		for _, action := range []string{"refuse", "silence"} {
			change("drop", "")
			require.Equal(t, "up", change(action, `{"first": 2}`))
			require.Equal(t, []bool{false, false, true}, []bool{up(), up(), up()}, action)
		}
		change("refuse", `{"first": 9}`)
		change("drop", "")
		require.Equal(t, "up", change("start", ""))
		require.True(t, up(), "start ends the refusal of the other connections")
		response, err := a.reg.Client().Post(a.reg.URL+"/v2/x/blobs/uploads/", "", nil)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, "up", change("restart", ""))
		status, _ := a.pull(t, response.Header.Get("Location"))
		require.Equal(t, 404, status, "a restart forgets upload sessions")
		for target, body := range map[string]string{"fly": "", "stop": `{"first": 1}`, "refuse": `{"first": -1}`} {
			w := a.send(a.request("POST", "/v1/listener/"+target, body))
			require.Contains(t, []int{400, 404}, w.Code, target)
		}
		require.True(t, up())
	})
}
