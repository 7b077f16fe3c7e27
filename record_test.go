package registry_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A request is recorded exactly once, however serving it ended, and a panic
// goes on to net/http.
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
		panics any    // the value of the panic, or nil
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

// An arrivalFunc is a recorder that ignores responses.
type arrivalFunc func(*registry.Request)

func (f arrivalFunc) Arrive(r *registry.Request) { f(r) }
func (arrivalFunc) Record(*registry.Exchange)    {}

// A panic after Wire has taken the connection from net/http closes it.
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

// Middleware can send a response in parts, with and without a fault.
func TestMiddlewareCanFlush(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*registry.Fault{
		"no fault":     nil,
		"a fault":      {Header: func(status int, h http.Header) int { h.Set("X-Fault", "yes"); return status }},
		"after commit": {AfterCommit: true, Serve: func(w http.ResponseWriter, r *registry.Request) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flushed := make(chan struct{})
			server := httptest.NewServer(registry.New(memstore.New(),
				registry.WithFaults(func(*registry.Request) *registry.Fault { return fault }),
				registry.WithMiddleware(func(next registry.Handler) registry.Handler {
					return func(w http.ResponseWriter, r *registry.Request) error {
						io.WriteString(w, "first ")
						w.(http.Flusher).Flush()
						if name != "after commit" {
							<-flushed
						}
						_, err := io.WriteString(w, "second")
						return err
					}
				})))
			defer server.Close()
			resp, err := server.Client().Get(server.URL + "/v2/")
			require.NoError(t, err, "the header came before the end of the response")
			close(flushed)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, map[bool]string{false: "first second", true: ""}[name == "after commit"], string(body))
		})
	}
}
