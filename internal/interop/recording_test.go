package interop

import (
	"net/http"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// Containerd pulls from a mirror with the query ns=docker.io, both while the
// mirror records and while it replays the recording.
func TestContainerdFromRecording(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t)
	index := up.Push(t, "library/app:v1", content.Index(content.Image(content.Platform("linux/amd64")), content.Image(content.Platform("linux/arm64"))))
	other := up.Push(t, "library/app:v2", content.Image())
	dir := t.TempDir()
	pull := func(opts ...upstream.StoreOption) {
		l, err := layout.Open(dir)
		require.NoError(t, err)
		defer l.Close()
		store, err := upstream.Open(l, append(opts, upstream.RecordTo(dir+"/"+upstream.RecordingFile))...)
		require.NoError(t, err)
		defer store.Close()
		mirror := registrytest.NewServer(t, store)
		resolver := docker.NewResolver(docker.ResolverOptions{Hosts: func(string) ([]docker.RegistryHost, error) {
			return []docker.RegistryHost{{
				Client: mirror.Client(), Host: mirror.Host(), Scheme: "http", Path: "/v2",
				Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
			}}, nil
		}})
		for ref, want := range map[string]content.Content{"docker.io/library/app:v1": index, "docker.io/library/app:v2": other} {
			kept, err := local.NewStore(t.TempDir())
			require.NoError(t, err)
			name, desc, err := resolver.Resolve(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, want.Digest, desc.Digest)
			fetcher, err := resolver.Fetcher(t.Context(), name)
			require.NoError(t, err)
			require.NoError(t, images.Dispatch(t.Context(), images.Handlers(remotes.FetchHandler(kept, fetcher), images.ChildrenHandler(kept)), nil, desc))
		}
		_, _, err = resolver.Resolve(t.Context(), "docker.io/library/app:none")
		require.ErrorContains(t, err, "not found")
		require.Empty(t, store.Missed())
		for _, r := range mirror.Requests().Op(registry.GetManifest, registry.GetBlob, registry.HeadManifest).Records() {
			require.Contains(t, r.URL.RawQuery, "ns=docker.io")
		}
	}
	pull(upstream.Remote("docker.io", upstream.At(up.URL), upstream.RoundTripper(&http.Transport{DisableKeepAlives: true})))
	up.Stop()
	pull(upstream.Offline())
}
