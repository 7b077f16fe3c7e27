package registrytest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/typecheck"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// An option of a server does not compile as an option of a handler, where it
// would have no effect.
func TestOptionsOfAServerAreNoOptionsOfAHandler(t *testing.T) {
	t.Parallel()
	const module = "github.com/ocireg/registry"
	check := typecheck.New(t, []string{module, module + "/registrytest", module + "/registrytest/auth", module + "/registrytest/lint"},
		"store registry.Store", "t registrytest.TB")
	for call, wrong := range map[string]bool{
		"registry.New(store, registrytest.WithTLS())":                               true,
		"registry.New(store, registrytest.Options())":                               true,
		"registry.New(store, auth.Basic())":                                         true,
		"registry.New(store, lint.Linter{})":                                        true,
		"registry.New(store, registry.Options(registrytest.WithTLS()))":             true,
		"registry.New(store, auth.Basic().Options()...)":                            false,
		"registrytest.NewServer(t, registrytest.WithTLS(), registry.Options())":     false,
		"registrytest.NewServer(t, auth.Basic(), lint.Linter{})":                    false,
		"registrytest.NewServer(t, registrytest.Options(registry.WithLogger(nil)))": false,
	} {
		err := check(call)
		if wrong {
			require.ErrorContains(t, err, "does not implement registry.Option", call)
		} else {
			require.NoError(t, err, call)
		}
	}
}

// Options that contradict each other fail the test, and so do options that have no
// meaning, such as a nil store. The same option may be given again, and some options
// combine, such as several WithTLS.
func TestOptionsThatContradictEachOther(t *testing.T) {
	t.Parallel()
	bad := auth.Bearer("ci sing **", "ci dance **")
	store, users := memstore.New(), auth.Basic()
	incomparable := struct {
		registry.UnimplementedStore
		repositories []string
	}{}
	for name, c := range map[string]struct {
		opts []registrytest.Option
		want string // part of the failure, or "" if the test passes
	}{
		"two stores":           {[]registrytest.Option{registrytest.WithStore(memstore.New()), registrytest.WithStore(memstore.New())}, "WithStore and WithStore both set the store; leave one out"},
		"two in groups":        {[]registrytest.Option{registrytest.WithStore(memstore.New()), registrytest.Options(registrytest.WithStore(memstore.New()))}, "both set the store"},
		"two page sizes":       {[]registrytest.Option{registry.WithPageSize(2), registry.Options(registry.WithReadOnly(), registry.WithPageSize(3))}, "WithPageSize(2) and WithPageSize(3) both set the page size; leave one out"},
		"two of packages":      {[]registrytest.Option{paging{}, registry.WithPageSize(3)}, "WithPageSize(1) and WithPageSize(3) both set the page size; leave one out"},
		"two limits":           {[]registrytest.Option{registrytest.WithLastRequests(1), registrytest.WithLastRequests(2)}, "WithLastRequests and WithLastRequests both set the limit of the journal; leave one out"},
		"two authentications":  {[]registrytest.Option{auth.Basic(), auth.Bearer()}, "*auth.Auth and *auth.Auth both set the authentication; leave one out"},
		"an option is a store": {[]registrytest.Option{registrytest.WithStore(memstore.New()), storeOption{memstore.New()}}, "WithStore and registrytest_test.storeOption both set the store; leave one out"},
		"incomparable stores":  {[]registrytest.Option{registrytest.WithStore(incomparable), registrytest.WithStore(incomparable)}, "WithStore and WithStore both set the store; leave one out"},
		"linter, no journal":   {[]registrytest.Option{lint.Strict(), registrytest.WithoutJournal()}, "WithoutJournal leaves lint.Linter without requests to read; leave one out"},
		"bodies, no journal":   {[]registrytest.Option{registrytest.WithoutJournal(), registrytest.WithBodies(1)}, "WithoutJournal leaves WithBodies without"},
		"misspelt rule":        {[]registrytest.Option{lint.Linter{Rules: []lint.Rule{"upload-strat"}}}, `no rule of a Linter is called "upload-strat"; did you mean "upload-start"?`},
		"nil store":            {[]registrytest.Option{registrytest.WithStore(nil)}, "the argument of WithStore is nil; leave the option out"},
		"nil listener":         {[]registrytest.Option{registrytest.WithListener(nil)}, "the argument of WithListener is nil"},
		"nil function":         {[]registrytest.Option{registrytest.WithHTTPServer(nil)}, "the argument of WithHTTPServer is nil"},
		"nil authentication":   {[]registrytest.Option{(*auth.Auth)(nil)}, "an option is nil; leave it out"},
		"nil":                  {[]registrytest.Option{nil}, "an option is nil; leave it out"},
		"nil in a group":       {[]registrytest.Option{registrytest.Options(nil)}, "an option is nil; leave it out"},
		"a bad rule":           {[]registrytest.Option{bad}, `rule "ci sing **"`},
		"several TLS":          {[]registrytest.Option{registrytest.WithTLS(), registrytest.WithTLS(registrytest.OnlyHTTP1)}, ""},
		"the same again":       {[]registrytest.Option{registrytest.WithStore(store), users, registrytest.WithLastRequests(2), paging{}, registrytest.Options(registrytest.WithStore(store), users, registrytest.WithLastRequests(2), registry.WithPageSize(1), paging{})}, ""},
		"said again":           {[]registrytest.Option{registrytest.WithInMemory(), registrytest.WithInMemory(), registrytest.WithBodies(1), registrytest.WithBodies(2)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, start := range []func(t *faketb.TB){
				func(t *faketb.TB) { registrytest.NewServer(t, c.opts...) },
				func(t *faketb.TB) { registrytest.NewNetwork(t).Registry("a.test", c.opts...) },
			} {
				tr := faketb.Try(t, start)
				if c.want == "" {
					require.Empty(t, tr.Errors())
					continue
				}
				require.Len(t, tr.Errors(), 1)
				require.Contains(t, tr.Errors()[0], c.want)
			}
		})
	}
	require.PanicsWithValue(t, "auth: "+bad.Err().Error(), func() { bad.Options() })
}

func TestHandlersOfANetworkTakeNoOptionsOfARegistry(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]registrytest.Option{
		"an option of package registry is for registries": registry.WithReadOnly(),
		"WithBodies is for registries":                    registrytest.WithBodies(1),
		"*auth.Auth is for registries":                    auth.Basic(),
		"an option is nil":                                nil,
	} {
		tr := faketb.Try(t, func(t *faketb.TB) {
			registrytest.NewNetwork(t).Handle("a.test", say(""), registrytest.WithTLS(), opt)
		})
		require.Len(t, tr.Errors(), 1)
		require.Contains(t, tr.Errors()[0], want)
	}
}

// paging is an option of another package that sets the page size to 1.
type paging struct{}

func (paging) Options() []registry.Option { return []registry.Option{registry.WithPageSize(1)} }

// A watcher is an option of another package. It has some of the optional methods of
// an Option.
type watcher struct {
	observed *journal.Journal
	checked  int
}

func (*watcher) Options() []registry.Option {
	return []registry.Option{registry.WithWarnings("watched")}
}
func (*watcher) Err() error                   { return nil }
func (w *watcher) Observe(j *journal.Journal) { w.observed = j }
func (w *watcher) CheckRequests(t journal.TB, r journal.Requests) {
	w.checked = r.Len()
	t.Errorf("%d requests", r.Len())
}

func TestOptionsOfOtherPackages(t *testing.T) {
	t.Parallel()
	w := &watcher{}
	tr := faketb.Try(t, func(tb *faketb.TB) {
		s := registrytest.NewServer(tb, w)
		require.NotNil(t, w.observed)
		resp, err := s.Client().Get(s.URL + "/v2/")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, `299 - "watched"`, resp.Header.Get("Warning"))
		require.Equal(t, s.Requests().First(), w.observed.Requests().First())
		require.Zero(t, w.checked, "the requests are checked once the server is closed")
	})
	require.Equal(t, []string{"1 requests"}, tr.Errors())
	require.Equal(t, 1, w.checked)
}

func TestLastRequests(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t, registrytest.WithLastRequests(2))
	for range 3 {
		resp, err := reg.Client().Get(reg.URL + "/v2/")
		require.NoError(t, err)
		resp.Body.Close()
	}
	require.Equal(t, 2, reg.Requests().Len())
	require.Equal(t, 3, reg.Requests().Last().Number)
}

// A storeOption is an option that is also the store of the registry.
type storeOption struct{ registry.Store }

func (storeOption) Options() []registry.Option { return nil }
