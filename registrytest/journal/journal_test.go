package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

func TestJournalWithoutArrivals(t *testing.T) {
	t.Parallel()
	var j Journal
	require.Zero(t, j.Requests().Len(), "the zero Journal is ready")
	h := registry.New(memstore.New(), registry.WithRecorder(registry.RecorderFunc(j.Record)))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/_catalog", nil))
	j.Requests().CheckSequence(t, registry.Ping, registry.ListRepositories)
	require.Zero(t, j.Requests().First().Conn, "the request came over no connection")
}

// A journal whose method Arrive is not called sorts the requests by their arrival.
func TestOrderOfArrival(t *testing.T) {
	t.Parallel()
	var j Journal
	start := time.Now()
	for _, i := range []int{2, 0, 3, 1} {
		r := &registry.Request{Request: httptest.NewRequest("GET", fmt.Sprintf("/v2/?%d", i), nil)}
		j.Record(&registry.Exchange{Request: r, Start: start.Add(time.Duration(i))})
		j.Requests()
	}
	for i, r := range j.Requests().Records() {
		require.Equal(t, fmt.Sprint(i), r.URL.RawQuery)
		require.Equal(t, i+1, r.Number)
	}
}

// Changing a header or the URL of a request after the response does not change the
// record.
func TestRecordsAreCopies(t *testing.T) {
	t.Parallel()
	var j Journal
	h := registry.New(memstore.New(), registry.WithRecorder(registry.RecorderFunc(j.Record)))
	r, w := httptest.NewRequest("GET", "/v2/?a=b", nil), httptest.NewRecorder()
	r.Header.Set("Accept", "a/b")
	h.ServeHTTP(w, r)
	r.Header.Set("Accept", "changed")
	r.URL.RawQuery = "changed"
	w.Header()["Content-Type"][0] = "changed"
	got := j.Requests().First()
	require.Equal(t, "a/b", got.RequestHeader.Get("Accept"))
	require.Equal(t, "a=b", got.URL.RawQuery)
	require.Equal(t, "application/json", got.ResponseHeader.Get("Content-Type"))
}

func TestOngoingRequests(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newJournalServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Op == registry.ListTags {
				<-release
			}
			return next(w, r)
		}
	}))
	s.put(t, "app:v1", content.Image())
	var done sync.WaitGroup
	done.Go(func() {
		resp, err := s.Client().Get(s.URL + "/v2/app/tags/list")
		if err == nil {
			resp.Body.Close()
		}
	})
	asked, err := s.Requests().Op(registry.ListTags).WaitFor(t.Context(), 1)
	require.NoError(t, err)
	s.do(t, "GET", "/v2/", nil)

	all := s.Requests()
	require.Equal(t, 2, all.Len())
	r := all.First()
	require.Equal(t, registry.ListTags, r.Op, "requests are in the order of their arrival")
	require.True(t, r.Ongoing)
	require.Equal(t, "app", r.Repo)
	require.Zero(t, r.Status)
	require.Zero(t, all.Where((*Record).Failed).Len(), "an ongoing request has not failed")
	require.Contains(t, all.String(), "…")

	close(release)
	done.Wait()
	require.True(t, asked.First().Ongoing, "records do not change")
	require.True(t, all.First().Ongoing, "records do not change")
	r = s.Requests().First()
	require.False(t, r.Ongoing)
	require.Equal(t, 200, r.Status)
}

func TestJournalIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 10)
	app := s.put(t, "app:v1", content.Image(content.LayerSizes(20_000)))
	var clients sync.WaitGroup
	const n, each = 8, 20
	for range n {
		clients.Go(func() {
			for range each {
				resp, err := s.Client().Get(s.URL + "/v2/app/blobs/" + string(app.Layers[0].Digest))
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				all := s.Requests()
				_ = all.Op(registry.GetBlob).Sorted().String()
			}
		})
	}
	blobs, err := s.Requests().Op(registry.GetBlob).Status(200).WaitFor(t.Context(), n*each)
	require.NoError(t, err)
	clients.Wait()
	require.Equal(t, n*each, blobs.Len())
	require.Empty(t, s.open, "the journal has no open requests")
	for i, r := range blobs.Records() {
		require.Equal(t, i+1, r.Number)
	}
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	s.do(t, "GET", "/v2/", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	got, err := s.Requests().Op(registry.GetBlob).WaitFor(ctx, 1)
	require.Zero(t, got.Len())
	require.ErrorIs(t, err, io.ErrNoProgress)
	require.ErrorContains(t, err, "waiting for 1 request, 0 arrived")
	require.ErrorContains(t, err, "GET /v2/")

	got, err = s.Requests().WaitFor(ctx, 1)
	require.NoError(t, err, "the request had arrived before the context ended")
	require.Equal(t, 1, got.Len())
}

func TestWaitForInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j Journal
		h := registry.New(memstore.New(), registry.WithRecorder(&j))
		go func() {
			for range 3 {
				time.Sleep(time.Minute)
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/_catalog", nil))
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
			}
		}()
		begin := time.Now()
		got, err := j.Requests().Op(registry.Ping).WaitFor(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, 2, got.Len())
		require.Equal(t, 2*time.Minute, time.Since(begin))

		// A request that is selected by its status counts only when it is finished.
		slow := registry.New(memstore.New(), registry.WithRecorder(&j),
			registry.WithMiddleware(func(next registry.Handler) registry.Handler {
				return func(w http.ResponseWriter, r *registry.Request) error {
					time.Sleep(90 * time.Second)
					return next(w, r)
				}
			}))
		go slow.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/app/tags/list", nil))
		_, err = j.Requests().Status(404).WaitFor(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, 210*time.Second, time.Since(begin))
		begin = time.Now()

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = j.Requests().Op(registry.GetBlob).WaitFor(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(begin))
	})
}

// A journal with a limit keeps the last requests, with their numbers.
func TestKeepLast(t *testing.T) {
	t.Parallel()
	var j Journal
	h := registry.New(memstore.New(), registry.WithRecorder(&j), registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if n := j.Requests().Last().Number; n == 1 {
				j.KeepLast(2) // The current request is still ongoing.
			}
			return next(w, r)
		}
	}))
	ping := func(n int) {
		for range n {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
		}
	}
	ping(5)
	require.Equal(t, []int{4, 5}, numbers(j.Requests()))
	require.Equal(t, 2, j.Requests().Status(200).Len())
	require.Empty(t, j.open)
	j.KeepLast(1)
	require.Equal(t, []int{5}, numbers(j.Requests()))
	ping(1)
	require.Equal(t, []int{6}, numbers(j.Requests()))
	j.KeepLast(0)
	ping(3)
	require.Equal(t, []int{6, 7, 8, 9}, numbers(j.Requests()))

	const many = 1000
	j.KeepLast(10)
	ping(many)
	require.Equal(t, 10, j.Requests().Len())
	require.Equal(t, 9+many, j.Requests().Last().Number)
	require.Less(t, cap(j.entries), 100, "the array does not grow")
}

// Long headers and errors do not make a journal with a limit grow without end.
func TestKeepLastOfLongRequests(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 512<<10)
	var many []error
	for range 100 {
		many = append(many, registry.Errorf(registry.CodeDenied, "%s", long[:5000]))
	}
	for name, send := range map[string]func(r *http.Request){
		"header": func(r *http.Request) { r.Header.Set("X-Long", long) },
		"query":  func(r *http.Request) { r.URL.RawQuery = long },
		"errors": func(r *http.Request) { r.Header.Set("X-Errors", "many") },
	} {
		var j Journal
		h := registry.New(memstore.New(), registry.WithRecorder(&j), registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				if r.Header.Get("X-Errors") != "" {
					return errors.Join(many...)
				}
				return next(w, r)
			}
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
		j.KeepLast(100)
		for range 120 {
			r := httptest.NewRequest("GET", "/v2/", nil)
			send(r)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		require.Less(t, j.Requests().Len(), 50, name)
		require.Greater(t, j.Requests().Len(), 20, name)
		require.Equal(t, 121, j.Requests().Last().Number, name)
		for range 200 {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
		}
		require.Equal(t, 100, j.Requests().Len(), name)
		require.Less(t, j.size, int64(100<<10), name)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	var j Journal
	h := registry.New(memstore.New(), registry.WithRecorder(&j))
	get := func(targets ...string) {
		for _, target := range targets {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
		}
	}
	require.Zero(t, j.Requests().Since(j.Requests()).Len())
	get("/v2/", "/v2/_catalog")
	require.Equal(t, 2, j.Requests().Since(Requests{}).Len())
	before := j.Requests()
	require.Zero(t, j.Requests().Since(before).Len())
	get("/v2/_catalog", "/v2/")
	require.Equal(t, []int{3, 4}, numbers(j.Requests().Since(before)))
	require.Equal(t, []int{4}, numbers(j.Requests().Op(registry.Ping).Since(before)))
	require.Equal(t, []int{3, 4}, numbers(j.Requests().Since(before.Op(registry.Ping))))
	require.Equal(t, []int{3, 4}, numbers(j.Requests().Since(before.Op(registry.GetBlob))), "the earlier requests may be an empty selection")
	require.Empty(t, numbers(j.Requests().Since(j.Requests().Op(registry.GetBlob))))

	waiting := j.Requests().Since(j.Requests()).Op(registry.Ping)
	get("/v2/")
	got, err := waiting.WaitFor(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []int{5}, numbers(got))
	require.Empty(t, numbers(j.Requests().Since(got)), "the result of WaitFor includes the latest requests")
	j.KeepLast(1)
	get("/v2/")
	require.Equal(t, []int{6}, numbers(j.Requests().Since(before)), "Since works even if the journal has dropped the last of the earlier requests")
}
