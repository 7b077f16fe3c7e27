package conformance_test

import (
	"fmt"

	"github.com/ocireg/registry/registrytest/conformance"
)

// What is checked, and where the spec demands it.
func ExampleRequirements() {
	for _, r := range conformance.Requirements() {
		if r.Category == "management" {
			fmt.Printf("%s, %s: %s\n", r.Section, r.Level, r.Name)
		}
	}
	// Output:
	// Deleting tags, MUST: deleting a tag is 202
	// Deleting tags, MUST: deleted tag is 404
	// Deleting tags, MUST: manifest stays when its tag is deleted
	// Deleting tags, MUST: deleting a tag is 400 or 405 if disabled
	// Deleting Manifests, MUST: deleting a manifest is 202
	// Deleting Manifests, MUST: deleted manifest and its tags are 404
	// Deleting Manifests, MUST: deleting a manifest of an absent repository is 404
	// Deleting Manifests, MUST: deleting a manifest is 400 or 405 if disabled
	// Deleting Blobs, MUST: deleting a blob is 202
	// Deleting Blobs, MUST: deleted blob is 404
	// Deleting Blobs, MUST: deleting an absent blob is 404
	// Deleting Blobs, MUST: deleting a blob is 400 or 405 if disabled
}
