package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/keep"
)

// started returns a server that [registrytest.StartServer] made, and closes it at the end
// of the test.
func started(t *testing.T, opts ...registrytest.Option) *registrytest.Server {
	t.Helper()
	s, err := registrytest.StartServer(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStartServer(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{
		"HTTP":      {ownAddress(t)},
		"HTTPS":     {ownAddress(t), registrytest.WithTLS()},
		"in memory": {registrytest.WithInMemory()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, opts...)
			app := s.Push(t, "app:v1", content.Image())
			status, body := get(t, s.Client(), s.URL+"/v2/app/manifests/v1")
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, string(app.Manifest), body)
			require.Equal(t, 1, s.Requests().Len())

			s.Stop()
			_, err := s.Client().Get(s.URL + "/v2/")
			require.ErrorIs(t, err, conn.Refused)
			s.Start()
			requireUp(t, s)
			// Each test can set faults on a server that TestMain started.
			s.Fault(t, fault.On(registry.Ping).Status(503))
			status, _ = get(t, s.Client(), s.URL+"/v2/")
			require.Equal(t, 503, status)
			require.NoError(t, s.Close())
			require.NoError(t, s.Close())
			_, err = s.Client().Get(s.URL + "/v2/")
			require.ErrorIs(t, err, conn.Refused)
		})
	}
}

// If StartServer made the server, Close returns the failures that a test would report.
func TestStartReturnsFailuresFromClose(t *testing.T) {
	t.Parallel()
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		var log syncBuffer
		s := started(t, logTo(&log), middleware(func(*registry.Request) { panic("mistake") }))
		_, err := s.Client().Get(s.URL + "/v2/")
		require.Error(t, err)
		require.Contains(t, log.String(), "panic while serving ping: mistake", "the panic is logged at once")
		require.ErrorContains(t, s.Close(), "panic while serving ping: mistake")
	})
	t.Run("hang", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s, err := registrytest.StartServer(registrytest.WithInMemory(), hangUntilTheEnd(t))
			require.NoError(t, err)
			giveUp(s)
			require.ErrorContains(t, s.Close(), "127.0.0.1:1 hangs")
		})
	})
	t.Run("hang before Stop", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			s, err := registrytest.StartServer(registrytest.WithInMemory(), middleware(func(*registry.Request) { <-release }))
			require.NoError(t, err)
			giveUp(s)
			s.Stop()
			close(release)
			require.ErrorContains(t, s.Close(), "127.0.0.1:1 hangs")
		})
	})
	t.Run("leak", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		s := started(t, middleware(func(*registry.Request) { go leakForTest(release) }))
		requireUp(t, s)
		require.ErrorContains(t, s.Close(), "leakForTest")
		close(release)
	})
	t.Run("a check of the requests", func(t *testing.T) {
		t.Parallel()
		s := started(t, &watcher{})
		requireUp(t, s)
		require.ErrorContains(t, s.Close(), "1 requests")
	})
	t.Run("port in use", func(t *testing.T) {
		t.Parallel()
		// In a bubble, the wait of s.Start for the port takes no time.
		synctest.Test(t, func(t *testing.T) {
			l := &oneListener{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}, closed: make(chan struct{})}
			s, err := registrytest.StartServer(registrytest.WithListener(l))
			require.NoError(t, err)
			s.Stop()
			s.Start()
			require.ErrorContains(t, s.Close(), "starting 192.0.2.1:80 again")
		})
	})
}

// A oneListener is a listener at an address of another machine.
type oneListener struct {
	addr   net.Addr
	once   sync.Once
	closed chan struct{}
}

func (l *oneListener) Addr() net.Addr { return l.addr }

func (l *oneListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// logTo returns an option that logs errors to w.
func logTo(w io.Writer) registrytest.Option {
	return registrytest.WithHTTPServer(func(s *http.Server) { s.ErrorLog = log.New(w, "", 0) })
}

// StartServer refuses an option that needs a test. A method that takes a test panics if
// the test is nil.
func TestStartWithoutATest(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]registrytest.Option{
		"WithLogs needs a test; use NewServer": registrytest.WithLogs(),
		"keep.Keeper needs a test":             keep.OnFailure(""),
		"an option is nil":                     nil,
	} {
		_, err := registrytest.StartServer(opt)
		require.ErrorContains(t, err, "registrytest: starting a server: "+want)
	}
	s := started(t)
	require.PanicsWithValue(t, "registrytest: "+s.Host()+" has no CA, because it was started without TLS; give the server the option WithTLS", func() { s.CA() })
	for want, call := range map[string]func(){
		"NewServer needs a test, but t is nil":      func() { registrytest.NewServer(nil) },
		"NewNetwork needs a test, but t is nil":     func() { registrytest.NewNetwork(nil) },
		"Server.Push needs a test, but t is nil":    func() { s.Push(nil, "app:v1", content.Image()) },
		"Server.Fault needs a test, but t is nil":   func() { s.Fault(nil, fault.On().Status(503)) },
		"Server.Hold needs a test, but t is nil":    func() { s.Hold(nil, fault.On()) },
		"Server.Refuse needs a test, but t is nil":  func() { s.Refuse(nil) },
		"Server.Silence needs a test, but t is nil": func() { s.Silence(nil) },
		"Server.Tamper needs a test, but t is nil":  func() { s.Tamper(nil, "app", "", registrytest.Dropped()) },
	} {
		require.PanicsWithValue(t, "registrytest: "+want, call)
	}
}

// Files of a server without a test are removed when it is closed.
func TestStartRemovesItsFiles(t *testing.T) {
	t.Parallel()
	s := started(t, registrytest.WithTLS())
	file, dir := s.CA().File(), s.CertsDir()
	require.FileExists(t, file)
	require.DirExists(t, dir)
	require.NoError(t, s.Close())
	require.NoFileExists(t, file)
	require.NoDirExists(t, dir)
}

func TestWithListener(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "listener") // The path of a socket must be short.
			require.NoError(t, err)
			defer os.RemoveAll(dir)
			address := dir + "/socket"
			var l net.Listener
			if network == "tcp" {
				l = testclient.Listen(t)
			} else {
				l, err = net.Listen(network, address)
				require.NoError(t, err)
			}
			s := registrytest.NewServer(t, registrytest.WithListener(l))
			if network == "tcp" {
				require.Equal(t, "http://"+l.Addr().String(), s.URL)
				requireUp(t, s)
				s.Stop()
				s.Start()
				requireUp(t, s)
				return
			}
			c := &http.Client{Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "unix", address)
				},
				DisableKeepAlives: true,
			}}
			status, _ := get(t, c, "http://socket/v2/")
			require.Equal(t, http.StatusOK, status)
		})
	}
	tb := faketb.Try(t, func(tb *faketb.TB) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		registrytest.NewServer(tb, registrytest.WithListener(l), registrytest.WithInMemory())
	})
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "WithListener has no effect on a server in memory")
}

func TestWithHTTPServer(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := registrytest.NewServer(t, logTo(&log), registrytest.WithTLS(), registrytest.WithHTTPServer(func(s *http.Server) {
		s.MaxHeaderBytes = 1
		s.Handler = http.NotFoundHandler() // This has no effect.
	}))
	requireUp(t, s)
	r, err := http.NewRequest("GET", s.URL+"/v2/", nil)
	require.NoError(t, err)
	r.Header.Set("X", strings.Repeat("x", 100<<10))
	resp, err := s.Client().Do(r)
	if err == nil { // With HTTP/2, the client itself refuses to send the header.
		resp.Body.Close()
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
	}
	_, err = (&http.Client{Transport: &http.Transport{}}).Get(s.URL)
	require.Error(t, err)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "TLS handshake error") }, time.Minute, time.Millisecond)
}

func TestWithoutJournal(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t, registrytest.WithoutJournal(), ownAddress(t))
	requireUp(t, s)
	s.Restart()
	requireUp(t, s)
	require.Zero(t, s.Requests().Len())
}

// Shutdown lets requests finish, and Close does not.
func TestShutdown(t *testing.T) {
	t.Parallel()
	for _, finish := range []bool{true, false} {
		t.Run(fmt.Sprint(finish), func(t *testing.T) {
			t.Parallel()
			arrived, release := make(chan struct{}), make(chan struct{})
			s := started(t, ownAddress(t), middleware(func(r *registry.Request) {
				close(arrived)
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}))
			type result struct {
				status int
				err    error
			}
			done := make(chan result, 1)
			go func() {
				resp, err := s.Client().Get(s.URL + "/v2/")
				if err != nil {
					done <- result{err: err}
					return
				}
				resp.Body.Close()
				done <- result{status: resp.StatusCode}
			}()
			<-arrived
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, s.Shutdown(ctx), context.Canceled, "the request is being served")
			_, err := net.Dial("tcp", s.Host())
			require.ErrorIs(t, err, conn.Refused)
			if !finish {
				require.NoError(t, s.Close())
				require.Error(t, (<-done).err)
				return
			}
			ended := make(chan error)
			go func() { ended <- s.Shutdown(t.Context()) }()
			close(release)
			require.Equal(t, result{status: http.StatusOK}, <-done)
			require.NoError(t, <-ended)
			require.NoError(t, s.Close())
		})
	}
}

// Every call of Client returns the same client, so a test can change its fields.
func TestClientIsTheSameInEveryCall(t *testing.T) {
	t.Parallel()
	n := registrytest.NewNetwork(t)
	for name, s := range map[string]*registrytest.Server{
		"port":      registrytest.NewServer(t),
		"in memory": registrytest.NewServer(t, registrytest.WithInMemory()),
		"by name":   n.Registry("a.test"),
	} {
		require.Same(t, s.Client(), s.Client(), name)
		require.Same(t, s.Transport(), s.Client().Transport, name)
		s.Client().Timeout = time.Nanosecond
		_, err := s.Client().Get(s.URL + "/v2/")
		var timeout interface{ Timeout() bool }
		require.True(t, errors.As(err, &timeout) && timeout.Timeout(), name)
	}
	require.Same(t, n.Client(), n.Client())
	a, b := n.Registry("b.test"), n.Registry("c.test")
	require.NotSame(t, a.Client(), b.Client(), "a test may set the Timeout of one")
	require.NotSame(t, n.Client(), b.Client())
	require.Same(t, a.Transport(), b.Transport())
}

// The error of a refused client says where the test stopped or closed the server. A
// typical client runs in a parallel subtest, which outlives the deferred calls of its
// parent.
func TestClosedServerSaysSo(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{"port": {ownAddress(t)}, "in memory": {registrytest.WithInMemory()}} {
		s := registrytest.NewServer(t, opts...)
		s.Stop()
		_, err := s.Client().Get(s.URL + "/v2/")
		require.ErrorIs(t, err, conn.Refused, name)
		require.ErrorContains(t, err, "was stopped at start_test.go:", name)
		s.Start()
		requireUp(t, s)
		s.Close()
		_, err = s.Client().Get(s.URL + "/v2/")
		require.ErrorIs(t, err, conn.Refused, name)
		require.ErrorContains(t, err, "was closed at start_test.go:", name)
		for method, call := range map[string]func(tb registrytest.TB){
			"Fault":   func(tb registrytest.TB) { s.Fault(tb, fault.On().Status(503)) },
			"Hold":    func(tb registrytest.TB) { s.Hold(tb, fault.On()) },
			"Refuse":  func(tb registrytest.TB) { s.Refuse(tb) },
			"Silence": func(tb registrytest.TB) { s.Silence(tb) },
		} {
			tb := faketb.Try(t, func(tb *faketb.TB) { call(tb) })
			require.Len(t, tb.Errors(), 1, method)
			require.Contains(t, tb.Errors()[0], "registrytest: Server."+method+": "+s.Host()+" was closed at start_test.go:")
		}
	}
}
