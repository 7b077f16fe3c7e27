package interop

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/containerd/containerd/content"
	"github.com/containerd/containerd/content/local"
	"github.com/containerd/containerd/images/archive"
	"github.com/containerd/containerd/remotes"
	"github.com/containerd/containerd/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/interop/matrix"
)

var containerd1 = containerdVersion{
	name: "containerd 1.x",
	resolver: func(client *http.Client, env matrix.Env) func() containerdResolver {
		authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(containerdSecret(env)))
		return func() containerdResolver {
			return containerd1Resolver{docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
				docker.WithClient(client),
				docker.WithAuthorizer(authorizer),
				docker.WithPlainHTTP(func(string) (bool, error) { return !env.TLS, nil }),
			)})}
		}
	},
	store: func(dir string) (containerdStore, error) {
		store, err := local.NewStore(dir)
		return containerd1Store{store}, err
	},
}

type containerd1Resolver struct{ remotes.Resolver }

func (r containerd1Resolver) fetcher(ctx context.Context, ref string) (containerdFetcher, error) {
	return r.Fetcher(ctx, ref)
}

func (r containerd1Resolver) push(ctx context.Context, ref string, desc ocispec.Descriptor, from io.Reader) error {
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
	return errors.Join(content.Copy(ctx, w, from, desc.Size, desc.Digest), w.Close())
}

func (containerd1Resolver) referrers(context.Context, string, digest.Digest) ([]ocispec.Descriptor, error) {
	return nil, matrix.Lacks("knows nothing of referrers")
}

type containerd1Store struct{ content.Store }

func (s containerd1Store) fetch(ctx context.Context, from containerdFetcher, desc ocispec.Descriptor) error {
	return remotes.Fetch(ctx, s.Store, from, desc)
}

func (s containerd1Store) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadSeekCloser, error) {
	r, err := s.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return containerdSeeker(r), nil
}

func (s containerd1Store) export(ctx context.Context, root ocispec.Descriptor, w io.Writer) error {
	return archive.Export(ctx, s.Store, w, archive.WithManifest(root, "v1"), archive.WithSkipDockerManifest())
}

func (s containerd1Store) load(ctx context.Context, r io.Reader) (ocispec.Descriptor, error) {
	return archive.ImportIndex(ctx, s.Store, r)
}
