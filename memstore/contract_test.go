package memstore_test

import (
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

func TestStore(t *testing.T) {
	t.Parallel()
	conformance.Store(t, func(*testing.T) registry.Store { return memstore.New() })
}
