package journal

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	app := s.put(t, "team/app:v1", content.Image(content.Files(map[string]string{"a": "hello"})))
	layer := app.Layers[0]
	before := time.Now()

	s.do(t, "GET", "/v2/team/app/manifests/v1", nil, "Accept", "*/*")
	s.do(t, "GET", "/v2/team/app/blobs/"+string(layer.Digest), nil, "Range", "bytes=0-9")
	s.do(t, "GET", "/v2/team/app/manifests/v2", nil)
	start := s.do(t, "POST", "/v2/team/app/blobs/uploads/", nil)
	s.do(t, "PATCH", start.Header.Get("Location"), strings.NewReader("0123"), "Content-Range", "0-3")
	s.do(t, "POST", "/v2/team/fork/blobs/uploads/?mount="+string(layer.Digest)+"&from=team/app", nil)
	s.do(t, "GET", "/nothing", nil)

	all := s.Requests().Records()
	require.Len(t, all, 7)
	for i, r := range all {
		require.Equal(t, i+1, r.Number)
		require.Equal(t, 1, r.Conn, "the client uses one connection")
		require.Equal(t, "HTTP/1.1", r.Proto)
		require.False(t, r.Ongoing)
		require.False(t, r.Gone)
		require.NoError(t, r.Err)
		require.Nil(t, r.Fault)
		require.False(t, r.Start.Before(before))
		if runtime.GOOS != "windows" { // The clock of Windows may tick only 64 times a second.
			require.Positive(t, r.Duration)
		}
		require.Equal(t, s.URL, r.URL.Scheme+"://"+r.URL.Host)
		require.Nil(t, r.RequestBody)
		require.Nil(t, r.ResponseBody)
	}

	r := all[0]
	require.Equal(t, registry.GetManifest, r.Op)
	require.Equal(t, "team/app", r.Repo)
	require.Equal(t, "v1", r.Tag)
	require.Equal(t, "GET", r.Method)
	require.Equal(t, "/v2/team/app/manifests/v1", r.URL.Path)
	require.Equal(t, "*/*", r.RequestHeader.Get("Accept"))
	require.Equal(t, string(app.Digest), r.ResponseHeader.Get("Docker-Content-Digest"))
	require.Equal(t, 200, r.Status)
	require.EqualValues(t, 0, r.BytesIn)
	require.Equal(t, app.Size, r.BytesOut)

	r = all[1]
	require.Equal(t, registry.GetBlob, r.Op)
	require.Equal(t, layer.Digest, r.Digest)
	require.Equal(t, "bytes=0-9", r.Range)
	require.Equal(t, 206, r.Status)
	require.EqualValues(t, 10, r.BytesOut)

	r = all[2]
	require.Equal(t, 404, r.Status)
	require.Equal(t, registry.CodeManifestUnknown, r.Errors[0].Code)

	session := start.Header.Get("Docker-Upload-Uuid")
	require.NotEmpty(t, session)
	require.Equal(t, session, all[3].Session, "the record has the session that the first request started")
	r = all[4]
	require.Equal(t, registry.PatchUpload, r.Op)
	require.Equal(t, session, r.Session)
	require.Equal(t, "0-3", r.Range)
	require.EqualValues(t, 4, r.BytesIn)
	require.EqualValues(t, 4, r.ContentLength)

	r = all[5]
	require.Equal(t, registry.MountBlob, r.Op)
	require.Equal(t, "team/app", r.From)
	require.Empty(t, r.Session)
	require.Equal(t, registry.UnknownOp, all[6].Op)
}

func TestConnectionsAreNumbered(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	for range 2 {
		s.do(t, "GET", "/v2/", nil)
		s.do(t, "GET", "/v2/", nil)
		s.Client().CloseIdleConnections()
	}
	var conns []int
	for _, r := range s.Requests().Records() {
		conns = append(conns, r.Conn)
	}
	require.Equal(t, []int{1, 1, 2, 2}, conns)
}

func TestRecordGone(t *testing.T) {
	t.Parallel()
	t.Run("waiting for the response", func(t *testing.T) {
		t.Parallel()
		s := newJournalServer(t, 0, registry.WithMiddleware(func(registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				<-r.Context().Done()
				return nil
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/v2/", nil)
			_, err := s.Client().Do(r)
			require.Error(t, err)
		})
		_, err := s.Requests().WaitFor(t.Context(), 1)
		require.NoError(t, err)
		cancel()
		done.Wait()
		gone, err := s.Requests().Where(func(r *Record) bool { return r.Gone }).WaitFor(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, 1, gone.Where((*Record).Failed).Len())
	})
	t.Run("in the middle of the body", func(t *testing.T) {
		t.Parallel()
		s := newJournalServer(t, 0)
		session := s.do(t, "POST", "/v2/app/blobs/uploads/", nil).Header.Get("Location")
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123", session)
		conn.Close()
		gone, err := s.Requests().Where(func(r *Record) bool { return r.Gone }).WaitFor(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, registry.PatchUpload, gone.First().Op)
		require.EqualValues(t, 4, gone.First().BytesIn)
	})
	t.Run("only if it was the client", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			cause error
			body  io.Reader
			gone  bool
		}{
			"no cause":           {nil, strings.NewReader("a"), false},
			"the body ends":      {nil, iotest.ErrReader(io.ErrUnexpectedEOF), true},
			"the request ends":   {context.Canceled, strings.NewReader("a"), true},
			"the server closes":  {conn.ErrClosed, iotest.ErrReader(net.ErrClosed), false},
			"the time is over":   {context.DeadlineExceeded, strings.NewReader("a"), false},
			"the body is closed": {nil, iotest.ErrReader(http.ErrBodyReadAfterClose), false},
		} {
			var j Journal
			h := j.Handler(registry.New(memstore.New(), registry.WithRecorder(registry.RecorderFunc(j.Record))))
			ctx, cancel := context.WithCancelCause(t.Context())
			if c.cause != nil {
				cancel(c.cause)
			}
			r := httptest.NewRequestWithContext(ctx, "POST", "/v2/app/blobs/uploads/?digest="+string(digest.FromString("a")), c.body)
			r.ContentLength = 1
			h.ServeHTTP(httptest.NewRecorder(), r)
			cancel(nil)
			require.Equal(t, c.gone, j.Requests().First().Gone, name)
		}
	})
	t.Run("not when it has all", func(t *testing.T) {
		t.Parallel()
		s := newJournalServer(t, 0)
		session := s.do(t, "POST", "/v2/app/blobs/uploads/", nil).Header.Get("Location")
		s.do(t, "PATCH", session, strings.NewReader("0123"))
		// This request has no Content-Length.
		s.do(t, "PATCH", session, io.MultiReader(strings.NewReader("0123")))
		require.EqualValues(t, -1, s.Requests().Last().ContentLength)
		require.Zero(t, s.Requests().Where((*Record).Failed).Len())
	})
}

func TestRecordFault(t *testing.T) {
	t.Parallel()
	fault := &registry.Fault{
		Name: "overload",
		Serve: func(http.ResponseWriter, *registry.Request) error {
			return registry.Errorf(registry.CodeTooManyRequests, "later")
		},
	}
	s := newJournalServer(t, 0, registry.WithFaults(func(r *registry.Request) *registry.Fault {
		if r.Op == registry.Ping {
			return fault
		}
		return nil
	}))
	s.do(t, "GET", "/v2/", nil)
	s.do(t, "GET", "/v2/app/tags/list", nil)
	require.Equal(t, 1, s.Requests().Where((*Record).Faulted).Len())
	r := s.Requests().First()
	require.Same(t, fault, r.Fault)
	require.Equal(t, 429, r.Status)
	require.Equal(t, "GET /v2/ 429 TOOMANYREQUESTS fault=overload", r.String())
}

func TestRecordNotes(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithFaults(func(r *registry.Request) *registry.Fault {
		r.Note("quirk=a (https://example.com)\n")
		return &registry.Fault{Quirk: true, Header: func(int, http.Header) int { return 201 }}
	}))
	s.do(t, "GET", "/v2/", nil)
	r := s.Requests().First()
	require.False(t, r.Faulted())
	require.Equal(t, []string{"quirk=a (https://example.com)\n"}, r.Notes)
	require.Equal(t, "GET /v2/ 201 quirk=a (https://example.com) ", r.String())
	require.Contains(t, s.Requests().String(), "quirk=a (https://example.com)")
}

func TestRecordCutConnection(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithFaults(func(r *registry.Request) *registry.Fault {
		return &registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error { return registry.CloseConnection }}
	}))
	_, err := s.Client().Get(s.URL + "/v2/")
	require.Error(t, err)
	r, err := s.Requests().Where((*Record).Failed).WaitFor(t.Context(), 1)
	require.NoError(t, err)
	require.Zero(t, r.First().Status)
	require.ErrorIs(t, r.First().Err, registry.CloseConnection)
	require.Equal(t, "GET /v2/ - fault", r.First().String())
}

// A request is finished even if its handler panics.
func TestRecordPanic(t *testing.T) {
	t.Parallel()
	for _, cause := range []any{http.ErrAbortHandler, "out of order"} {
		var j Journal
		h := j.Handler(registry.New(memstore.New(), registry.WithRecorder(&j), registry.WithMiddleware(func(registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				w.Header().Set("Content-Length", "10")
				io.WriteString(w, "half ")
				panic(cause)
			}
		})))
		require.PanicsWithValue(t, cause, func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
		})
		require.Equal(t, 1, j.Requests().Len())
		r := j.Requests().First()
		require.False(t, r.Ongoing)
		require.True(t, r.Failed())
		require.Equal(t, 200, r.Status)
		require.ErrorContains(t, r.Err, fmt.Sprint(cause))
		require.Equal(t, 1, j.Requests().MaxInFlight())
	}
}

func TestRecordInOneLine(t *testing.T) {
	t.Parallel()
	at := func(raw string) *url.URL {
		u, err := url.Parse("http://127.0.0.1:4321" + raw)
		require.NoError(t, err)
		return u
	}
	for _, c := range []struct {
		record Record
		want   string
	}{
		{Record{URL: at("/v2/"), Status: 200}, "GET /v2/ 200"},
		{Record{URL: at("/v2/")}, "GET /v2/ -"},
		{
			Record{URL: at("/v2/a/tags/list?n=2&last=b"), Status: 200},
			"GET /v2/a/tags/list?n=2&last=b 200",
		},
		{
			Record{URL: at("/v2/a/blobs/uploads/12-34?_state=5&digest=sha256:1"), Session: "12-34", Status: 201},
			"GET /v2/a/blobs/uploads/<session>?digest=sha256:1 201",
		},
		{
			Record{URL: at("/v2/a/blobs/uploads/12-34?_state=5"), Session: "12-34", Status: 202, Range: "0-3"},
			"GET /v2/a/blobs/uploads/<session> 202 range=0-3",
		},
		{
			Record{URL: at("/v2/a/blobs/uploads/?mount=sha256%3A1&from=b%2fc%20d"), Status: 201},
			"GET /v2/a/blobs/uploads/?mount=sha256:1&from=b/c%20d 201",
		},
		{
			Record{URL: at("/v2/a/tags/list?ns=127.0.0.1:4321"), Status: 200},
			"GET /v2/a/tags/list?ns=<host> 200",
		},
		{
			Record{URL: at("/v2/a/tags/list?ns=127.0.0.1%3A4321"), Status: 200},
			"GET /v2/a/tags/list?ns=<host> 200",
		},
		{
			Record{
				URL: at("/v2/a/manifests/b"), Status: 400, User: "alice", Fault: &registry.Fault{Name: "slow"},
				Errors: []*registry.Error{{Code: "ONE"}, {Code: "TWO"}},
			},
			"GET /v2/a/manifests/b 400 ONE TWO user=alice fault=slow",
		},
		{
			// A client can choose a user name with any characters. A query can have any
			// characters, too, if a handler gets it without a server.
			Record{URL: &url.URL{Path: "/v2/", RawQuery: "a=\u202etxt\x1b[2J"}, Status: 401, User: "alice\n\u2066", Range: "bytes=\u200f0-"},
			"GET /v2/?a= txt [2J 401 range=bytes= 0- user=alice  ",
		},
	} {
		r := recorded(c.record)
		require.Equal(t, c.want, r.First().String())
	}
}

// Neither a record nor its text has a secret of the request. Both have the name of the
// user.
func TestRecordsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			w.Header().Set("Set-Cookie", "session=hunter2")
			return next(w, r)
		}
	}))
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v2/?token=hunter2", nil)
	require.NoError(t, err)
	r.SetBasicAuth("alice", "hunter2")
	basic := r.Header.Get("Authorization")
	r.AddCookie(&http.Cookie{Name: "session", Value: "hunter2"})
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()

	all := s.Requests()
	seen := fmt.Sprintf("%+v %v %v", *all.First(), all.First().URL, all)
	require.NotContains(t, seen, "hunter2")
	require.NotContains(t, seen, strings.TrimPrefix(basic, "Basic "))
	require.Equal(t, "Basic redacted", all.First().RequestHeader.Get("Authorization"))
	require.Equal(t, "alice", all.First().User)
	require.Equal(t, "GET /v2/?token=redacted 200 user=alice", all.First().String())
}

// If a middleware sets the user of a request, the record has this user, and not the
// user in the Authorization header.
func TestRecordUser(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			r.User = "bob"
			return next(w, r)
		}
	}))
	s.do(t, "GET", "/v2/", nil, "Authorization", "Basic YWxpY2U6c2VjcmV0")
	require.Equal(t, "bob", s.Requests().First().User)
}
