package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

// get returns the status and the body of the response.
func get(t testing.TB, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func requireUp(t testing.TB, s *registrytest.Server) {
	t.Helper()
	status, _ := get(t, s.Client(), s.URL+"/v2/")
	require.Equal(t, http.StatusOK, status)
}

// middleware returns an option that calls f with every request.
func middleware(f func(*registry.Request)) registry.Option {
	return registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			f(r)
			return next(w, r)
		}
	})
}

// kinds are the ways to start a server. The ports are at addresses that no other test
// uses, because a port is free during an outage.
var kinds = map[string]func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server{
	"HTTP": func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewServer(t, append(opts, ownAddress(t))...)
	},
	"HTTPS": func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewServer(t, append(opts, ownAddress(t), registrytest.WithTLS())...)
	},
	"HTTPS without HTTP/2": func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewServer(t, append(opts, ownAddress(t), registrytest.WithTLS(registrytest.OnlyHTTP1))...)
	},
	"in memory": func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewServer(t, append(opts, registrytest.WithInMemory())...)
	},
	"by name": func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server {
		return registrytest.NewNetwork(t).Registry("registry.example.com", opts...)
	},
}

// ownAddress returns the option to listen at an address that no other test uses.
func ownAddress(t registrytest.TB) registrytest.Option {
	return registrytest.WithListener(testclient.Listen(t))
}

func forEachKind(t *testing.T, test func(t *testing.T, start func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server)) {
	t.Parallel()
	for name, start := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start)
		})
	}
}

type startFunc = func(t registrytest.TB, opts ...registrytest.Option) *registrytest.Server

func TestServerIsReadyOnReturn(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		requireUp(t, start(t))
	})
}

func TestServerIsOnALoopbackPortOfItsOwn(t *testing.T) {
	t.Parallel()
	a, b := registrytest.NewServer(t), registrytest.NewServer(t)
	require.NotEqual(t, a.Host(), b.Host())
	for _, s := range []*registrytest.Server{a, b} {
		host, port, err := net.SplitHostPort(s.Host())
		require.NoError(t, err)
		require.True(t, net.ParseIP(host).IsLoopback())
		require.NotEqual(t, "0", port)
		require.Equal(t, "http://"+s.Host(), s.URL)
		require.Equal(t, s.Host()+"/team/app:v1", s.Ref("team/app:v1"))
	}
	a.Push(t, "team/app:v1", content.Image())
	require.Equal(t, []string{"v1"}, a.Tags(t, "team/app"))
	_, err := b.Store.StatManifest(context.Background(), "team/app", "v1")
	require.Error(t, err, "servers share no content")
}

func TestServerServesItsStore(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	s := registrytest.NewServer(t, registrytest.WithStore(store))
	require.Same(t, store, s.Store)
	s.Push(t, "team/app:v1", content.Image())
	_, err := store.StatManifest(context.Background(), "team/app", "v1")
	require.NoError(t, err)
	status, _ := get(t, s.Client(), s.URL+"/v2/team/app/manifests/v1")
	require.Equal(t, http.StatusOK, status)
}

func TestCloneOfTheDefaultStore(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image(content.Layers(1), content.LayerSizes(2<<20)))
	clone := registrytest.NewServer(t, registrytest.WithStore(reg.Store.(*memstore.Store).Clone()))
	require.NoError(t, reg.Store.DeleteManifest(t.Context(), "team/app", app.Digest))

	clone.CheckRepository(t, "team/app", map[string]content.Content{"v1": app})
	for b := range app.Blobs() {
		status, body := get(t, clone.Client(), clone.URL+"/v2/team/app/blobs/"+string(b.Digest))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, b.Digest, digest.FromString(body))
	}
}

// Options of packages registry and registrytest combine, alone and in groups.
func TestServerOptionsInGroups(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	s := registrytest.NewServer(t,
		registry.WithReadOnly(),
		registrytest.Options(
			registry.WithWarnings("old"),
			registrytest.Options(registrytest.WithTLS(), registrytest.WithStore(store)),
		))
	require.Same(t, store, s.Store)
	resp, err := s.Client().Post(s.URL+"/v2/team/app/blobs/uploads/", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.NotNil(t, resp.TLS)
	require.Equal(t, `299 - "old"`, resp.Header.Get("Warning"))
}

func TestServerHandlerNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t)
	cdn := registrytest.NewNetwork(t)
	cdn.Handle("cdn.test", s.Handler())
	status, _ := get(t, cdn.Client(), "http://cdn.test/v2/")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, 1, s.Requests().Len())
}

func TestServerRecordsRequestsByConnection(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		s := start(t)
		requireUp(t, s)
		requireUp(t, s)
		s.CloseClientConnections()
		requireUp(t, s)
		requests := s.Requests().Op(registry.Ping).Records()
		require.Len(t, requests, 3)
		require.Equal(t, []int{1, 1, 2}, []int{requests[0].Conn, requests[1].Conn, requests[2].Conn})
	})
}

func TestRestartKeepsAddressContentAndOptions(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		s := start(t, registry.Without(registry.ListRepositories))
		url := s.URL
		image := s.Push(t, "team/app:v1", content.Image())
		resp, err := s.Client().Post(s.URL+"/v2/team/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusAccepted, resp.StatusCode)
		upload, err := resp.Location()
		require.NoError(t, err)

		s.Restart()

		require.Equal(t, url, s.URL)
		status, got := get(t, s.Client(), s.URL+"/v2/team/app/manifests/v1")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, string(image.Manifest), got)
		status, _ = get(t, s.Client(), s.URL+"/v2/_catalog")
		require.Equal(t, http.StatusNotFound, status)
		status, _ = get(t, s.Client(), upload.String())
		require.Equal(t, http.StatusNotFound, status, "upload sessions are gone")
	})
}

func TestStopIsAnOutage(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		s := start(t)
		s.Push(t, "team/app:v1", content.Image())
		for range 5 {
			requireUp(t, s)
			s.Stop()
			s.Stop()
			_, err := s.Client().Get(s.URL + "/v2/")
			require.ErrorIs(t, err, conn.Refused)
			s.Start()
			s.Start()
			status, _ := get(t, s.Client(), s.URL+"/v2/team/app/manifests/v1")
			require.Equal(t, http.StatusOK, status)
		}
	})
}

// While a server is stopped, another program may take its port.
func TestStartWaitsForThePort(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t, ownAddress(t))
	s.Stop()
	other, err := net.Listen("tcp", s.Host())
	require.NoError(t, err)
	time.AfterFunc(10*time.Millisecond, func() { other.Close() })
	s.Start()
	requireUp(t, s)
}

func TestServerCanBeClosedWhileStopped(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		tr := faketb.Try(t, func(t *faketb.TB) {
			s := start(t)
			s.Stop()
			s.Close()
			s.Close()
			require.Empty(t, t.Errors())
			s.Start() // The server is closed already.
		})
		require.NotEmpty(t, tr.Errors())
		require.Contains(t, tr.Errors()[0], "it was closed for good")
	})
}

// The context of a request ends with its connection. By itself, net/http does not
// notice the end if the handler has not read the body of the request.
func TestRequestsEndWithTheirConnection(t *testing.T) {
	for name, end := range map[string]func(*registrytest.Server){
		"close":      func(s *registrytest.Server) { s.Close() },
		"disconnect": (*registrytest.Server).CloseClientConnections,
		"stop":       (*registrytest.Server).Stop,
		"restart":    (*registrytest.Server).Restart,
	} {
		t.Run(name, func(t *testing.T) {
			forEachKind(t, func(t *testing.T, start startFunc) {
				arrived := make(chan struct{})
				s := start(t, middleware(func(r *registry.Request) {
					arrived <- struct{}{}
					<-r.Context().Done()
				}))
				sent := make(chan error)
				body, more := io.Pipe()
				go func() {
					req, _ := http.NewRequest(http.MethodPut, s.URL+"/v2/team/app/manifests/v1", body)
					resp, err := s.Client().Do(req)
					if err == nil {
						resp.Body.Close()
						err = errors.New(resp.Status)
					}
					sent <- err
				}()
				<-arrived
				end(s)
				more.Close() // The client's transport waits for the end of the body.
				require.Error(t, <-sent)
				require.Zero(t, s.Requests().Where(func(r *journal.Record) bool { return r.Ongoing }).Len())
			})
		})
	}
}

func TestServersInParallel(t *testing.T) {
	forEachKind(t, func(t *testing.T, start startFunc) {
		s := start(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				ref := fmt.Sprintf("team/app:v%d", i)
				s.Push(t, ref, content.Image())
				for range 4 {
					requireUp(t, s)
					s.Requests()
				}
			})
		}
		all.Wait()
		require.Len(t, s.Tags(t, "team/app"), 8)
		require.Equal(t, 32, s.Requests().Len())
		for i := range 4 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				own := start(t)
				requireUp(t, own)
				requireUp(t, s)
			})
		}
	})
}

// A closed server leaves no connection in TIME_WAIT, because many of them would slow
// down later tests.
func TestServerLeavesNoConnectionBehind(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("this system has no list of connections")
	}
	for name, opts := range map[string][]registrytest.Option{"HTTP": nil, "HTTPS": {registrytest.WithTLS()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pairs [][2]string // the ports of each connection, as /proc/net/tcp writes them
			traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
				pairs = append(pairs, [2]string{
					fmt.Sprintf("0100007F:%04X", c.Conn.LocalAddr().(*net.TCPAddr).Port),
					fmt.Sprintf("0100007F:%04X", c.Conn.RemoteAddr().(*net.TCPAddr).Port),
				})
			}})
			tr := faketb.Try(t, func(tb *faketb.TB) {
				s := registrytest.NewServer(tb, opts...)
				for _, c := range []*http.Client{s.Client(), {Transport: s.Transport().Clone()}} {
					req, err := http.NewRequestWithContext(traced, http.MethodGet, s.URL+"/v2/", nil)
					require.NoError(t, err)
					resp, err := c.Do(req)
					require.NoError(t, err)
					_, err = io.Copy(io.Discard, resp.Body)
					require.NoError(t, err)
					resp.Body.Close()
				}
			})
			require.Empty(t, tr.Errors())
			require.Len(t, pairs, 2)
			require.Eventually(t, func() bool {
				list, err := os.ReadFile("/proc/net/tcp")
				require.NoError(t, err)
				for line := range strings.Lines(string(list)) {
					for _, p := range pairs {
						if strings.Contains(line, p[0]) && strings.Contains(line, p[1]) {
							return false
						}
					}
				}
				return true
			}, 5*time.Second, time.Millisecond)
		})
	}
}
