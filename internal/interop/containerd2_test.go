package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	ctrcontent "github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

var containerd2 = containerdVersion{
	name: "containerd",
	resolver: func(client *http.Client, env matrix.Env) func() containerdResolver {
		authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(containerdSecret(env)))
		return func() containerdResolver {
			return containerd2Resolver{docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
				docker.WithClient(client),
				docker.WithAuthorizer(authorizer),
				docker.WithPlainHTTP(func(string) (bool, error) { return !env.TLS, nil }),
			)})}
		}
	},
	store: func(dir string) (containerdStore, error) {
		store, err := local.NewStore(dir)
		return containerd2Store{store}, err
	},
}

type containerd2Resolver struct{ remotes.Resolver }

func (r containerd2Resolver) fetcher(ctx context.Context, ref string) (containerdFetcher, error) {
	return r.Fetcher(ctx, ref)
}

func (r containerd2Resolver) push(ctx context.Context, ref string, desc ocispec.Descriptor, from io.Reader) error {
	pusher, err := r.Pusher(ctx, ref)
	if err != nil {
		return err
	}
	w, err := pusher.Push(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(ctrcontent.Copy(ctx, w, from, desc.Size, desc.Digest), w.Close())
}

func (r containerd2Resolver) referrers(ctx context.Context, ref string, subject digest.Digest) ([]ocispec.Descriptor, error) {
	fetcher, err := r.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fetcher.(remotes.ReferrersFetcher).FetchReferrers(ctx, subject)
}

type containerd2Store struct{ ctrcontent.Store }

func (s containerd2Store) fetch(ctx context.Context, from containerdFetcher, desc ocispec.Descriptor) error {
	return remotes.Fetch(ctx, s.Store, from, desc)
}

func (s containerd2Store) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadSeekCloser, error) {
	r, err := s.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return containerdSeeker(r), nil
}

func (s containerd2Store) export(ctx context.Context, root ocispec.Descriptor, w io.Writer) error {
	return archive.Export(ctx, s.Store, w, archive.WithManifest(root, "v1"), archive.WithSkipDockerManifest())
}

func (s containerd2Store) load(ctx context.Context, r io.Reader) (ocispec.Descriptor, error) {
	return archive.ImportIndex(ctx, s.Store, r)
}

// TestContainerdParallel makes containerd fetch a blob in several parts at once.
// Containerd does so if it is configured to and the first response is 206. It
// requests the rest of the blob from the beginning of each part, and closes the
// connection at the end of the part.
func TestContainerdParallel(t *testing.T) {
	t.Parallel()
	for name, open := range matrix.Stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, registrytest.WithStore(open(t)))
			blob := reg.PushBlob(t, "team/app", content.Random("application/octet-stream", 100_000, 1))
			resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
				docker.WithClient(&http.Client{Transport: reg.Transport()}),
				docker.WithPlainHTTP(docker.MatchLocalhost),
			)})
			resolver.(remotes.ResolverWithOptions).SetOptions(
				transfer.WithMaxConcurrentDownloads(4),
				transfer.WithConcurrentLayerFetchBuffer(30_000),
			)
			fetcher, err := resolver.Fetcher(quiet(t.Context()), reg.Ref("team/app"))
			require.NoError(t, err)
			got, err := containerdRead(fetcher.Fetch(quiet(t.Context()), blob.Descriptor))
			require.NoError(t, err)
			want, err := io.ReadAll(blob.Open())
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
			// Containerd has all bytes before the registry notices the closed
			// connections and records the requests.
			parts, err := reg.Requests().Op(registry.GetBlob).Status(http.StatusPartialContent).WaitFor(t.Context(), 4)
			require.NoError(t, err)
			var ranges []string
			for _, r := range parts.Records() {
				ranges = append(ranges, r.Range)
			}
			require.ElementsMatch(t, []string{"bytes=0-", "bytes=30000-", "bytes=60000-", "bytes=90000-"}, ranges)
		})
	}
}
