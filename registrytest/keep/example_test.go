package keep_test

import (
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/keep"
)

// If the client pushes a wrong image, the test leaves the image and the requests in
// the artifact directory of the test, which go test -artifacts keeps.
func ExampleOnFailure() {
	_ = func(t *testing.T) {
		reg := registrytest.NewServer(t, keep.OnFailure(""))
		if err := push(reg.Ref("team/app:v1")); err != nil {
			t.Fatal(err)
		}
		if got := reg.Get(t, "team/app:v1"); len(got.Layers) != 2 {
			t.Errorf("the image has %d layers, want 2", len(got.Layers))
		}
	}
}

// push stands for the client under test.
func push(string) error { return nil }
