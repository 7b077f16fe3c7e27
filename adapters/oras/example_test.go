package oras_test

import (
	"context"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"

	"github.com/ocireg/registry"
	orastest "github.com/ocireg/registry/adapters/oras"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// publish is the code to test: it attaches a note to the manifest with the tag and
// copies both to another target.
func publish(ctx context.Context, src, dst oras.GraphTarget, tag, note string) error {
	subject, err := src.Resolve(ctx, tag)
	if err != nil {
		return err
	}
	layer, err := oras.PushBytes(ctx, src, "text/plain", []byte(note))
	if err != nil {
		return err
	}
	_, err = oras.PackManifest(ctx, src, oras.PackManifestVersion1_1, "application/vnd.example.note", oras.PackManifestOptions{
		Subject: &subject, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	_, err = oras.ExtendedCopy(ctx, src, tag, dst, tag, oras.DefaultExtendedCopyOptions)
	return err
}

// testPublish is a whole test of publish. In a project it is named TestPublish.
func testPublish(t *testing.T) {
	staging := registrytest.NewServer(t)
	app := staging.Push(t, "team/app:v1", content.Image())
	a := auth.Bearer()
	ci := a.User("ci", "pull,push released/**")
	public := registrytest.NewServer(t, a)
	public.Fault(t, fault.On(registry.StartUpload).Once().Status(429).RetryAfter(0))

	src := orastest.Target(staging.Store, "team/app") // without requests
	dst := orastest.Repository(t, public, "released/app", ci)
	if err := publish(t.Context(), src, dst, "v1", "tested"); err != nil {
		t.Fatal(err)
	}

	public.CheckTag(t, "released/app:v1", app)
	notes := public.Referrers(t, "released/app:v1")
	if len(notes) != 1 || notes[0].ArtifactType != "application/vnd.example.note" {
		t.Errorf("the image has the referrers %+v, want one note", notes)
	}
}

func Example() {
	_ = testPublish
}
