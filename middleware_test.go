package registry_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

func TestMiddlewareWrapsInOrder(t *testing.T) {
	t.Parallel()
	var order []string
	note := func(name string) func(registry.Handler) registry.Handler {
		return func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				order = append(order, name+" "+r.String())
				w.Header().Add("X-Passed", name)
				err := next(w, r)
				order = append(order, name+" done")
				return err
			}
		}
	}
	h := inMemory(t, registry.WithMiddleware(note("1"), note("2")), registry.WithMiddleware(note("3")))
	a := h.wantError(404, h.call("GET", "/v2/team/app/manifests/v1", ""), registry.CodeNameUnknown)
	require.Equal(t, []string{"1", "2", "3"}, a.Header().Values("X-Passed"))
	const request = " get-manifest team/app:v1"
	require.Equal(t, []string{"1" + request, "2" + request, "3" + request, "3 done", "2 done", "1 done"}, order)
}

func TestMiddlewareAnswersInPlace(t *testing.T) {
	t.Parallel()
	var answer registry.Handler
	h := inMemory(t, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if answer != nil {
				return answer(w, r)
			}
			return next(w, r)
		}
	}))
	h.pushImage("app", "v1")
	respond := func(err error) *httptest.ResponseRecorder {
		answer = func(http.ResponseWriter, *registry.Request) error { return err }
		return h.call("GET", "/v2/app/manifests/v1", "")
	}
	a := h.wantError(401, respond(&registry.Error{Code: registry.CodeUnauthorized, Message: "who?", Header: http.Header{"Www-Authenticate": {"Basic"}}}), registry.CodeUnauthorized)
	require.Equal(t, "Basic", a.Header().Get("WWW-Authenticate"))
	h.wantError(418, respond(&registry.Error{Code: registry.CodeDenied, Message: "no", Status: 418}), registry.CodeDenied)
	h.wantError(403, respond(errors.Join(registry.Errorf(registry.CodeDenied, "no"), registry.Errorf(registry.CodeNameUnknown, "what?"))), registry.CodeDenied, registry.CodeNameUnknown)
	require.Contains(t, h.want(500, respond(errors.New("boom"))).Body.String(), "boom")
	answer = func(w http.ResponseWriter, r *registry.Request) error {
		_, err := io.WriteString(w, "mine")
		return err
	}
	h.wantPulled("/v2/app/manifests/v1", "mine")
	// If a middleware fails after its response has begun, the registry cuts the
	// connection.
	answer = func(w http.ResponseWriter, r *registry.Request) error {
		io.WriteString(w, "half")
		return errors.New("boom")
	}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.call("GET", "/v2/app/manifests/v1", "") })
}

// If a middleware returns without a write, the response is an empty 200, which a fault
// can change and a recorder sees.
func TestMiddlewareWithoutAWrite(t *testing.T) {
	t.Parallel()
	var fault *registry.Fault
	var recorded *registry.Exchange
	h := inMemory(t,
		registry.WithMiddleware(func(registry.Handler) registry.Handler {
			return func(http.ResponseWriter, *registry.Request) error { return nil }
		}),
		registry.WithFaults(func(*registry.Request) *registry.Fault { return fault }),
		registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { recorded = x })))
	h.want(200, h.call("GET", "/v2/", ""))
	require.Equal(t, 200, recorded.Status)
	fault = &registry.Fault{
		Header:     func(int, http.Header) int { return 503 },
		LastHeader: func(header http.Header) error { header.Set("X-Last", "1"); return nil },
	}
	w := h.want(503, h.call("GET", "/v2/", ""))
	require.Equal(t, "1", w.Header().Get("X-Last"))
	require.Equal(t, 503, recorded.Status)
}

// A middleware can take the connection and respond by itself. The registry then
// writes nothing, because net/http would log the attempt.
func TestMiddlewareTakesTheConnection(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithMiddleware(func(registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, _ *registry.Request) error {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
			return err
		}
	}))
	var logged bytes.Buffer
	returned := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	s.Config.ErrorLog = log.New(&logged, "", 0)
	s.Start()
	resp, err := http.Get(s.URL + "/v2/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 204, resp.StatusCode)
	<-returned
	require.Empty(t, logged.String())
}

// A middleware can change the request that the registry serves.
func TestMiddlewareChangesTheRequest(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Tag == "stable" {
				r.Tag = "v1"
			}
			return next(w, r)
		}
	}))
	m := h.pushImage("app", "v1")
	h.wantPulled("/v2/app/manifests/stable", m)
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
			require.NoError(t, err, "Flush sends the header before the end of the response")
			close(flushed)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, map[bool]string{false: "first second", true: ""}[name == "after commit"], string(body))
		})
	}
}

// A middleware, an injector and a recorder can get the store of the registry.
func TestRequestHasTheStore(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	var got []registry.Store
	see := func(r *registry.Request) { got = append(got, r.Store()) }
	h := registry.New(store, registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { see(x.Request) })),
		registry.WithFaults(func(r *registry.Request) *registry.Fault { see(r); return nil }),
		registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error { see(r); return next(w, r) }
		}))
	r := httptest.NewRequest("GET", "/v2/", nil)
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, []registry.Store{store, store, store}, got)
	parsed, err := registry.ParseRequest(r)
	require.NoError(t, err)
	require.Nil(t, parsed.Store())
}

// Public calls the authorizers with a request that has no user, although the
// request of the middleware has one.
func TestRequestKnowsWhatIsPublic(t *testing.T) {
	t.Parallel()
	type key struct{}
	var got []bool
	ask := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			r.User = "ci"
			r.Request = r.WithContext(context.WithValue(r.Context(), key{}, "ci"))
			got = append(got, r.Public("open"), r.Public("secret"), r.Public("half"))
			return next(w, r)
		}
	})
	allow := func(repo string) registry.Option {
		return registry.WithAuthorizer(func(r *registry.Request, asked string, a registry.Action) error {
			if r.URL.Path == "/v2/" {
				require.Equal(t, []any{asked, registry.ActionPull, registry.GetManifest, "", "", nil, (*tls.ConnectionState)(nil), int64(0)},
					[]any{r.Repo, a, r.Op, r.User, r.Header.Get("Authorization"), r.Context().Value(key{}), r.TLS, r.ContentLength})
				_, err := io.ReadAll(r.Body)
				require.NoError(t, err)
			}
			if asked == "open" || asked == repo {
				return nil
			}
			return registry.Errorf(registry.CodeDenied, "no")
		})
	}
	r := httptest.NewRequest("GET", "https://registry.test/v2/", strings.NewReader("body"))
	r.SetBasicAuth("ci", "secret")
	registry.New(memstore.New(), ask, allow("half"), allow("")).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, []bool{true, false, false}, got)
	user, _, _ := r.BasicAuth()
	require.Equal(t, "ci", user, "Public must not modify the request of the client")

	got = nil
	registry.New(memstore.New(), ask).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, []bool{true, true, true}, got)
	parsed, err := registry.ParseRequest(r)
	require.NoError(t, err)
	require.False(t, parsed.Public("open"))
}
