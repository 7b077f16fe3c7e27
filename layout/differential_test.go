package layout_test

import (
	"flag"
	"testing"

	"github.com/ocireg/registry/internal/differential"
	"github.com/ocireg/registry/internal/tempdir"
)

var sequences = flag.Uint64("sequences", 3, "the number of random sequences that are compared with a model, for each kind of store")

// TestDifferential sends random sequences of requests to a registry on a layout
// and compares the responses with the responses of a model. Package
// internal/campaign runs many more sequences.
func TestDifferential(t *testing.T) {
	t.Parallel()
	for _, c := range differential.Configs() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			dir := tempdir.New(t)
			for seed := range *sequences {
				if err := c.Run(dir, seed); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
