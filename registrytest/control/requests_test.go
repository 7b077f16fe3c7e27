package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/control"
)

// numbers returns the numbers of the requests that GET /v1/requests lists for
// the query.
func (a *api) numbers(t testing.TB, query string) (list []int) {
	t.Helper()
	for _, o := range lines(t, a.text(t, 200, "GET", "/v1/requests"+query, "")) {
		list = append(list, int(o["number"].(float64)))
	}
	return list
}

func TestRequestsAreSelected(t *testing.T) {
	t.Parallel()
	ci := auth.BearerOrBasic("anonymous pull **")
	secret := ci.User("ci")
	a := newAPI(t, control.Config{Auth: ci}, ci)
	app := a.reg.Push(new(fatal), "team-7/app:v1", content.Image())
	a.do(t, 201, "POST", "/v1/faults", "get-manifest tag=v2 status=503")
	a.pull(t, "/v2/")                                                                                                        // request 1: 401
	a.pull(t, "/v2/team-7/app/manifests/v1", "X-Test", "7")                                                                  // request 2
	a.pull(t, "/v2/team-7/app/manifests/v2")                                                                                 // request 3: a fault
	a.pull(t, "/v2/team-7/app/blobs/"+string(app.Layers[0].Digest))                                                          // request 4
	a.pull(t, "/v2/team-70/tags/list")                                                                                       // request 5: 404
	r, err := http.NewRequestWithContext(t.Context(), "HEAD", a.reg.URL+"/v2/team-7/app/manifests/"+string(app.Digest), nil) // request 6
	require.NoError(t, err)
	r.SetBasicAuth(secret.Username, secret.Password)
	response, err := a.reg.Client().Do(r)
	require.NoError(t, err)
	response.Body.Close()
	for query, want := range map[string][]int{
		"":                               {1, 2, 3, 4, 5, 6},
		"?op=get-manifest,get-blob":      {2, 3, 4},
		"?repo=team-7/**":                {2, 3, 4, 6},
		"?tag=v*":                        {2, 3},
		"?digest=" + string(app.Digest):  {6},
		"?user=ci":                       {6},
		"?user=":                         {1, 2, 3, 4, 5},
		"?status=401,404":                {1, 5},
		"?method=head":                   {6},
		"?failed":                        {1, 3, 5},
		"?failed=false":                  {2, 4, 6},
		"?faulted":                       {3},
		"?ongoing":                       nil,
		"?session=team-7":                {2, 3, 4, 6},
		"?session=X-Test:%207":           {2},
		"?since=4":                       {5, 6},
		"?number=3":                      {3},
		"?repo=team-7/**&failed&since=1": {3},
		"?wait=2&status=200&op=get-blob,get-manifest": {2, 4},
	} {
		require.Equal(t, want, a.numbers(t, query), query)
	}
	for _, query := range []string{
		"?op=get-blub", "?status=x", "?number=-1", "?since=", "?blah", "?format=xml", "?wait=0", "?wait=x", "?wait=1&timeout=1", "?session=A%20b", "?%zz",
		"?timeout=-1s", "?session=x:*", "?session=Authorization:x",
	} {
		a.refused(t, 400, "GET", "/v1/requests"+query, "")
	}

	require.Equal(t, 6.0, a.do(t, 200, "DELETE", "/v1/requests?session=team-7", "")["since"])
	require.Nil(t, a.numbers(t, "?session=team-7"))
	require.Len(t, a.numbers(t, ""), 6)
	a.pull(t, "/v2/team-7/app/tags/list") // request 7
	require.Equal(t, []int{7}, a.numbers(t, "?session=team-7"))
	require.Equal(t, []int{2, 3, 4, 6, 7}, a.numbers(t, "?session=team-7&since=0"), "the parameter since overrides an earlier DELETE")
	a.do(t, 200, "DELETE", "/v1/requests", "")
	require.Nil(t, a.numbers(t, ""))
	require.Nil(t, a.numbers(t, "?session=team-7"))
}

// The API refuses a parameter with an empty value, so that an unset variable in
// a script does not select everything. It also refuses a repeated parameter that
// takes one value.
func TestEmptyParameters(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	for _, request := range []string{
		"GET /v1/requests?op=", "GET /v1/requests?repo=", "GET /v1/requests?tag=", "GET /v1/requests?digest=", "GET /v1/requests?status=",
		"GET /v1/requests?method=", "GET /v1/requests?number=", "GET /v1/requests?since=", "GET /v1/requests?session=", "GET /v1/requests?wait=",
		"GET /v1/requests?wait=1&timeout=", "GET /v1/requests?format=", "GET /v1/requests?op=ping,", "GET /v1/requests?op=ping&op=",
		"GET /v1/findings?session=", "GET /v1/findings?since=", "GET /v1/content?repo=", "GET /v1/faults?session=", "DELETE /v1/faults?session=",
		"DELETE /v1/holds?session=", "DELETE /v1/requests?session=", "POST /v1/reset?session=", "POST /v1/reset {\"session\": \"\"}",
		"POST /v1/faults?session= any close", "POST /v1/faults {\"rule\": \"any close\", \"session\": \"\"}", "POST /v1/holds?session= any",
		"GET /v1/requests?session=a&session=b", "GET /v1/requests?since=1&since=2", "GET /v1/requests?wait=1&timeout=1s&timeout=2s",
	} {
		method, rest, _ := strings.Cut(request, " ")
		target, body, _ := strings.Cut(rest, " ")
		a.refused(t, 400, method, target, body)
	}
	require.Empty(t, a.do(t, 200, "GET", "/v1/faults", "")["faults"])
	require.Equal(t, []int(nil), a.numbers(t, "?user="), "an empty user selects anonymous requests")
}

// A fatal is a registrytest.TB that panics when a test would fail.
type fatal struct{ registrytest.TB }

func (*fatal) Helper()                           {}
func (*fatal) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*fatal) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Every format lists the same requests, and none shows credentials. The header Accept
// selects a format, too.
func TestForms(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{}, registrytest.WithBodies(1000))
	a.pull(t, "/v2/x/tags/list", "Authorization", "Bearer geheim")
	a.pull(t, "/v2/")
	for query, want := range map[string]string{
		"?format=golden": "GET /v2/x/tags/list 404 NAME_UNKNOWN\nGET /v2/ 200\n",
		"?format=table":  "list-tags",
		"?format=har":    `"log"`,
		"?format=ndjson": `{"number":1,`,
		"?bodies":        `"responseBody":{"text":"{\"errors\"`,
	} {
		text := a.text(t, 200, "GET", "/v1/requests"+query, "")
		require.Contains(t, text, want)
		require.NotContains(t, text, "geheim")
	}
	require.NotContains(t, a.text(t, 200, "GET", "/v1/requests", ""), "responseBody")
	for accept, mediaType := range map[string]string{
		"":                         "application/x-ndjson",
		"*/*":                      "application/x-ndjson",
		"application/json":         "application/x-ndjson",
		"text/plain":               "text/plain; charset=utf-8",
		"application/har+json;q=1": "application/har+json",
		"text/x-golden":            "text/x-golden; charset=utf-8",
	} {
		r := a.request("GET", "/v1/requests", "")
		r.Header.Set("Accept", accept)
		require.Equal(t, mediaType, a.send(r).Header().Get("Content-Type"), accept)
	}
}

func TestRequestsAreAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, control.Config{})
		begin := time.Now()
		require.Equal(t, "waited 5s: 0 of 3 requests arrived", a.refused(t, 504, "GET", "/v1/requests?wait=3&timeout=5s", ""))
		require.Equal(t, "waited 30s: 0 of 1 requests arrived", a.refused(t, 504, "GET", "/v1/requests?wait=1", ""))
		require.Equal(t, 35*time.Second, time.Since(begin))
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				a.pull(t, "/v2/")
			}
		}()
		require.Equal(t, []int{1, 2, 3}, a.numbers(t, "?wait=3&timeout=5s"))
		require.Equal(t, 38*time.Second, time.Since(begin))
	})
}

// A stream is an [http.ResponseWriter] that collects the body of a response.
type stream struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
	err    error // returned by Write
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) WriteHeader(int)     {}
func (s *stream) Flush()              {}
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return s.text.Write(p)
}

// events returns the number and status of each server-sent event in the body.
func (s *stream) events(t *testing.T) (list []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for event := range strings.SplitSeq(strings.TrimSuffix(s.text.String(), "\n\n"), "\n\n") {
		id, data, _ := strings.Cut(event, "\ndata: ")
		var o object
		require.NoError(t, json.Unmarshal([]byte(data), &o), event)
		require.Equal(t, fmt.Sprint("id: ", o["number"]), id)
		list = append(list, fmt.Sprint(o["number"], " ", o["status"]))
	}
	return list
}

// A client that follows the journal gets each request twice: when it arrives,
// and when it has ended.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, control.Config{}, registrytest.WithLastRequests(50))
		a.pull(t, "/v2/")
		a.do(t, 201, "POST", "/v1/holds", "list-tags")
		follow := func(query string) (*stream, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &stream{header: make(http.Header)}
			done := make(chan struct{})
			go func() {
				a.handler.ServeHTTP(s, a.request("GET", "/v1/requests"+query, "").WithContext(ctx))
				close(done)
			}()
			return s, func() {
				cancel()
				<-done
			}
		}
		require.Equal(t, 200, a.send(a.request("HEAD", "/v1/requests?follow", "")).Code, "HEAD follows nothing")
		all, stop := follow("?follow")
		failed, stopFailed := follow("?format=sse&failed")
		ended := make(chan bool)
		go func() {
			a.pull(t, "/v2/x/tags/list")
			ended <- true
		}()
		synctest.Wait()
		require.Equal(t, []string{"1 200", "2 0"}, all.events(t))
		a.pull(t, "/v2/y/manifests/v1")
		synctest.Wait()
		require.Contains(t, all.events(t)[2:], "3 404")
		a.do(t, 200, "POST", "/v1/holds/h1/release", "")
		<-ended
		synctest.Wait()
		require.Equal(t, "2 404", all.events(t)[len(all.events(t))-1])
		require.Equal(t, []string{"3 404", "2 404"}, failed.events(t), "a request that began before the last one comes when it ends")
		stopFailed()
		failed.mu.Lock()
		length := failed.text.Len()
		failed.mu.Unlock()
		for range 200 {
			a.pull(t, "/v2/y/manifests/v1")
		}
		synctest.Wait()
		require.Equal(t, "203 404", all.events(t)[len(all.events(t))-1], "following goes on after the journal dropped requests")
		require.Equal(t, length, failed.text.Len())
		stop()

		// Following ends when the client disconnects, even if it got no event.
		broken, stopBroken := follow("?follow&since=1000")
		synctest.Wait()
		broken.mu.Lock()
		broken.err = context.Canceled
		broken.mu.Unlock()
		stopBroken()
		require.Equal(t, "text/event-stream; charset=utf-8", broken.header.Get("Content-Type"))
	})
}

func TestFindings(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	require.Empty(t, a.do(t, 200, "GET", "/v1/findings", "")["findings"])
	r, err := http.NewRequestWithContext(t.Context(), "PUT", a.reg.URL+"/v2/team-7/app/manifests/v1", strings.NewReader(`{}`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "")
	response, err := a.reg.Client().Do(r)
	require.NoError(t, err)
	response.Body.Close()
	list := a.do(t, 200, "GET", "/v1/findings", "")["findings"].([]any)
	require.NotEmpty(t, list)
	require.Equal(t, 1.0, list[0].(object)["request"])
	require.Len(t, a.do(t, 200, "GET", "/v1/findings?session=team-7", "")["findings"], len(list))
	require.Empty(t, a.do(t, 200, "GET", "/v1/findings?session=team-8", "")["findings"])
	require.Empty(t, a.do(t, 200, "GET", "/v1/findings?since=1", "")["findings"])
}
