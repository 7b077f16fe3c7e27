package referrer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
)

// An image has a signature and a software bill of materials.
func Example() {
	ctx, store := context.Background(), memstore.New()
	app := content.Image()
	for _, c := range []content.Content{app, referrer.CosignSignature(app), referrer.SPDX(app)} {
		if err := content.Put(ctx, store, "team/app", c); err != nil {
			log.Fatal(err)
		}
	}
	for desc, err := range store.Referrers(ctx, "team/app", app.Digest, "") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(desc.ArtifactType)
	}
	// Unordered output:
	// application/vnd.dev.sigstore.bundle.v0.3+json
	// application/spdx+json
}
