package registry_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// The method Options returns a flat list, so that package registrytest can sort
// the options that it gets.
func TestOptionsOfAnOption(t *testing.T) {
	t.Parallel()
	one, two, three := registry.WithPageSize(1), registry.WithManifestLimit(1<<20), registry.WithReadOnly()
	require.Len(t, one.Options(), 1)
	nested := registry.Options(one, registry.Options(registry.Options(two), registry.Options()), three)
	require.Len(t, nested.Options(), 3, "Options returns the options of nested groups")
	for _, o := range nested.Options() {
		require.Len(t, o.Options(), 1)
	}
	require.Empty(t, registry.Options().Options())

	h := inMemory(t, nested)
	h.wantError(405, h.call("DELETE", "/v2/app/manifests/v1", ""), registry.CodeUnsupported)
}

func TestNilOption(t *testing.T) {
	t.Parallel()
	const sentence = "registry: an option is nil; leave it out, or pass registry.Options() for one that does nothing"
	for name, make := range map[string]func(){
		"in New":     func() { registry.New(registry.UnimplementedStore{}, nil) },
		"in Options": func() { registry.Options(registry.WithReadOnly(), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.PanicsWithValue(t, sentence, make)
		})
	}
}

// New and the options panic with one sentence if an argument is nil.
func TestNilArguments(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, "registry: New needs a store; memstore.New() makes an empty one", func() { registry.New(nil) })
	for name, make := range map[string]func(){
		"WithLogger":     func() { registry.WithLogger(nil) },
		"WithRecorder":   func() { registry.WithRecorder(nil) },
		"WithFaults":     func() { registry.WithFaults(nil) },
		"WithMiddleware": func() { registry.WithMiddleware(nil) },
		"WithAuthorizer": func() { registry.WithAuthorizer(nil) },
		"WithTagCheck":   func() { registry.WithTagCheck(nil) },
	} {
		require.PanicsWithValue(t, "registry: the argument of "+name+" is nil; leave the option out instead", make)
	}
}

func TestArgumentsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	const noFeature = " given to Without is not a feature; features are the operations except UnknownOp, and the constants from AnonymousMount to TagParameters"
	for want, make := range map[string]func(){
		"the argument of WithPageSize is -2; it must not be negative":      func() { registry.WithPageSize(-2) },
		"the argument of WithMinChunk is -1; it must not be negative":      func() { registry.WithMinChunk(-1) },
		"the argument of WithUploadLimit is -1; it must not be negative":   func() { registry.WithUploadLimit(-1) },
		"the argument of WithStorageLimit is -1; it must not be negative":  func() { registry.WithStorageLimit(-1) },
		"the argument of WithUploadExpiry is -1s; it must not be negative": func() { registry.WithUploadExpiry(-time.Second) },
		"the argument of WithManifestLimit is -1; it must not be negative": func() { registry.WithManifestLimit(-1) },
		"200" + noFeature:                   func() { registry.Without(registry.Op(200)) },
		"99" + noFeature:                    func() { registry.Without(registry.SHA512*0 + 99) },
		"0" + noFeature:                     func() { registry.Without(registry.UnknownOp) },
		"a feature given to Without is nil": func() { registry.Without(nil) },
	} {
		require.PanicsWithValue(t, "registry: "+want, make)
	}
}

// New panics if two options set the same thing to different values. All other
// options combine.
func TestOptionsGivenTwice(t *testing.T) {
	t.Parallel()
	logger := func() registry.Option { return registry.WithLogger(slog.New(slog.DiscardHandler)) }
	for _, test := range []struct {
		want string // the value of the panic, or "" for none
		opts []registry.Option
	}{
		{"WithPageSize(2) and WithPageSize(3) both set the page size; leave one out", []registry.Option{registry.WithPageSize(2), registry.WithPageSize(3)}},
		{"WithPageSize(2) and WithPageSize(3) both set the page size; leave one out", []registry.Option{registry.WithPageSize(2), registry.WithPageSize(2), registry.WithPageSize(3)}},
		{"WithUploadLimit(1) and WithUploadLimit(2) both set the limit of uploads; leave one out", []registry.Option{registry.WithUploadLimit(1), registry.WithUploadLimit(2)}},
		{"WithStorageLimit(1) and WithStorageLimit(2) both set the limit of storage; leave one out", []registry.Option{registry.WithStorageLimit(1), registry.WithStorageLimit(2)}},
		{"WithManifestLimit(0) and WithManifestLimit(1) both set the manifest limit; leave one out", []registry.Option{registry.WithManifestLimit(0), registry.WithManifestLimit(1)}},
		{"WithMinChunk(1) and WithMinChunk(2) both set the least size of a chunk; leave one out", []registry.Option{registry.WithMinChunk(1), registry.WithMinChunk(2)}},
		{"WithUploadExpiry(1s) and WithUploadExpiry(0s) both set the expiry of uploads; leave one out", []registry.Option{registry.WithUploadExpiry(time.Second), registry.WithUploadExpiry(0)}},
		{`WithPathPrefix("/a") and WithPathPrefix("/b") both set the path prefix; leave one out`, []registry.Option{registry.WithPathPrefix("/a"), registry.WithPathPrefix("/b")}},
		{"", []registry.Option{registry.WithPageSize(2), registry.Options(logger(), registry.WithPageSize(2))}},
		{"", []registry.Option{registry.WithUploadLimit(1), registry.WithStorageLimit(1), registry.WithStorageLimit(1), registry.WithPathPrefix("/a"), registry.WithPathPrefix("/a")}},
		{"", []registry.Option{registry.WithPageSize(2), registry.WithMinChunk(2), registry.WithManifestLimit(2), registry.WithUploadExpiry(2), registry.WithPathPrefix("/a")}},
		{"", []registry.Option{registry.WithReadOnly(), registry.WithReadOnly(), registry.WithAnyManifest(), registry.WithAnyManifest()}},
		{"", []registry.Option{registry.Without(registry.SHA512), registry.Without(registry.SHA512, registry.DeleteTag)}},
		{"", []registry.Option{logger(), logger(), registry.WithWarnings("a"), registry.WithWarnings("a")}},
	} {
		make := func() { registry.New(registry.UnimplementedStore{}, test.opts...) }
		if test.want == "" {
			require.NotPanics(t, make)
		} else {
			require.PanicsWithValue(t, "registry: "+test.want, make)
		}
	}
}

func TestLoggersAreAllCalled(t *testing.T) {
	t.Parallel()
	var one, two bytes.Buffer
	h := inMemory(t, registry.WithLogger(slog.New(slog.NewTextHandler(&one, nil))), registry.WithLogger(slog.New(slog.NewTextHandler(&two, nil))))
	h.want(200, h.call("GET", "/v2/", ""))
	require.Contains(t, one.String(), "op=ping")
	require.Contains(t, two.String(), "op=ping")
}

// A logbook is a recorder that appends one line for each call.
type logbook []string

func (l *logbook) Arrive(r *registry.Request)  { *l = append(*l, "arrive "+r.String()) }
func (l *logbook) Record(x *registry.Exchange) { *l = append(*l, fmt.Sprint("record ", x.Status)) }

// take returns the lines of the logbook and clears it.
func (l *logbook) take() []string {
	lines := *l
	*l = nil
	return lines
}

func TestRecorderIsToldOfArrivals(t *testing.T) {
	t.Parallel()
	var log logbook
	h := inMemory(t,
		registry.WithFaults(func(r *registry.Request) *registry.Fault {
			log = append(log, "fault")
			if r.Op == registry.Ping {
				return &registry.Fault{Serve: func(w http.ResponseWriter, r *registry.Request) error {
					return registry.Errorf(registry.CodeDenied, "no")
				}}
			}
			return nil
		}),
		registry.WithRecorder(&log),
		registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				log = append(log, "middleware")
				return next(w, r)
			}
		}))
	h.call("GET", "/v2/app/tags/list", "")
	require.Equal(t, []string{"arrive list-tags app", "fault", "middleware", "record 404"}, log.take())
	h.call("GET", "/v2/", "")
	require.Equal(t, []string{"arrive ping", "fault", "record 403"}, log.take())
	h.call("GET", "/elsewhere", "")
	require.Equal(t, []string{"arrive unknown GET /elsewhere", "fault", "middleware", "record 404"}, log.take())
}
