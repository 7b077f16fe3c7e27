package interop

import (
	"context"
	"io"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// The fetchers of containerd and oras-go do not verify the content. They return
// bytes that do not match the descriptor, without an error. Containerd's content
// store and the target of oras-go's Copy verify them.
func TestFetchersDoNotVerify(t *testing.T) {
	t.Parallel()
	fetchers := map[string]func(ctx context.Context, reg *registrytest.Server, desc ocispec.Descriptor) (io.ReadCloser, error){
		"oras-go, Repository.Fetch": func(ctx context.Context, reg *registrytest.Server, desc ocispec.Descriptor) (io.ReadCloser, error) {
			repo, err := remote.NewRepository(reg.Ref("team/app"))
			if err != nil {
				return nil, err
			}
			repo.Client, repo.PlainHTTP = reg.Client(), true
			return repo.Fetch(ctx, desc)
		},
	}
	for _, version := range []containerdVersion{containerd2, containerd1} {
		fetchers[version.name+", Fetcher.Fetch"] = func(ctx context.Context, reg *registrytest.Server, desc ocispec.Descriptor) (io.ReadCloser, error) {
			fetcher, err := version.resolver(reg.Client(), matrix.Env{})().fetcher(ctx, reg.Ref("team/app"))
			if err != nil {
				return nil, err
			}
			return fetcher.Fetch(ctx, desc)
		}
	}
	for name, fetch := range fetchers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t)
			blob := reg.PushBlob(t, "team/app", content.Random("application/octet-stream", 1000, 1))
			reg.Fault(t, fault.On(registry.GetBlob).Corrupt(500))
			r, err := fetch(t.Context(), reg, blob.Descriptor)
			require.NoError(t, err)
			defer r.Close()
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			want, err := io.ReadAll(blob.Open())
			require.NoError(t, err)
			require.Len(t, got, len(want))
			require.NotEqual(t, want, got)
		})
	}
}
