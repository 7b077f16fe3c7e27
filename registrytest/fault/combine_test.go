package fault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
)

// The rules of an option and those that a test sets on the server combine, as
// if the latter had been set later.
func TestRulesOfAnOption(t *testing.T) {
	t.Parallel()
	var rules fault.Rules
	reg := registrytest.NewServer(t, registry.WithFaults(rules.Inject))
	c := clientOf(t, reg)
	status := rules.Set(t, fault.On(registry.Ping).Times(2).Status(503).SetHeader("X", "option").SetHeader("Y", "option"))
	reg.Fault(t, fault.On().SetHeader("X", "server"))

	got := c.Get("/v2/")
	require.Equal(t, 503, got.Status)
	require.Equal(t, "server", got.Header.Get("X"))
	require.Equal(t, "option", got.Header.Get("Y"))

	reg.Fault(t, fault.On(registry.Ping).Times(2).Status(404))
	require.Equal(t, []int{404, 404, 503, 200}, codes(c, 4, "/v2/"), "a rule that is passed over waits")
	require.Equal(t, 2, status.Fired())
}
