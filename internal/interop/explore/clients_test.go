package explore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	ctrcontent "github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/scheme/reg"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"
	"github.com/sirupsen/logrus"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	orasremote "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// The credentials of clients. A client uses them only if a registry asks for
// credentials.
const user, password = "ci", "secret-of-ci"

// image returns the image that the clients push and pull.
func image() content.Content { return content.Image(content.LayerSizes(5000)) }

// plain reports whether the registry uses plain HTTP.
func plain(reg *registrytest.Server) bool { return strings.HasPrefix(reg.URL, "http:") }

func result(t *explore.T, name string, r io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	text, err := io.ReadAll(r)
	t.Result(name, text)
	return errors.Join(err, r.Close())
}

func ggcrOptions(t *explore.T, reg *registrytest.Server) []remote.Option {
	opts := []remote.Option{remote.WithTransport(reg.Transport()), remote.WithContext(t.Context()), remote.WithJobs(1)}
	if !plain(reg) {
		// Without the condition, the client sends credentials to registries that
		// do not ask for any.
		opts = append(opts, remote.WithAuth(&authn.Basic{Username: user, Password: password}))
	}
	return opts
}

func ggcrPull(t *explore.T, reg *registrytest.Server) error {
	ref, err := name.ParseReference(reg.Ref("team/app:v1"))
	if err != nil {
		return err
	}
	img, err := remote.Image(ref, ggcrOptions(t, reg)...)
	if err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	t.Result("config", config)
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		r, err := layer.Compressed()
		if err := result(t, "layer", r, err); err != nil {
			return err
		}
	}
	return nil
}

func ggcrPush(t *explore.T, reg *registrytest.Server) error {
	ref, err := name.ParseReference(reg.Ref("team/app:v1"))
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(bytes.Repeat([]byte("layer"), 1000), types.OCIUncompressedLayer))
	if err != nil {
		return err
	}
	return remote.Write(ref, img, ggcrOptions(t, reg)...)
}

func orasRepository(reg *registrytest.Server) (*orasremote.Repository, oras.CopyOptions, error) {
	opts := oras.DefaultCopyOptions
	opts.Concurrency = 1
	repo, err := orasremote.NewRepository(reg.Ref("team/app"))
	if err != nil {
		return nil, opts, err
	}
	repo.PlainHTTP = plain(reg)
	repo.Client = &auth.Client{
		Client:     &http.Client{Transport: retry.NewTransport(reg.Transport())},
		Cache:      auth.NewCache(),
		Credential: auth.StaticCredential(reg.Host(), auth.Credential{Username: user, Password: password}),
	}
	return repo, opts, nil
}

func orasPull(t *explore.T, reg *registrytest.Server) error {
	repo, opts, err := orasRepository(reg)
	if err != nil {
		return err
	}
	store := memory.New()
	root, err := oras.Copy(t.Context(), repo, "v1", store, "v1", opts)
	if err != nil {
		return err
	}
	t.Result("root", root.Digest)
	for b := range image().Blobs() {
		r, err := store.Fetch(t.Context(), b.Descriptor)
		if err := result(t, b.Digest.String(), r, err); err != nil {
			return err
		}
	}
	return nil
}

func orasPush(t *explore.T, reg *registrytest.Server) error {
	repo, opts, err := orasRepository(reg)
	if err != nil {
		return err
	}
	store, img := memory.New(), image()
	for b := range img.Blobs() {
		if err := store.Push(t.Context(), b.Descriptor, b.Open()); err != nil {
			return err
		}
	}
	if err := store.Push(t.Context(), img.Descriptor(), bytes.NewReader(img.Manifest)); err != nil {
		return err
	}
	if err := store.Tag(t.Context(), img.Descriptor(), "v1"); err != nil {
		return err
	}
	_, err = oras.Copy(t.Context(), store, "v1", repo, "v1", opts)
	return err
}

func regclientOf(server *registrytest.Server, more ...reg.Opts) (*regclient.RegClient, ref.Ref, error) {
	host := config.HostNewName(server.Host())
	host.User, host.Pass = user, password
	if plain(server) {
		host.TLS = config.TLSDisabled
	}
	r, err := ref.New(server.Ref("team/app:v1"))
	return regclient.New(regclient.WithConfigHost(*host), regclient.WithRegOpts(append(more, reg.WithTransport(server.Transport()))...)), r, err
}

func regclientPull(t *explore.T, server *registrytest.Server) error {
	rc, r, err := regclientOf(server)
	if err != nil {
		return err
	}
	m, err := rc.ManifestGet(t.Context(), r)
	if err != nil {
		return err
	}
	raw, err := m.RawBody()
	if err != nil {
		return err
	}
	t.Result("manifest", raw)
	for b := range image().Blobs() {
		r, err := rc.BlobGet(t.Context(), r, descriptor.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size})
		if err := result(t, b.Digest.String(), r, err); err != nil {
			return err
		}
	}
	return nil
}

func regclientPush(t *explore.T, server *registrytest.Server) error {
	rc, r, err := regclientOf(server, reg.WithBlobSize(2000, 2000))
	if err != nil {
		return err
	}
	img := image()
	for b := range img.Blobs() {
		if _, err := rc.BlobPut(t.Context(), r, descriptor.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size}, b.Open()); err != nil {
			return err
		}
	}
	m, err := manifest.New(manifest.WithRaw(img.Manifest), manifest.WithDesc(descriptor.Descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size}))
	if err != nil {
		return err
	}
	return rc.ManifestPut(t.Context(), r, m)
}

// quiet keeps containerd from logging to standard error.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

func containerdResolver(reg *registrytest.Server) remotes.Resolver {
	client := &http.Client{Transport: reg.Transport()}
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithClient(client),
		docker.WithPlainHTTP(func(string) (bool, error) { return plain(reg), nil }),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(func(host string) (string, string, error) {
			if host != reg.Host() {
				return "", "", nil
			}
			return user, password, nil
		}))),
	)})
}

func containerdPull(t *explore.T, reg *registrytest.Server) error {
	// Containerd uses http.DefaultClient for foreign layers. Without this
	// transport, the client would connect to hosts outside of the test's network.
	before := http.DefaultClient.Transport
	http.DefaultClient.Transport = reg.Transport()
	defer func() { http.DefaultClient.Transport = before }()
	ctx, resolver := quiet(t.Context()), containerdResolver(reg)
	name, desc, err := resolver.Resolve(ctx, reg.Ref("team/app:v1"))
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		return err
	}
	if err := images.Walk(ctx, images.Handlers(remotes.FetchHandler(store, fetcher), images.ChildrenHandler(store)), desc); err != nil {
		return err
	}
	for b := range image().Blobs() {
		text, err := ctrcontent.ReadBlob(ctx, store, b.Descriptor)
		if err != nil {
			return err
		}
		t.Result(b.Digest.String(), text)
	}
	return nil
}

func containerdPush(t *explore.T, reg *registrytest.Server) error {
	ctx, img := quiet(t.Context()), image()
	pusher, err := containerdResolver(reg).Pusher(ctx, reg.Ref("team/app:v1"))
	if err != nil {
		return err
	}
	push := func(desc ocispec.Descriptor, from io.Reader) error {
		w, err := pusher.Push(ctx, desc)
		if errdefs.IsAlreadyExists(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(ctrcontent.Copy(ctx, w, from, desc.Size, desc.Digest), w.Close())
	}
	for b := range img.Blobs() {
		if err := push(b.Descriptor, b.Open()); err != nil {
			return fmt.Errorf("pushing %s: %w", b.Digest, err)
		}
	}
	return push(img.Descriptor(), bytes.NewReader(img.Manifest))
}
