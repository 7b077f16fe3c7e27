package export_test

import (
	"os"
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/journal/export"
)

func ExampleHAR() {
	_ = func(t *testing.T, reg *registrytest.Server) {
		f, err := os.Create("requests.har")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := export.HAR(f, reg.Requests()); err != nil {
			t.Fatal(err)
		}
	}
}
