package control_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/trial"
)

// trial.Run returns all failures of a function as one error.
func TestTrial(t *testing.T) {
	t.Parallel()
	require.NoError(t, trial.Run(func(*trial.T) {}))
	err := trial.Run(func(t *trial.T) {
		t.Errorf("registrytest: one")
		t.Errorf("fault: %s", "two")
		t.Fatalf("three")
		t.Errorf("four")
	})
	require.EqualError(t, err, "one; two; three")
	require.PanicsWithValue(t, "other", func() { trial.Run(func(*trial.T) { panic("other") }) })
}
