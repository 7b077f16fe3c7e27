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
