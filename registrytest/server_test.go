package registrytest_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

func TestServerIsReadyOnReturn(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t)
	resp, err := s.Client().Get(s.URL + "/v2/")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
