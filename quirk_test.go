package registry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// If a fault is a quirk, it responds only after the request has been authorized,
// and records do not show it.
func TestQuirkRespondsAfterAuthorization(t *testing.T) {
	t.Parallel()
	var last *registry.Exchange
	quirk := &registry.Fault{Quirk: true, Serve: func(w http.ResponseWriter, r *registry.Request) error {
		r.Note("quirk")
		w.WriteHeader(http.StatusTeapot)
		return nil
	}}
	var fault *registry.Fault
	h := registry.New(memstore.New(),
		registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { last = x })),
		registry.WithFaults(func(*registry.Request) *registry.Fault { return fault }),
		registry.WithFaults(func(*registry.Request) *registry.Fault { return quirk }),
		registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				if r.URL.Query().Has("blocked") {
					return registry.Errorf(registry.CodeDenied, "no")
				}
				return next(w, r)
			}
		}),
		registry.WithAuthorizer(func(r *registry.Request, repo string, _ registry.Action) error {
			if repo == "secret" {
				return registry.Errorf(registry.CodeUnauthorized, "no")
			}
			return nil
		}),
	)
	get := func(target string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		return w.Code
	}
	require.Equal(t, 401, get("/v2/secret/manifests/v1"))
	require.Empty(t, last.Notes)
	require.Equal(t, 401, get("/v2/secret/_oci/ext/discover"))
	require.Equal(t, 403, get("/v2/app/manifests/v1?blocked"))
	require.Equal(t, 400, get("/v2/App/manifests/v1"), "the name of the repository is not valid")

	require.Equal(t, 418, get("/v2/app/manifests/v1"))
	require.Equal(t, []string{"quirk"}, last.Notes)
	require.Nil(t, last.Fault)
	require.Equal(t, 418, get("/v2/"), "ping requires no permission")
	require.Equal(t, 418, get("/elsewhere"))
	require.Equal(t, 418, get("/v2/_oci/ext/discover"))
	require.Equal(t, 418, get("/v2/app/_oci/ext/discover"))

	fault = &registry.Fault{Name: "delayed"}
	require.Equal(t, 418, get("/v2/app/manifests/v1"))
	require.Equal(t, "delayed", last.Fault.Name)
	require.Equal(t, []string{"quirk"}, last.Notes)
	fault = &registry.Fault{Name: "down", Serve: func(w http.ResponseWriter, _ *registry.Request) error {
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}}
	require.Equal(t, 503, get("/v2/secret/manifests/v1"), "a fault responds before a quirk does")
	require.Equal(t, "down", last.Fault.Name)
	require.Empty(t, last.Notes)
}

// The record of a request has the notes of all hooks.
func TestNotes(t *testing.T) {
	t.Parallel()
	var notes []string
	h := registry.New(memstore.New(),
		registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { notes = x.Notes })),
		registry.WithFaults(func(r *registry.Request) *registry.Fault {
			r.Note("injector")
			return &registry.Fault{Header: func(status int, _ http.Header) int {
				r.Note("header")
				return status
			}}
		}),
		registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				r.Note("middleware")
				return next(w, r)
			}
		}),
	)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
	require.ElementsMatch(t, []string{"injector", "middleware", "header"}, notes)
}

// A middleware can serve tokens at paths that real registries use. Without such a
// middleware, and at other paths, the response is 404.
func TestTokenPaths(t *testing.T) {
	t.Parallel()
	serve := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Op != registry.GetToken {
				return next(w, r)
			}
			_, err := io.WriteString(w, "token")
			return err
		}
	})
	for target, want := range map[string]int{"/token": 200, "/v2/auth": 200, "/token/": 200, "/jwt/auth": 200, "/v2/auth/": 404, "/v3/token": 404} {
		w := httptest.NewRecorder()
		registry.New(memstore.New(), serve).ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		require.Equal(t, want, w.Code, target)
		w = httptest.NewRecorder()
		registry.New(memstore.New()).ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		require.Equal(t, 404, w.Code, target)
	}
}

// Adding the same note twice records it once.
func TestNoteOnce(t *testing.T) {
	t.Parallel()
	var notes []string
	h := registry.New(memstore.New(), registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			r.Note("a")
			r.Note("b")
			r.Note("a")
			return next(w, r)
		}
	}), registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { notes = e.Notes })))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
	require.Equal(t, []string{"a", "b"}, notes)
}
