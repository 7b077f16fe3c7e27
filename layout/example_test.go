package layout_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// The example keeps the content of a registry in a directory. Open opens a
// layout that a tool wrote, such as skopeo copy with oci:DIR, in the same way.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := layout.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := content.Put(context.Background(), store, "team/app:v1", content.Image()); err != nil {
		log.Fatal(err)
	}

	again, err := layout.Open(dir, layout.ReadOnly())
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	for name, err := range again.Repositories(context.Background(), "") {
		fmt.Println(name, err)
	}
	// Output: team/app <nil>
}
