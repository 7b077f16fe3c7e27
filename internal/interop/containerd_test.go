package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
)

var containerd = matrix.Factory{Name: "containerd", New: func(t *testing.T, env matrix.Env) matrix.Client {
	client := &http.Client{Transport: env.Transport}
	authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(func(string) (string, string, error) {
		// A secret without a user is taken for a refresh token.
		if env.IdentityToken != "" {
			return "", env.IdentityToken, nil
		}
		return env.Credentials.Username, env.Credentials.Password, nil
	}))
	return containerdClient{t, func() remotes.Resolver {
		return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
			docker.WithClient(client),
			docker.WithAuthorizer(authorizer),
			docker.WithPlainHTTP(func(string) (bool, error) { return !env.TLS, nil }),
		)})
	}}
}}

// containerdClient is the resolver with its pusher and fetcher from containerd's
// core/remotes/docker, which BuildKit and nerdctl use too. A pusher remembers
// what it has pushed, and each operation has one of its own.
type containerdClient struct {
	t        *testing.T
	resolver func() remotes.Resolver
}

// quiet keeps containerd from logging to standard error.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

func (c containerdClient) Push(ctx context.Context, ref string, what registrytest.Content) error {
	ctx = quiet(ctx)
	resolver := c.resolver()
	// A pusher for a tag puts every manifest of that digest there; those that
	// an index lists need one for no tag.
	repo, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndex(repo, ":"); i > strings.LastIndex(repo, "/") {
		repo = repo[:i]
	}
	for b := range what.Blobs() {
		if err := containerdPush(ctx, resolver, ref, b.Descriptor, b.Open()); err != nil {
			return err
		}
	}
	for m := range what.Manifests() {
		to := repo + "@" + m.Digest.String()
		if m.Digest == what.Digest {
			to = ref
		}
		if err := containerdPush(ctx, resolver, to, m.Descriptor(), bytes.NewReader(m.Manifest)); err != nil {
			return err
		}
	}
	return nil
}

func containerdPush(ctx context.Context, resolver remotes.Resolver, ref string, desc ocispec.Descriptor, r io.Reader) error {
	pusher, err := resolver.Pusher(ctx, ref)
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
	return errors.Join(content.Copy(ctx, w, r, desc.Size, desc.Digest), w.Close())
}

// Pull fetches into a content store, as the daemon does: a fetcher does not
// verify what it reads, the store does when that is committed to it.
func (c containerdClient) Pull(ctx context.Context, ref string, sink matrix.Sink) error {
	ctx = quiet(ctx)
	resolver := c.resolver()
	name, desc, err := resolver.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	store, err := local.NewStore(c.t.TempDir())
	if err != nil {
		return err
	}
	return containerdPull(ctx, store, fetcher, desc, sink)
}

func containerdPull(ctx context.Context, store content.Store, fetcher remotes.Fetcher, desc ocispec.Descriptor, sink matrix.Sink) error {
	if err := containerdFetch(ctx, store, fetcher, desc, sink); err != nil {
		return err
	}
	raw, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	children, blobs, err := matrix.Links(raw)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := containerdPull(ctx, store, fetcher, child, sink); err != nil {
			return err
		}
	}
	for _, blob := range blobs {
		if err := containerdFetch(ctx, store, fetcher, blob, sink); err != nil {
			return err
		}
	}
	return nil
}

func containerdFetch(ctx context.Context, store content.Store, fetcher remotes.Fetcher, desc ocispec.Descriptor, sink matrix.Sink) error {
	if err := remotes.Fetch(ctx, store, fetcher, desc); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	r, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	return errors.Join(sink(desc.Digest, content.NewReader(r)), r.Close())
}

func containerdRead(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor) ([]byte, error) {
	r, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Copy mounts what has an annotation that says where it is from, which the
// daemon keeps as a label of its content. The key has the host without the port:
// two registries on one host are the same there.
func (c containerdClient) Copy(ctx context.Context, from, to string) error {
	ctx = quiet(ctx)
	resolver := c.resolver()
	name, desc, err := resolver.Resolve(ctx, from)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	raw, err := containerdRead(ctx, fetcher, desc)
	if err != nil {
		return err
	}
	_, blobs, err := matrix.Links(raw)
	if err != nil {
		return err
	}
	hostport, repo, _ := strings.Cut(from, "/")
	host, _, _ := strings.Cut(hostport, ":")
	repo, _, _ = strings.Cut(repo, ":")
	for _, blob := range blobs {
		blob.Annotations = map[string]string{"containerd.io/distribution.source." + host: repo}
		r, err := fetcher.Fetch(ctx, blob)
		if err != nil {
			return err
		}
		if err := errors.Join(containerdPush(ctx, resolver, to, blob, r), r.Close()); err != nil {
			return err
		}
	}
	return containerdPush(ctx, resolver, to, desc, bytes.NewReader(raw))
}

func (containerdClient) PushChunks(context.Context, string, registrytest.Blob, int64) error {
	return matrix.Lacks("sends each blob in one PUT")
}

// PullFrom seeks: a fetched blob is not asked for before it is first read.
func (c containerdClient) PullFrom(ctx context.Context, repo string, blob ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	fetcher, err := c.resolver().Fetcher(quiet(ctx), repo)
	if err != nil {
		return nil, err
	}
	r, err := fetcher.Fetch(quiet(ctx), blob)
	if err != nil {
		return nil, err
	}
	_, err = r.(io.Seeker).Seek(offset, io.SeekStart)
	return r, err
}

func (containerdClient) Tags(context.Context, string) ([]string, error) {
	return nil, matrix.Lacks("lists no tags")
}

func (c containerdClient) Referrers(ctx context.Context, repo string, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	fetcher, err := c.resolver().Fetcher(quiet(ctx), repo+"@"+subject.Digest.String())
	if err != nil {
		return nil, err
	}
	return fetcher.(remotes.ReferrersFetcher).FetchReferrers(quiet(ctx), subject.Digest)
}

func (containerdClient) DeleteTag(context.Context, string) error {
	return matrix.Lacks("deletes nothing")
}

func (containerdClient) DeleteManifest(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes nothing")
}

func (containerdClient) DeleteBlob(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes nothing")
}

func (containerdClient) ToLayout(context.Context, string, string, registrytest.Content) error {
	return matrix.Lacks("knows of no layouts, which the daemon imports and exports")
}

func (containerdClient) FromLayout(context.Context, string, string, registrytest.Content) error {
	return matrix.Lacks("knows of no layouts, which the daemon imports and exports")
}
