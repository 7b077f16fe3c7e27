package client

import (
	"io"
	"net/http"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// A blob is fetched in several parts at once. Its length is right, so only a
// store would check its digest.
func TestParallel(t *testing.T) {
	blob := content.Random("application/octet-stream", 60_000, 1)
	everyFault(t, func(t *explore.T, reg *registrytest.Server) error {
		reg.PushBlob(t, "team/app", blob)
		return nil
	}, func(t *explore.T, reg *registrytest.Server) error {
		resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
			docker.WithClient(&http.Client{Transport: reg.Transport()}),
			docker.WithPlainHTTP(docker.MatchLocalhost),
		)})
		resolver.(remotes.ResolverWithOptions).SetOptions(
			transfer.WithMaxConcurrentDownloads(4),
			transfer.WithConcurrentLayerFetchBuffer(20_000),
		)
		fetcher, err := resolver.Fetcher(t.Context(), reg.Ref("team/app"))
		if err != nil {
			return err
		}
		r, err := fetcher.Fetch(t.Context(), blob.Descriptor)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if closing := r.Close(); err == nil {
			err = closing
		}
		t.Result("blob", content)
		return err
	})
}

// A blob is fetched from a mirror, or from the registry that it mirrors if the
// mirror fails.
func TestMirror(t *testing.T) {
	everyFault(t, seed, func(t *explore.T, mirror *registrytest.Server) error {
		upstream := registrytest.NewNetwork(t).Registry("upstream.example.com")
		upstream.Push(t, "team/app:v1", image())
		host := func(reg *registrytest.Server) docker.RegistryHost {
			return docker.RegistryHost{
				Client: &http.Client{Transport: reg.Transport()}, Host: reg.Host(), Scheme: "http", Path: "/v2",
				Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
			}
		}
		resolver := docker.NewResolver(docker.ResolverOptions{Hosts: func(string) ([]docker.RegistryHost, error) {
			return []docker.RegistryHost{host(mirror), host(upstream)}, nil
		}})
		fetcher, err := resolver.Fetcher(t.Context(), "upstream.example.com/team/app:v1")
		if err != nil {
			return err
		}
		r, err := fetcher.Fetch(t.Context(), image().Layers[0].Descriptor)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if closing := r.Close(); err == nil {
			err = closing
		}
		t.Result("layer", content)
		return err
	})
}
