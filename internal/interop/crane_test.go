package interop

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

var craneLibrary = matrix.Factory{Name: "crane", New: func(t *testing.T, env matrix.Env) matrix.Client {
	opts := []crane.Option{crane.WithTransport(env.Transport), crane.WithAuth(ggcrAuth(env))}
	if env.Sequential {
		opts = append(opts, crane.WithJobs(1))
	}
	return craneClient{opts}
}}

// craneClient is a matrix.Client that uses go-containerregistry's package crane,
// as do ko, the command crane and many tests. The package copies a whole index,
// but can only push and save single images.
type craneClient struct{ opts []crane.Option }

func (c craneClient) options(ctx context.Context) []crane.Option {
	return append([]crane.Option{crane.WithContext(ctx)}, c.opts...)
}

func (c craneClient) Push(ctx context.Context, ref string, content content.Content) error {
	if isIndex(content.MediaType) {
		return matrix.Lacks("pushes images only, and leaves indexes to the package remote")
	}
	img, err := partial.CompressedToImage(ggcrImage{content})
	if err != nil {
		return err
	}
	return crane.Push(img, ref, c.options(ctx)...)
}

func (c craneClient) Pull(ctx context.Context, ref string, sink matrix.Sink) error {
	img, err := crane.Pull(ref, c.options(ctx)...)
	if err != nil {
		return err
	}
	return ggcrReadImage(img, sink)
}

func (c craneClient) Copy(ctx context.Context, from, to string) error {
	return crane.Copy(from, to, c.options(ctx)...)
}

func (craneClient) PushChunks(context.Context, string, content.Blob, int64) error {
	return matrix.Lacks("sends each blob in one PATCH, and starts over where that fails")
}

func (craneClient) PullFrom(context.Context, string, ocispec.Descriptor, int64) (io.ReadCloser, error) {
	return nil, matrix.Lacks("reads blobs from their beginning")
}

func (c craneClient) Tags(ctx context.Context, repo string) ([]string, error) {
	return crane.ListTags(repo, c.options(ctx)...)
}

func (craneClient) Referrers(context.Context, string, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, matrix.Lacks("lists no referrers, and leaves them to the package remote")
}

func (c craneClient) DeleteTag(ctx context.Context, ref string) error {
	return crane.Delete(ref, c.options(ctx)...)
}

func (c craneClient) DeleteManifest(ctx context.Context, repo string, manifest ocispec.Descriptor) error {
	return crane.Delete(repo+"@"+manifest.Digest.String(), c.options(ctx)...)
}

func (craneClient) DeleteBlob(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes manifests and tags only")
}

func (craneClient) ToLayout(context.Context, string, string, content.Content) error {
	return matrix.Lacks("saves images only, and leaves indexes to the package layout")
}

func (craneClient) FromLayout(context.Context, string, string, content.Content) error {
	return matrix.Lacks("saves images only, and leaves indexes to the package layout")
}

// TestCrane tries calls of crane that matrix.Client does not have: inspect manifests,
// pull the image of a platform from an index, tag, copy a repository with all tags,
// save an image in a layout, and list repositories. Lists come in pages of two.
func TestCrane(t *testing.T) {
	t.Parallel()
	for name, open := range matrix.Stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCrane(t, registrytest.NewServer(t, registrytest.WithStore(open(t)), registry.WithPageSize(2)))
		})
	}
}

func testCrane(t *testing.T, reg *registrytest.Server) {
	opts := []crane.Option{crane.WithTransport(reg.Transport()), crane.WithContext(t.Context())}
	app := reg.Push(t, "team/app:v1", content.Image())
	index := reg.Push(t, "team/app:v2", content.Index(content.Platforms("linux/amd64", "linux/arm64")))

	d, err := crane.Digest(reg.Ref("team/app:v1"), opts...)
	require.NoError(t, err)
	require.Equal(t, app.Digest.String(), d)
	got, err := crane.Manifest(reg.Ref("team/app:v2"), opts...)
	require.NoError(t, err)
	require.Equal(t, string(index.Manifest), string(got))

	for _, child := range index.Children {
		img, err := crane.Pull(reg.Ref("team/app:v2"), append(opts, crane.WithPlatform(&v1.Platform{OS: child.Platform.OS, Architecture: child.Platform.Architecture}))...)
		require.NoError(t, err)
		raw, err := img.RawManifest()
		require.NoError(t, err)
		require.Equal(t, string(child.Manifest), string(raw))
	}

	require.NoError(t, crane.Tag(reg.Ref("team/app:v1"), "v3", opts...))
	require.NoError(t, crane.CopyRepository(reg.Ref("team/app"), reg.Ref("team/copy"), opts...))
	want := map[string]content.Content{"v1": app, "v2": index, "v3": app}
	reg.CheckRepository(t, "team/app", want)
	reg.CheckRepository(t, "team/copy", want)

	dir := filepath.Join(t.TempDir(), "layout")
	img, err := crane.Pull(reg.Ref("team/app:v1"), opts...)
	require.NoError(t, err)
	require.NoError(t, crane.SaveOCI(img, dir))
	path, err := layout.FromPath(dir)
	require.NoError(t, err)
	hash, err := img.Digest()
	require.NoError(t, err)
	img, err = path.Image(hash)
	require.NoError(t, err)
	require.NoError(t, crane.Push(img, reg.Ref("team/saved:v1"), opts...))
	reg.CheckRepository(t, "team/saved", map[string]content.Content{"v1": app})

	repos, err := crane.Catalog(reg.Host(), opts...)
	require.NoError(t, err)
	require.Equal(t, []string{"team/app", "team/copy", "team/saved"}, repos)
}
