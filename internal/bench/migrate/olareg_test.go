package migrate

import (
	"net/http/httptest"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/stretchr/testify/require"
)

func TestSizeOf(t *testing.T) {
	handler := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem, RootDir: "../../../layout/testdata"},
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, handler.Close())
	})

	size, err := sizeOf(server.Client(), server.URL+"/v2/umoci/manifests/v1")

	require.NoError(t, err)
	require.EqualValues(t, 102, size)
}
