package archive_test

import (
	"context"
	"fmt"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content/archive"
)

// The images of docker save have the names that clients pull them by.
func ExampleImport() {
	refs, err := archive.Import(context.Background(), memstore.New(), "testdata/saved.tar")
	fmt.Println(refs, err)
	// Output:
	// [library/app:v1] <nil>
}
