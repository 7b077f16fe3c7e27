package witness

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/profile"
	"github.com/ocireg/registry/registrytest/upstream"
)

// Behind a proxy of this project, Distribution 3 has the same quirks.
func TestDistribution3ThroughAProxy(t *testing.T) {
	wire := upstream.NewProxy(serve(t, "").URL)
	t.Cleanup(func() { wire.Close() })
	server := httptest.NewServer(registry.New(wire))
	t.Cleanup(server.Close)
	differ, _ := diff(t, profile.Distribution3(), server)
	require.Empty(t, differ)
	differ, _ = diff(t, profile.Distribution28(), server)
	require.Equal(t, []profile.Quirk{"distribution-2.8.tags-in-one-page", "distribution-2.8.chunk-order-unchecked", "distribution-2.8.upload-state"}, differ)
}
