package overlay_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/overlay"
)

// An overlay begins with the content of a directory. Pushes and deletions do not change
// the directory.
func Example() {
	ctx := context.Background()
	images, err := layout.OpenFS(os.DirFS("../../layout/testdata/skopeo"), layout.Repository("app"))
	if err != nil {
		panic(err)
	}
	store := overlay.New(images, memstore.New())
	list := func() {
		var tags []string
		for tag, err := range store.Tags(ctx, "app", "") {
			if err != nil {
				panic(err)
			}
			tags = append(tags, tag)
		}
		fmt.Println(tags)
	}
	list()
	if err := content.Put(ctx, store, "app:v2", content.Image()); err != nil {
		panic(err)
	}
	list()
	if err := store.DeleteTag(ctx, "app", "latest"); err != nil {
		panic(err)
	}
	list()
	// Output:
	// [latest]
	// [latest v2]
	// [v2]
}
