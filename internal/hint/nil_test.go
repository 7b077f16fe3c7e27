package hint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/hint"
)

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range []string{"0 requests", "1 request", "2 requests"} {
		require.Equal(t, want, hint.Count(n, "request"))
	}
}

func TestNil(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{"nothing": nil, "a pointer": (*testing.T)(nil)} {
		require.True(t, hint.IsNil(v), name)
		require.PanicsWithValue(t, "journal: Check needs a test, but t is nil", func() { hint.NilTest("journal", "Check", v) }, name)
	}
	for name, v := range map[string]any{"a pointer": t, "a struct": struct{}{}, "a number": 0} {
		require.False(t, hint.IsNil(v), name)
		require.NotPanics(t, func() { hint.NilTest("journal", "Check", v) }, name)
	}
}
