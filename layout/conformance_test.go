package layout_test

import (
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
)

func TestServedTreeMeetsTheSpec(t *testing.T) {
	t.Parallel()
	registrytest.TestRegistry(t, registrytest.Target{Handler: registry.New(open(t, t.TempDir())), ManifestLimit: 4 << 20})
}
