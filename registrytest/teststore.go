package registrytest

import (
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/storetest"
)

// TestStore tests that a [registry.Store] does what the documentation of that
// interface says, in a subtest for each rule. Open is called at the start of
// each subtest and returns an empty store that can be written to; it may use
// t.Cleanup to close it.
//
// The blobs and manifests that are put are real ones: their digests are those
// of their content, manifests are valid, and the blobs that they are made of
// are in the repository before them.
//
//	func TestStore(t *testing.T) {
//		registrytest.TestStore(t, func(t *testing.T) registry.Store {
//			return mystore.New(t.TempDir())
//		})
//	}
func TestStore(t *testing.T, open func(t *testing.T) registry.Store) {
	storetest.Test(t, open)
}
