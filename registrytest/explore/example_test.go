package explore_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// The test fails if the client downloads wrong content under any fault, or does not
// retry after a single 503.
func ExampleEveryFault() {
	_ = func(t *testing.T) {
		setup := func(t *explore.T, reg *registrytest.Server) {
			reg.Push(t, "team/app:v1", content.Image())
		}
		explore.EveryFault(t, setup, func(t *explore.T, reg *registrytest.Server) error {
			layer, err := download(t.Context(), reg.Client(), reg.Ref("team/app:v1"))
			t.Result("layer", layer)
			return err
		}, explore.MustSucceed("503 once"))
	}
}

// The test fails if the client steps into a trap, such as a redirect that takes its
// password to another host.
func ExampleHostile() {
	_ = func(t *testing.T) {
		setup := func(t *explore.T, reg *registrytest.Server) {
			reg.Push(t, "team/app:v1", content.Image())
		}
		explore.Hostile(t, setup, func(t *explore.T, reg *registrytest.Server) error {
			layer, err := download(t.Context(), reg.Client(), reg.Ref("team/app:v1"))
			t.Result("layer", layer)
			return err
		}, explore.Login("ci", "hunter2"))
	}
}

// download stands for the client under test.
func download(context.Context, *http.Client, string) ([]byte, error) { return nil, nil }
