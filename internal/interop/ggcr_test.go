package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

var ggcr = matrix.Factory{Name: "go-containerregistry", New: func(t *testing.T, env matrix.Env) matrix.Client {
	opts := []remote.Option{remote.WithTransport(env.Transport), remote.WithAuth(ggcrAuth(env))}
	if env.Sequential {
		opts = append(opts, remote.WithJobs(1))
	}
	return ggcrClient{opts}
}}

func ggcrAuth(env matrix.Env) authn.Authenticator {
	if env.Credentials.Username == "" && env.IdentityToken == "" {
		return authn.Anonymous
	}
	return authn.FromConfig(authn.AuthConfig{
		Username:      env.Credentials.Username,
		Password:      env.Credentials.Password,
		IdentityToken: env.IdentityToken,
	})
}

// ggcrClient is a matrix.Client that uses go-containerregistry's package remote,
// on which crane is built.
//
// The package chooses between HTTPS and HTTP itself. For 127.0.0.1 it tries HTTPS
// first, so a registry without HTTPS does not record the first request.
type ggcrClient struct{ opts []remote.Option }

func (c ggcrClient) options(ctx context.Context) []remote.Option {
	return append([]remote.Option{remote.WithContext(ctx)}, c.opts...)
}

func (c ggcrClient) Push(ctx context.Context, ref string, content content.Content) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	if isIndex(content.MediaType) {
		return remote.WriteIndex(r, ggcrIndex{content}, c.options(ctx)...)
	}
	img, err := partial.CompressedToImage(ggcrImage{content})
	if err != nil {
		return err
	}
	return remote.Write(r, img, c.options(ctx)...)
}

func (c ggcrClient) Pull(ctx context.Context, ref string, sink matrix.Sink) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	got, err := remote.Get(r, c.options(ctx)...)
	if err != nil {
		return err
	}
	if !got.MediaType.IsIndex() {
		img, err := got.Image()
		if err != nil {
			return err
		}
		return ggcrReadImage(img, sink)
	}
	index, err := got.ImageIndex()
	if err != nil {
		return err
	}
	return ggcrReadIndex(index, sink)
}

func ggcrReadIndex(index v1.ImageIndex, sink matrix.Sink) error {
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	if err := sink(digest.FromBytes(raw), bytes.NewReader(raw)); err != nil {
		return err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if child.MediaType.IsIndex() {
			nested, err := index.ImageIndex(child.Digest)
			if err == nil {
				err = ggcrReadIndex(nested, sink)
			}
			if err != nil {
				return err
			}
			continue
		}
		img, err := index.Image(child.Digest)
		if err == nil {
			err = ggcrReadImage(img, sink)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func ggcrReadImage(img v1.Image, sink matrix.Sink) error {
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	for _, raw := range [][]byte{manifest, config} {
		if err := sink(digest.FromBytes(raw), bytes.NewReader(raw)); err != nil {
			return err
		}
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		if err := ggcrReadLayer(layer, sink); err != nil {
			return err
		}
	}
	return nil
}

func ggcrReadLayer(layer v1.Layer, sink matrix.Sink) error {
	hash, err := layer.Digest()
	if err != nil {
		return err
	}
	r, err := layer.Compressed()
	if err != nil {
		return err
	}
	return errors.Join(sink(digest.Digest(hash.String()), r), r.Close())
}

// Copy copies an image. The layers of a remote image know their repository, so
// the client mounts them.
func (c ggcrClient) Copy(ctx context.Context, from, to string) error {
	src, err := name.ParseReference(from)
	if err != nil {
		return err
	}
	dst, err := name.ParseReference(to)
	if err != nil {
		return err
	}
	img, err := remote.Image(src, c.options(ctx)...)
	if err != nil {
		return err
	}
	return remote.Write(dst, img, c.options(ctx)...)
}

func (ggcrClient) PushChunks(context.Context, string, content.Blob, int64) error {
	return matrix.Lacks("sends each blob in one PATCH, and starts over where that fails")
}

func (ggcrClient) PullFrom(context.Context, string, ocispec.Descriptor, int64) (io.ReadCloser, error) {
	return nil, matrix.Lacks("reads blobs from their beginning")
}

func (c ggcrClient) Tags(ctx context.Context, repo string) ([]string, error) {
	r, err := name.NewRepository(repo)
	if err != nil {
		return nil, err
	}
	return remote.List(r, c.options(ctx)...)
}

func (c ggcrClient) Referrers(ctx context.Context, repo string, subject ocispec.Descriptor) (descs []ocispec.Descriptor, err error) {
	d, err := name.NewDigest(repo + "@" + subject.Digest.String())
	if err != nil {
		return nil, err
	}
	index, err := remote.Referrers(d, c.options(ctx)...)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, desc := range m.Manifests {
		descs = append(descs, ocispec.Descriptor{MediaType: string(desc.MediaType), Digest: digest.Digest(desc.Digest.String()), Size: desc.Size})
	}
	return descs, nil
}

func (c ggcrClient) DeleteTag(ctx context.Context, ref string) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	return remote.Delete(r, c.options(ctx)...)
}

func (c ggcrClient) DeleteManifest(ctx context.Context, repo string, manifest ocispec.Descriptor) error {
	return c.DeleteTag(ctx, repo+"@"+manifest.Digest.String())
}

func (ggcrClient) DeleteBlob(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes manifests and tags only")
}

func (c ggcrClient) ToLayout(ctx context.Context, ref, dir string, content content.Content) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	index, err := remote.Index(r, c.options(ctx)...)
	if err != nil {
		return err
	}
	_, err = layout.Write(dir, index)
	return err
}

// FromLayout pushes the index.json of the layout. ToLayout made it from the image
// index, so it has the same digest.
func (c ggcrClient) FromLayout(ctx context.Context, dir, ref string, content content.Content) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		return err
	}
	index, err := path.ImageIndex()
	if err != nil {
		return err
	}
	return remote.WriteIndex(r, index, c.options(ctx)...)
}

func isIndex(mediaType string) bool {
	return types.MediaType(mediaType).IsIndex()
}

// ggcrImage is an image or artifact of a test as a v1.Image.
type ggcrImage struct{ content.Content }

func (i ggcrImage) RawManifest() ([]byte, error) { return i.Manifest, nil }
func (i ggcrImage) MediaType() (types.MediaType, error) {
	return types.MediaType(i.Content.MediaType), nil
}
func (i ggcrImage) RawConfigFile() ([]byte, error) { return io.ReadAll(i.Config.Open()) }
func (i ggcrImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for b := range i.Blobs() {
		if b.Digest.String() == h.String() {
			return ggcrLayer{b}, nil
		}
	}
	return nil, fmt.Errorf("no layer %s", h)
}

// ggcrLayer is a layer of a test as a v1.Layer.
type ggcrLayer struct{ content.Blob }

func (l ggcrLayer) Digest() (v1.Hash, error)           { return v1.NewHash(l.Blob.Digest.String()) }
func (l ggcrLayer) Compressed() (io.ReadCloser, error) { return io.NopCloser(l.Open()), nil }
func (l ggcrLayer) Size() (int64, error)               { return l.Blob.Size, nil }
func (l ggcrLayer) MediaType() (types.MediaType, error) {
	return types.MediaType(l.Blob.MediaType), nil
}

// ggcrIndex is an index of a test as a v1.ImageIndex.
type ggcrIndex struct{ content.Content }

func (i ggcrIndex) MediaType() (types.MediaType, error) {
	return types.MediaType(i.Content.MediaType), nil
}
func (i ggcrIndex) Digest() (v1.Hash, error)     { return v1.NewHash(i.Content.Digest.String()) }
func (i ggcrIndex) Size() (int64, error)         { return i.Content.Size, nil }
func (i ggcrIndex) RawManifest() ([]byte, error) { return i.Manifest, nil }
func (i ggcrIndex) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.Manifest))
}

func (i ggcrIndex) child(h v1.Hash) (content.Content, error) {
	for _, child := range i.Children {
		if child.Digest.String() == h.String() {
			return child, nil
		}
	}
	return content.Content{}, fmt.Errorf("no manifest %s", h)
}

func (i ggcrIndex) Image(h v1.Hash) (v1.Image, error) {
	child, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(ggcrImage{child})
}

func (i ggcrIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	child, err := i.child(h)
	return ggcrIndex{child}, err
}

// TestGoContainerRegistryByName lists tags in pages over HTTPS from a registry with
// a host name. If the registry is on loopback, the client refuses the HTTPS link to
// the second page as a link to another host.
func TestGoContainerRegistryByName(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewNetwork(t).Registry("registry.example.com", registry.WithPageSize(2))
	require.Equal(t, "https://registry.example.com", reg.URL)
	want := []string{"a", "b", "c", "d", "e"}
	for _, tag := range want {
		reg.Push(t, "team/app:"+tag, content.Image())
	}
	repo, err := name.NewRepository(reg.Ref("team/app"))
	require.NoError(t, err)
	got, err := remote.List(repo, remote.WithTransport(reg.Transport()), remote.WithContext(t.Context()))
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, 3, reg.Requests().Op(registry.ListTags).Status(200).Len())
}
