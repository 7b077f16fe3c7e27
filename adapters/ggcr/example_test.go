package ggcr_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/ggcr"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/fault"
)

// label is the code to test: it adds a label to an image in a registry.
func label(ref name.Reference, key, value string, opts ...remote.Option) error {
	img, err := remote.Image(ref, opts...)
	if err != nil {
		return err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config := *file.Config.DeepCopy()
	config.Labels = map[string]string{key: value}
	if img, err = mutate.Config(img, config); err != nil {
		return err
	}
	return remote.Write(ref, img, opts...)
}

// testLabel is a whole test of label. In a project it is named TestLabel.
func testLabel(t *testing.T) {
	a := auth.Bearer()
	ci := a.User("ci", "pull,push team/**")
	reg := registrytest.NewServer(t, a)
	img, err := random.Image(1024, 3)
	if err != nil {
		t.Fatal(err)
	}
	ggcr.Push(t, reg, "team/app:v1", img)
	reg.Fault(t, fault.On(registry.PutManifest).Once().Status(403))

	ref, opts := ggcr.Reference(t, reg, "team/app:v1"), ggcr.Options(reg, ggcr.Keychain(reg, ci))
	if err := label(ref, "stage", "test", opts...); err == nil {
		t.Error("label reports no error if the registry refuses the manifest")
	}
	if err := label(ref, "stage", "test", opts...); err != nil {
		t.Fatal(err)
	}

	file, err := ggcr.Image(t, reg, "team/app:v1").ConfigFile()
	if err != nil || file.Config.Labels["stage"] != "test" {
		t.Errorf("the image has the config %+v, %v", file, err)
	}
	if n := reg.Requests().Op(registry.PutUpload).Len(); n != 1 {
		t.Errorf("the client uploaded %d blobs, want the config alone", n)
	}
}

func Example() {
	_ = testLabel
}
