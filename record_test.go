package registry_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// The registry records each request exactly once, even if serving it panics. A
// panic continues to net/http.
func TestPanicsAreRecorded(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	begin := func(w http.ResponseWriter) { io.WriteString(w, "begun") }
	inMiddleware := func(f func(w http.ResponseWriter)) registry.Option {
		return registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				f(w)
				return next(w, r)
			}
		})
	}
	inFault := func(f *registry.Fault) registry.Option {
		return registry.WithFaults(func(*registry.Request) *registry.Fault { return f })
	}
	for name, test := range map[string]struct {
		option registry.Option
		panics any    // the value of the panic that reaches the server, or nil
		is     error  // an error that Exchange.Err wraps, or nil
		text   string // the text of Exchange.Err
		status int
	}{
		"middleware aborts":       {inMiddleware(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }), http.ErrAbortHandler, http.ErrAbortHandler, "serving the request panicked: net/http: abort Handler", 0},
		"middleware aborts later": {inMiddleware(func(w http.ResponseWriter) { begin(w); panic(http.ErrAbortHandler) }), http.ErrAbortHandler, http.ErrAbortHandler, "serving the request panicked: net/http: abort Handler", 200},
		"middleware panics":       {inMiddleware(func(http.ResponseWriter) { panic(broken) }), broken, broken, "serving the request panicked: broken", 0},
		"middleware says why":     {inMiddleware(func(http.ResponseWriter) { panic("why") }), "why", nil, "serving the request panicked: why", 0},
		"middleware exits":        {inMiddleware(func(http.ResponseWriter) { runtime.Goexit() }), nil, nil, "the goroutine that served the request exited", 0},
		"injector panics":         {registry.WithFaults(func(*registry.Request) *registry.Fault { panic(broken) }), broken, broken, "serving the request panicked: broken", 0},
		"fault panics before":     {inFault(&registry.Fault{Before: func(*registry.Request) error { panic(broken) }}), broken, broken, "serving the request panicked: broken", 0},
		"fault panics in header":  {inFault(&registry.Fault{Header: func(int, http.Header) int { panic(broken) }}), broken, broken, "serving the request panicked: broken", 0},
		"fault aborts":            {inFault(&registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error { panic(http.ErrAbortHandler) }}), http.ErrAbortHandler, http.ErrAbortHandler, "serving the request panicked: net/http: abort Handler", 0},
		"fault cuts":              {inFault(&registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error { return registry.CloseConnection }}), http.ErrAbortHandler, registry.CloseConnection, "connection cut: connection closed on purpose", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var arrivals, records int
			var last *registry.Exchange
			h := registry.New(memstore.New(), test.option,
				registry.WithRecorder(arrivalFunc(func(*registry.Request) { arrivals++ })),
				registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { records++; last = x })))
			panics := make(chan any, 1)
			go func() {
				defer func() { panics <- recover() }()
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
			}()
			require.Equal(t, test.panics, <-panics)
			require.Equal(t, 1, arrivals)
			require.Equal(t, 1, records)
			require.EqualError(t, last.Err, test.text)
			if test.is != nil {
				require.ErrorIs(t, last.Err, test.is)
			}
			require.Equal(t, test.status, last.Status)
			require.Equal(t, registry.Ping, last.Request.Op)
		})
	}
}

// An arrivalFunc is a recorder that records only arrivals.
type arrivalFunc func(*registry.Request)

func (f arrivalFunc) Arrive(r *registry.Request) { f(r) }
func (arrivalFunc) Record(*registry.Exchange)    {}

// If the handler panics after Wire has taken the connection from net/http, the
// registry closes the connection.
func TestPanicOnTheWireClosesTheConnection(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { require.Equal(t, "on the wire", recover()) }()
		registry.New(memstore.New(), registry.WithFaults(func(*registry.Request) *registry.Fault {
			return &registry.Fault{
				Wire: func(w io.Writer) io.Writer { return w },
				Body: func(io.Writer, int64) io.Writer { panic("on the wire") },
			}
		})).ServeHTTP(w, r)
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/v2/")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestRecorderGetsEveryExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []*registry.Exchange
		slow := func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				time.Sleep(time.Second)
				return next(w, r)
			}
		}
		h := inMemory(t, registry.WithMiddleware(slow), registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { seen = append(seen, e) })))
		last := func() *registry.Exchange { return seen[len(seen)-1] }

		d := h.pushBlob("app", "0123456789")
		e := last()
		require.Equal(t, registry.PostBlob, e.Request.Op)
		require.Equal(t, "app", e.Request.Repo)
		require.Equal(t, d, e.Request.Digest)
		require.Equal(t, "POST", e.Request.Method)
		require.Equal(t, 201, e.Status)
		require.Equal(t, string(d), e.Header.Get("Docker-Content-Digest"))
		require.EqualValues(t, 10, e.BytesIn)
		require.Zero(t, e.BytesOut)
		require.Equal(t, time.Second, e.Duration)
		require.Equal(t, time.Second, time.Since(e.Start))
		require.Empty(t, e.Errors)
		require.NoError(t, e.Err)
		require.Nil(t, e.Fault)

		path := "/v2/app/blobs/" + string(d)
		for _, tt := range []struct {
			method, header string
			status         int
			out            int64
		}{{"GET", "", 200, 10}, {"HEAD", "", 200, 0}, {"GET", "bytes=2-4", 206, 3}, {"DELETE", "", 202, 0}} {
			h.want(tt.status, h.call(tt.method, path, "", "Range", tt.header))
			require.Equal(t, tt.status, last().Status)
			require.Equal(t, tt.out, last().BytesOut, tt.method)
		}

		a := h.want(404, h.call("GET", path, ""))
		e = last()
		require.Len(t, e.Errors, 1)
		require.Equal(t, registry.CodeBlobUnknown, e.Errors[0].Code)
		require.NoError(t, e.Err, "Err is nil, because the registry itself has not failed")
		require.EqualValues(t, a.Body.Len(), e.BytesOut)

		// A request for an unknown path is recorded, too.
		h.want(404, h.call("GET", "/favicon.ico", ""))
		require.Equal(t, registry.UnknownOp, last().Request.Op)
		h.want(400, h.call("GET", "/v2/A/tags/list", ""))
		require.Equal(t, registry.CodeNameInvalid, last().Errors[0].Code)
		h.want(416, h.call("GET", "/v2/app/blobs/"+string(h.pushBlob("app", "x")), "", "Range", "bytes=5-"))
		require.Equal(t, 416, last().Status)
		require.Len(t, last().Errors, 1)
	})
}

// If a client disconnects, the record of its request has the error.
func TestRecorderIsToldOfAClientThatGoesAway(t *testing.T) {
	t.Parallel()
	seen := make(chan *registry.Exchange, 10)
	content := strings.Repeat("0123456789abcdef", 1<<20)
	h := inMemory(t, registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { seen <- e })))
	d := string(h.pushBlob("app", content))
	<-seen
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for _, r := range []string{"", "Range: bytes=0-\r\n"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET /v2/app/blobs/"+d+" HTTP/1.1\r\nHost: registry\r\n"+r+"\r\n")
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		e := <-seen
		require.Error(t, e.Err)
		require.Less(t, e.BytesOut, int64(len(content)))
		require.Empty(t, e.Errors)
	}
}

func TestRecordersAreAllCalled(t *testing.T) {
	t.Parallel()
	var order []int
	h := inMemory(t, registry.WithRecorder(registry.RecorderFunc(func(*registry.Exchange) { order = append(order, 1) })), registry.WithRecorder(registry.RecorderFunc(func(*registry.Exchange) { order = append(order, 2) })))
	h.call("GET", "/v2/", "")
	require.Equal(t, []int{1, 2}, order)
}
