package external_test

import (
	"testing"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/external"
	"github.com/ocireg/registry/registrytest/fault"
)

// With TEST_REGISTRY=localhost:5000 in the environment, the same test runs against
// that registry, up to the part that needs faults.
func ExampleNewServer() {
	_ = func(t *testing.T) {
		reg := external.NewServer(t, "TEST_REGISTRY")
		reg.Push(t, "team/app:v1", content.Image())
		if err := pull(reg.Ref("team/app:v1")); err != nil {
			t.Error(err)
		}

		reg.InProcess(t).Fault(t, fault.On(registry.GetBlob).Times(1).Status(503))
		if err := pull(reg.Ref("team/app:v1")); err != nil {
			t.Errorf("after a single 503: %v", err)
		}
	}
}

// pull stands for the client under test.
func pull(string) error { return nil }
