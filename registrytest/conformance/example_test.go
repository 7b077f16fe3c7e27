package conformance_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// This example tests a registry that cannot delete blobs.
func ExampleRegistry() {
	var t *testing.T         // supplied by the test
	var handler http.Handler // the registry to test

	conformance.Registry(t, conformance.Target{
		Handler: handler,
		Without: []registry.Feature{registry.DeleteBlob},
	})
}

// This example tests a running registry as a client with credentials.
func ExampleTarget() {
	var t *testing.T            // supplied by the test
	var login http.RoundTripper // adds credentials to requests

	conformance.Registry(t, conformance.Target{
		URL:    "https://registry.example.org",
		Client: &http.Client{Transport: login},
		Repo:   "team/scratch",
		Spec:   "1.1",
	})
}

// This example tests an implementation of [registry.Store].
func ExampleStore() {
	var t *testing.T // supplied by the test

	conformance.Store(t, func(t *testing.T) registry.Store {
		return memstore.New()
	})
}

// This example lists the requirements of one section of the spec.
func ExampleRequirements() {
	for _, r := range conformance.Requirements() {
		if r.Section == "Deleting Blobs" {
			fmt.Printf("%s: %s\n", r.Level, r.Name)
		}
	}
	// Output:
	// MUST: deleting a blob is 202
	// MUST: deleted blob is 404
	// MUST: deleting an absent blob is 404
	// MUST: deleting a blob is 400 or 405 if disabled
}
