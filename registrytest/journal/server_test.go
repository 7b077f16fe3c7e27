package journal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/journal"
)

func TestLimitOfAServer(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t, journal.Limit(2))
	for range 3 {
		resp, err := reg.Client().Get(reg.URL + "/v2/")
		require.NoError(t, err)
		resp.Body.Close()
	}
	require.Equal(t, 2, reg.Requests().Len())
	require.Equal(t, 3, reg.Requests().Last().Number)
}
