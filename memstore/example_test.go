package memstore_test

import (
	"context"
	"fmt"
	"log"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// Each parallel subtest has a registry of its own, with the same content. The content is
// made once.
func ExampleStore_Clone() {
	_ = func(t *testing.T) {
		seeded := memstore.New()
		if err := content.Put(t.Context(), seeded, "team/app:v1", content.Image(content.Layers(3))); err != nil {
			t.Fatal(err)
		}
		for _, op := range []registry.Op{registry.DeleteTag, registry.DeleteManifest} {
			t.Run(op.String(), func(t *testing.T) {
				t.Parallel()
				reg := registrytest.NewServer(t, registrytest.WithStore(seeded.Clone()), registry.Without(op))
				use(t, reg)
			})
		}
	}
}

// use stands for a test of a client.
func use(*testing.T, *registrytest.Server) {}

// The example removes everything that a part of a test has pushed.
func ExampleStore_Restore() {
	ctx := context.Background()
	store := memstore.New()
	if err := content.Put(ctx, store, "team/app:v1", content.Image()); err != nil {
		log.Fatal(err)
	}
	before := store.Clone()

	if err := content.Put(ctx, store, "team/app:v2", content.Image()); err != nil {
		log.Fatal(err)
	}
	store.Restore(before, nil)

	for tag, err := range store.Tags(ctx, "team/app", "") {
		fmt.Println(tag, err)
	}
	// Output: v1 <nil>
}
