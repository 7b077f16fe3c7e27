package containerd_test

import (
	"context"
	"testing"

	ctrcontent "github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/containerd"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// fetch is the code to test: it fetches an image into a content store, without
// the layers that the store has.
func fetch(ctx context.Context, resolver remotes.Resolver, store ctrcontent.Store, ref string) error {
	name, desc, err := resolver.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	return images.Dispatch(ctx, images.Handlers(
		remotes.FetchHandler(store, fetcher),
		images.ChildrenHandler(store),
	), nil, desc)
}

// testFetch is a whole test of fetch. In a project it is named TestFetch.
func testFetch(t *testing.T) {
	a := auth.Bearer()
	ci := a.User("ci", "pull team/**")
	reg := registrytest.NewServer(t, a)
	reg.Push(t, "team/app:v1", content.Image(content.Layers(2)))
	app := reg.Push(t, "team/app:v2", content.Image(content.Layers(3))) // with a third layer
	store := containerd.Store(t, reg, "team/app:v1")
	reg.Fault(t, fault.On(registry.GetBlob).Digest(app.Layers[2].Digest).Once().Close(fault.AtByte(10)))

	resolver := containerd.Resolver(containerd.Hosts(reg, ci))
	if err := fetch(t.Context(), resolver, store, reg.Ref("team/app:v2")); err != nil {
		t.Fatal(err)
	}

	if _, err := store.Info(t.Context(), app.Layers[2].Digest); err != nil {
		t.Error(err)
	}
	if n := reg.Requests().Op(registry.GetBlob).Status(200, 206).Len(); n != 3 {
		t.Errorf("%d requests for blobs, want one for the config and two for the third layer", n)
	}
}

func Example() {
	_ = testFetch
}
