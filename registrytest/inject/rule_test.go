package inject_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// A teapot is a rule that is not from package fault. It responds to each request with
// 418.
type teapot struct {
	fired    *int
	injector func(*teapot) inject.Injector
}

func (*teapot) String() string { return "teapot" }

func (p *teapot) Begin(inject.Stop) (inject.Injector, error) { return p.injector(p), nil }

func (p *teapot) Inject(*registry.Request, bool) (f *registry.Fault, responds bool) {
	*p.fired++
	return &registry.Fault{Serve: func(w http.ResponseWriter, _ *registry.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	}}, false
}

func (p *teapot) Fired() int { return *p.fired }

func (*teapot) Report() (problem, note string) { return "", "" }

// A rule that is not from package fault can respond although Inject returns false for
// responds. It still keeps other rules from responding, and records have its text.
func TestRuleOfCaller(t *testing.T) {
	t.Parallel()
	var rules inject.Rules
	other, err := rules.Add(fault.On(registry.Ping).Once().Status(503))
	require.NoError(t, err)
	mine, err := rules.Add(&teapot{new(int), func(p *teapot) inject.Injector { return p }})
	require.NoError(t, err)
	var name string
	handler := registry.New(memstore.New(), registry.WithFaults(rules.Inject),
		registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { name = e.Fault.Name })))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	require.Equal(t, http.StatusTeapot, w.Code)
	require.Equal(t, "teapot", name)
	require.Equal(t, 1, mine.Fired())
	require.Equal(t, 0, other.Fired())
}

// Add refuses a rule that is a nil pointer, and one without an injector.
func TestRulesThatAreNone(t *testing.T) {
	t.Parallel()
	var rules inject.Rules
	_, err := rules.Add((*fault.Rule)(nil))
	require.EqualError(t, err, "the rule is nil; begin one with fault.On")
	_, err = rules.Add(&teapot{new(int), func(*teapot) inject.Injector { return nil }})
	require.EqualError(t, err, `the rule "teapot" has no injector: Begin must return one, or an error`)
}
