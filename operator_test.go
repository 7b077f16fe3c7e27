package registry_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// An operator is a store that carries out all operations with its Handler.
type operator struct {
	registry.UnimplementedStore
	registry.Handler
}

func (o operator) Operate(w http.ResponseWriter, r *registry.Request) error { return o.Handler(w, r) }

// operated returns a registry that passes all operations to the handler h.
func operated(t *testing.T, h registry.Handler, opts ...registry.Option) *registryTest {
	store := operator{Handler: h}
	return &registryTest{t, registry.New(store, opts...), store}
}

// echo responds with the name of the operation in the field Op.
func echo(w http.ResponseWriter, r *registry.Request) error {
	w.Header().Set("Op", r.Op.String())
	w.WriteHeader(http.StatusTeapot)
	return nil
}

func TestOperatorGetsEveryRequest(t *testing.T) {
	t.Parallel()
	h := operated(t, echo, registry.WithWarnings("careful"))
	for target, op := range map[string]string{
		"/":                            "unknown",
		"/v2/":                         "ping",
		"/v2/App/manifests/v1":         "get-manifest",
		"/v2/app/blobs/sha256:1":       "get-blob",
		"/v2/app/manifests/v1?%zz":     "get-manifest",
		"/token":                       "token",
		"/v2/app/tags/list?ns=docker":  "list-tags",
		"/v2/app/_oci/ext/discover":    "discover",
		"/v2/app/blobs/uploads/x?y=%2": "get-upload",
	} {
		r := h.want(http.StatusTeapot, h.call("GET", target, ""))
		require.Equal(t, op, r.Header().Get("Op"), target)
		require.Equal(t, http.Header{"Op": {op}, "Warning": {`299 - "careful"`}}, r.Header(), target)
	}
}

// A statusWriter notes the statuses that it gets.
type statusWriter struct {
	http.ResponseWriter
	statuses []int
}

func (w *statusWriter) WriteHeader(status int) { w.statuses = append(w.statuses, status) }
func (w *statusWriter) Flush()                 {}

// If an operator flushes before it writes, the response begins once: net/http would
// log a second WriteHeader as superfluous.
func TestFlushBeginsTheResponse(t *testing.T) {
	t.Parallel()
	h := operated(t, func(w http.ResponseWriter, r *registry.Request) error {
		require.NoError(t, http.NewResponseController(w).Flush())
		_, err := w.Write([]byte("late"))
		return err
	})
	w := &statusWriter{ResponseWriter: httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/app/tags/list", nil))
	require.Equal(t, []int{http.StatusOK}, w.statuses)
}

func TestOptionsThatAnOperatorRefuses(t *testing.T) {
	t.Parallel()
	const end = " has no effect: the registry behind this one carries out the operations; leave it out, or set it there"
	for want, o := range map[string]registry.Option{
		"WithPageSize(3)":         registry.WithPageSize(3),
		"WithManifestLimit(3)":    registry.WithManifestLimit(3),
		"WithMinChunk(3)":         registry.WithMinChunk(3),
		"WithUploadExpiry(1s)":    registry.WithUploadExpiry(time.Second),
		"WithUploadLimit(1)":      registry.WithUploadLimit(1),
		"WithStorageLimit(1)":     registry.WithStorageLimit(1),
		"WithSparseManifests":     registry.WithSparseManifests(),
		"WithAnyManifest":         registry.WithAnyManifest(),
		"Without(list-referrers)": registry.Without(registry.DeleteTag, registry.ListReferrers),
		"Without(mount-blob)":     registry.Without(registry.MountBlob),
		"Without(range)":          registry.Without(registry.Ranges),
		"WithAuthorizer":          registry.WithAuthorizer(func(*registry.Request, string, registry.Action) error { return nil }),
		"WithTagCheck": registry.WithTagCheck(func(*registry.Request, string, digest.Digest, digest.Digest) error {
			return nil
		}),
	} {
		require.PanicsWithValue(t, "registry: "+want+end, func() { operated(t, echo, registry.Options(o)) })
		require.NotPanics(t, func() { registry.New(registry.UnimplementedStore{}, o) })
	}
}

func TestFeaturesThatAnOperatorIsWithout(t *testing.T) {
	t.Parallel()
	h := operated(t, echo, registry.WithReadOnly(), registry.Without(registry.ListRepositories, registry.CrossOrigin), registry.WithPathPrefix("/here"))
	require.Equal(t, "GET, HEAD", h.want(http.StatusMethodNotAllowed, h.call("PUT", "/here/v2/app/manifests/v1", "")).Header().Get("Allow"))
	h.want(http.StatusTeapot, h.call("GET", "/here/v2/app/manifests/v1", ""))
	h.want(http.StatusNotFound, h.call("GET", "/here/v2/_catalog", ""))
	h.want(http.StatusForbidden, h.call("GET", "/here/v2/", "", "Origin", "https://evil.example.com"))
}

func TestErrorsOfAnOperatorAreRecorded(t *testing.T) {
	t.Parallel()
	var got *registry.Exchange
	record := registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { got = x }))
	respond := func(mediaType, body string) *registryTest {
		return operated(t, func(w http.ResponseWriter, r *registry.Request) error {
			w.Header().Set("Content-Type", mediaType)
			w.WriteHeader(http.StatusNotFound)
			_, err := w.Write([]byte(body))
			return err
		}, record)
	}
	const body = `{"errors":[{"code":"NAME_UNKNOWN","message":"no app","detail":{"name":"app"}},{"code":"DENIED"}]}`
	h := respond("application/json; charset=utf-8", body)
	require.Equal(t, body, h.want(http.StatusNotFound, h.call("GET", "/v2/app/tags/list", "")).Body.String())
	require.Equal(t, []*registry.Error{
		{Code: "NAME_UNKNOWN", Message: "no app", Detail: map[string]any{"name": "app"}, Status: http.StatusNotFound},
		{Code: "DENIED", Status: http.StatusNotFound},
	}, got.Errors)
	for _, h := range []*registryTest{respond("text/html", body), respond("application/json", body[:len(body)-1]), respond("application/json", `"x"`)} {
		h.call("GET", "/v2/app/tags/list", "")
		require.Empty(t, got.Errors)
	}

	h = operated(t, func(http.ResponseWriter, *registry.Request) error { return errors.New("it is gone") }, record)
	h.want(http.StatusInternalServerError, h.call("GET", "/v2/", ""))
	require.ErrorContains(t, got.Err, "it is gone")
	require.Len(t, got.Errors, 1)
}

// With LoseUpload, the registry cancels the upload session at the operator.
func TestLosingAnUploadOfAnOperator(t *testing.T) {
	t.Parallel()
	var asked []string
	var status int
	h := operated(t, func(w http.ResponseWriter, r *registry.Request) error {
		asked = append(asked, r.Op.String()+" "+r.Session+" "+r.Header.Get("Authorization")+r.Header.Get("Content-Range"))
		if r.Op == registry.CancelUpload {
			w.WriteHeader(status)
			return nil
		}
		return registry.Errorf(registry.CodeBlobUploadUnknown, "it is lost")
	}, registry.WithFaults(func(*registry.Request) *registry.Fault { return &registry.Fault{LoseUpload: true} }))
	patch := func() int {
		asked = nil
		return h.call("PATCH", "/v2/app/blobs/uploads/x?state=1", "body", "Authorization", "Bearer 1", "Content-Range", "0-3").Code
	}
	for _, status = range []int{204, 404} {
		require.Equal(t, http.StatusNotFound, patch())
		require.Equal(t, []string{"cancel-upload x Bearer 1", "patch-upload x Bearer 10-3"}, asked)
	}
	status = 401
	require.Equal(t, http.StatusInternalServerError, patch())
	require.Equal(t, []string{"cancel-upload x Bearer 1"}, asked, "the PATCH is not sent, because the session was not cancelled")
}

// A middleware gets the store of an operator. If the store does not implement a
// method, that method returns errors.ErrUnsupported.
func TestStoreOfAnOperator(t *testing.T) {
	t.Parallel()
	var err error
	h := operated(t, echo, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			_, err = r.Store().StatBlob(context.Background(), "app", "")
			return next(w, r)
		}
	}))
	h.want(http.StatusTeapot, h.call("GET", "/v2/", ""))
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// A lender is an operator whose StoreFor returns a store that shows two
// repositories: "open", which is public, and the one that the field
// Authorization names.
type lender struct{ operator }

func (l lender) StoreFor(r *registry.Request) registry.Store {
	return oneRepository{name: r.Header.Get("Authorization")}
}

type oneRepository struct {
	registry.UnimplementedStore
	name string
}

func (s oneRepository) Tags(_ context.Context, repo, _ string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if repo == "hidden" {
			yield("", errors.New("denied"))
		} else if repo != "empty" {
			yield("v1", nil)
		}
	}
}

func (s oneRepository) StatManifest(_ context.Context, repo, tag string) (ocispec.Descriptor, error) {
	if repo != "open" && repo != s.name || tag != "v1" {
		return ocispec.Descriptor{}, errors.New("denied")
	}
	return ocispec.Descriptor{}, nil
}

// A hook gets a store with the content that the client may see. Public is true
// for a repository that a client without credentials may see.
func TestOperatorLendsWhatTheClientSees(t *testing.T) {
	t.Parallel()
	var store registry.Store
	public := make(map[string]bool)
	hook := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			store = r.Store()
			for _, repo := range []string{"open", "mine", "hidden", "empty"} {
				public[repo] = r.Public(repo)
			}
			return next(w, r)
		}
	})
	plain := operator{Handler: echo}
	h := &registryTest{t, registry.New(lender{plain}, hook), nil}
	h.want(http.StatusTeapot, h.call("GET", "/v2/", "", "Authorization", "mine"))
	require.Equal(t, oneRepository{name: "mine"}, store)
	require.Equal(t, map[string]bool{"open": true, "mine": false, "hidden": false, "empty": false}, public)

	h = operated(t, echo, hook)
	h.want(http.StatusTeapot, h.call("GET", "/v2/", ""))
	require.Equal(t, map[string]bool{"open": false, "mine": false, "hidden": false, "empty": false}, public, "the operator lends no store")
}
