package inject_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

func TestNilTest(t *testing.T) {
	t.Parallel()
	rule := fault.On(registry.Ping).Status(503)
	f, err := new(inject.Rules).Add(rule)
	require.NoError(t, err)
	for want, call := range map[string]func(){
		"fault: Rules.Set needs a test, but t is nil":   func() { new(inject.Rules).Set(nil, rule) },
		"fault: Rules.Hold needs a test, but t is nil":  func() { new(inject.Rules).Hold(nil, rule) },
		"fault: Fault.Check needs a test, but t is nil": func() { f.Check(nil) },
	} {
		require.PanicsWithValue(t, want, call)
	}
}

// A Gate that no rule has is open.
func TestZeroGate(t *testing.T) {
	t.Parallel()
	var gate inject.Gate
	require.True(t, gate.Released())
	require.NoError(t, gate.Await(t.Context(), 1))
	require.Empty(t, gate.Waiting())
	gate.Release()
	require.True(t, gate.Released())
}

// A nil rule is refused with a message that says where rules come from.
func TestNilRule(t *testing.T) {
	t.Parallel()
	for _, set := range []func(s *inject.Rules, tb inject.TB){
		func(s *inject.Rules, tb inject.TB) { s.Set(tb, nil) },
		func(s *inject.Rules, tb inject.TB) { s.Hold(tb, nil) },
	} {
		tb := faketb.New(t)
		var over sync.WaitGroup
		over.Go(func() { set(new(inject.Rules), tb) })
		over.Wait()
		require.Equal(t, []string{"fault: the rule is nil; begin one with fault.On"}, tb.Errors())
	}
	_, err := new(inject.Rules).Add(nil)
	require.EqualError(t, err, "the rule is nil; begin one with fault.On")
}
