package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/content"
)

var orasGo = matrix.Factory{Name: "oras-go", New: func(t *testing.T, env matrix.Env) matrix.Client {
	credential := auth.Credential{
		Username:     env.Credentials.Username,
		Password:     env.Credentials.Password,
		RefreshToken: env.IdentityToken,
	}
	return orasClient{
		t:          t,
		sequential: env.Sequential,
		plain:      !env.TLS,
		client: &auth.Client{
			Client:     &http.Client{Transport: retry.NewTransport(env.Transport)},
			Cache:      auth.NewCache(),
			Credential: auth.StaticCredential(env.Host, credential),
		},
	}
}}

// orasClient is a matrix.Client that uses oras-go's package remote and its function Copy.
type orasClient struct {
	t                 *testing.T
	client            *auth.Client
	plain, sequential bool
}

func (c orasClient) repository(ref string) (*remote.Repository, error) {
	repo, err := remote.NewRepository(ref)
	if err != nil {
		return nil, err
	}
	repo.Client, repo.PlainHTTP = c.client, c.plain
	return repo, nil
}

func (c orasClient) Push(ctx context.Context, ref string, what content.Content) error {
	repo, err := c.repository(ref)
	if err != nil {
		return err
	}
	_, err = oras.Copy(ctx, orasSource{what}, "", repo, repo.Reference.Reference, c.options())
	return err
}

// Pull copies the content to a layout. A repository of oras-go does not
// verify the content that it fetches, but the library's own stores verify the
// content pushed to them.
func (c orasClient) Pull(ctx context.Context, ref string, sink matrix.Sink) error {
	repo, err := c.repository(ref)
	if err != nil {
		return err
	}
	store, err := oci.New(c.t.TempDir())
	if err != nil {
		return err
	}
	root, err := oras.Copy(ctx, repo, repo.Reference.Reference, store, "", c.options())
	if err != nil {
		return err
	}
	return orasRead(ctx, store, root, sink)
}

func orasRead(ctx context.Context, store *oci.Store, desc ocispec.Descriptor, sink matrix.Sink) error {
	r, err := store.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	if err := errors.Join(sink(desc.Digest, r), r.Close()); err != nil {
		return err
	}
	next, err := orascontent.Successors(ctx, store, desc)
	if err != nil {
		return err
	}
	for _, desc := range next {
		if err := orasRead(ctx, store, desc, sink); err != nil {
			return err
		}
	}
	return nil
}

func (c orasClient) options() oras.CopyOptions {
	opts := oras.DefaultCopyOptions
	if c.sequential {
		opts.Concurrency = 1
	}
	return opts
}

// Copy copies an image. It names the repository to mount blobs from, because
// descriptors do not.
func (c orasClient) Copy(ctx context.Context, from, to string) error {
	src, err := c.repository(from)
	if err != nil {
		return err
	}
	dst, err := c.repository(to)
	if err != nil {
		return err
	}
	opts := c.options()
	opts.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) {
		return []string{src.Reference.Repository}, nil
	}
	_, err = oras.Copy(ctx, src, src.Reference.Reference, dst, dst.Reference.Reference, opts)
	return err
}

func (orasClient) PushChunks(context.Context, string, content.Blob, int64) error {
	return matrix.Lacks("sends each blob in one PUT")
}

// PullFrom reads a blob from the offset, by Seek. That works only if the first
// response has Accept-Ranges: bytes, which the spec does not demand of registries.
func (c orasClient) PullFrom(ctx context.Context, repo string, blob ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	r, err := c.repository(repo)
	if err != nil {
		return nil, err
	}
	body, err := r.Blobs().Fetch(ctx, blob)
	if err != nil {
		return nil, err
	}
	seeker, ok := body.(io.Seeker)
	if !ok {
		return nil, errors.Join(errors.New("the body is not an io.Seeker"), body.Close())
	}
	_, err = seeker.Seek(offset, io.SeekStart)
	return body, err
}

func (c orasClient) Tags(ctx context.Context, repo string) (tags []string, err error) {
	r, err := c.repository(repo)
	if err != nil {
		return nil, err
	}
	err = r.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	return tags, err
}

func (c orasClient) Referrers(ctx context.Context, repo string, subject ocispec.Descriptor) (descs []ocispec.Descriptor, err error) {
	r, err := c.repository(repo)
	if err != nil {
		return nil, err
	}
	err = r.Referrers(ctx, subject, "", func(page []ocispec.Descriptor) error {
		descs = append(descs, page...)
		return nil
	})
	return descs, err
}

func (orasClient) DeleteTag(context.Context, string) error {
	return matrix.Lacks("deletes only by descriptor, and a descriptor has no tag")
}

func (c orasClient) DeleteManifest(ctx context.Context, repo string, manifest ocispec.Descriptor) error {
	r, err := c.repository(repo)
	if err != nil {
		return err
	}
	return r.Manifests().Delete(ctx, manifest)
}

func (c orasClient) DeleteBlob(ctx context.Context, repo string, blob ocispec.Descriptor) error {
	r, err := c.repository(repo)
	if err != nil {
		return err
	}
	return r.Blobs().Delete(ctx, blob)
}

func (c orasClient) ToLayout(ctx context.Context, ref, dir string, what content.Content) error {
	repo, store, err := c.withLayout(ref, dir)
	if err != nil {
		return err
	}
	_, err = oras.Copy(ctx, repo, repo.Reference.Reference, store, "v1", c.options())
	return err
}

func (c orasClient) FromLayout(ctx context.Context, dir, ref string, what content.Content) error {
	repo, store, err := c.withLayout(ref, dir)
	if err != nil {
		return err
	}
	_, err = oras.Copy(ctx, store, "v1", repo, repo.Reference.Reference, c.options())
	return err
}

// withLayout returns the repository of the reference, and the layout in the directory.
func (c orasClient) withLayout(ref, dir string) (*remote.Repository, *oci.Store, error) {
	repo, err := c.repository(ref)
	if err != nil {
		return nil, nil, err
	}
	store, err := oci.New(dir)
	return repo, store, err
}

// orasSource is the content of a test as a source for oras-go's Copy.
type orasSource struct{ content content.Content }

func (s orasSource) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return s.content.Descriptor(), nil
}

func (s orasSource) Exists(_ context.Context, desc ocispec.Descriptor) (bool, error) {
	return open(s.content, desc) != nil, nil
}

func (s orasSource) Fetch(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	r := open(s.content, desc)
	if r == nil {
		return nil, fmt.Errorf("no content has the digest %s", desc.Digest)
	}
	return io.NopCloser(r), nil
}
