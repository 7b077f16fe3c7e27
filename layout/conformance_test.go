package layout_test

import (
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/conformance"
)

func TestServedTreeMeetsTheSpec(t *testing.T) {
	t.Parallel()
	conformance.Registry(t, conformance.Target{Handler: registry.New(open(t, t.TempDir())), ManifestLimit: 4 << 20})
}
