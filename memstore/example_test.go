package memstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

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
