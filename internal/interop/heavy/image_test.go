//go:build containers_image_openpgp

package heavy

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

var containersImage = matrix.Factory{Name: "containers/image", New: func(t *testing.T, env matrix.Env) matrix.Client { return newImageClient(t, env) }}

func newImageClient(t tester, env matrix.Env) imageClient {
	dir := t.TempDir()
	sys := &types.SystemContext{
		// containers/image records the source of each blob there, for mounts.
		BlobInfoCacheDir: filepath.Join(dir, "cache"),
		// These paths replace the configuration of the machine.
		SystemRegistriesConfPath:    filepath.Join(dir, "registries.conf"),
		SystemRegistriesConfDirPath: filepath.Join(dir, "registries.conf.d"),
		RegistriesDirPath:           filepath.Join(dir, "registries.d"),
		AuthFilePath:                filepath.Join(dir, "auth.json"),
	}
	require.NoError(t, os.WriteFile(sys.SystemRegistriesConfPath, nil, 0o600))
	if env.TLS {
		sys.DockerCertPath = filepath.Join(dir, "certs")
		require.NoError(t, os.Mkdir(sys.DockerCertPath, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(sys.DockerCertPath, "ca.crt"), env.CA, 0o600))
	} else {
		// With this setting, containers/image tries HTTP if HTTPS fails.
		sys.DockerInsecureSkipTLSVerify = types.OptionalBoolTrue
	}
	if env.Credentials.Username != "" || env.IdentityToken != "" {
		sys.DockerAuthConfig = &types.DockerAuthConfig{
			Username:      env.Credentials.Username,
			Password:      env.Credentials.Password,
			IdentityToken: env.IdentityToken,
		}
	}
	c := imageClient{t: t, sys: sys}
	if env.Sequential {
		c.parallel = 1
	}
	return c
}

// imageClient is a matrix.Client that uses containers/image, on which Podman,
// Buildah, Skopeo and CRI-O are built. The package copies images between
// transports. The client pushes from an image layout and pulls into a directory,
// which keeps every byte.
type imageClient struct {
	t        tester
	sys      *types.SystemContext
	parallel uint
}

func (c imageClient) copy(ctx context.Context, to, from types.ImageReference) error {
	policy, err := signature.NewPolicyContext(&signature.Policy{
		Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()},
	})
	if err != nil {
		return err
	}
	defer policy.Destroy()
	_, err = copy.Image(ctx, policy, to, from, &copy.Options{
		SourceCtx:            c.sys,
		DestinationCtx:       c.sys,
		ImageListSelection:   copy.CopyAllImages,
		PreserveDigests:      true,
		MaxParallelDownloads: c.parallel,
	})
	return err
}

func remote(ref string) (types.ImageReference, error) { return docker.ParseReference("//" + ref) }

func (c imageClient) Push(ctx context.Context, ref string, image content.Content) error {
	dir := c.t.TempDir()
	require.NoError(c.t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
	require.NoError(c.t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o600))
	store, err := layout.Open(dir, layout.Repository("app"))
	if err != nil {
		return err
	}
	defer store.Close()
	if err := content.Put(ctx, store, "app:v1", image); err != nil {
		return err
	}
	return c.FromLayout(ctx, dir, ref, image)
}

func (c imageClient) Pull(ctx context.Context, ref string, sink matrix.Sink) error {
	from, err := remote(ref)
	if err != nil {
		return err
	}
	dir := c.t.TempDir()
	to, err := directory.NewReference(dir)
	if err != nil {
		return err
	}
	if err := c.copy(ctx, to, from); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := imageRead(filepath.Join(dir, file.Name()), sink); err != nil {
			return err
		}
	}
	return nil
}

// imageRead gives a file of the directory to the sink. The name of a blob's file
// is its digest; the digest of a manifest has to be computed.
func imageRead(file string, sink matrix.Sink) error {
	name := filepath.Base(file)
	if name == "version" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if !strings.HasSuffix(name, "manifest.json") {
		return sink(digest.NewDigestFromEncoded(digest.SHA256, name), f)
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	return sink(digest.FromBytes(raw), bytes.NewReader(raw))
}

func (c imageClient) Copy(ctx context.Context, from, to string) error {
	source, err := remote(from)
	if err != nil {
		return err
	}
	target, err := remote(to)
	if err != nil {
		return err
	}
	// containers/image mounts only blobs whose source is in its cache, so the
	// client pulls the image before it copies it.
	elsewhere, err := directory.NewReference(c.t.TempDir())
	if err != nil {
		return err
	}
	if err := c.copy(ctx, elsewhere, source); err != nil {
		return err
	}
	return c.copy(ctx, target, source)
}

func (imageClient) PushChunks(context.Context, string, content.Blob, int64) error {
	return matrix.Lacks("sends each blob in one PATCH")
}

func (imageClient) PullFrom(context.Context, string, ocispec.Descriptor, int64) (io.ReadCloser, error) {
	return nil, matrix.Lacks("reads parts of blobs only internally, for layers in zstd:chunked")
}

func (c imageClient) Tags(ctx context.Context, repo string) ([]string, error) {
	ref, err := remote(repo)
	if err != nil {
		return nil, err
	}
	return docker.GetRepositoryTags(ctx, c.sys, ref)
}

func (imageClient) Referrers(context.Context, string, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, matrix.Lacks("knows nothing of referrers")
}

func (c imageClient) DeleteTag(ctx context.Context, ref string) error {
	r, err := remote(ref)
	if err != nil {
		return err
	}
	return r.DeleteImage(ctx, c.sys)
}

func (c imageClient) DeleteManifest(ctx context.Context, repo string, manifest ocispec.Descriptor) error {
	return c.DeleteTag(ctx, repo+"@"+manifest.Digest.String())
}

func (imageClient) DeleteBlob(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes manifests only")
}

func (c imageClient) ToLayout(ctx context.Context, ref, dir string, _ content.Content) error {
	from, err := remote(ref)
	if err != nil {
		return err
	}
	to, err := ocilayout.NewReference(dir, "v1")
	if err != nil {
		return err
	}
	return c.copy(ctx, to, from)
}

func (c imageClient) FromLayout(ctx context.Context, dir, ref string, _ content.Content) error {
	to, err := remote(ref)
	if err != nil {
		return err
	}
	from, err := ocilayout.NewReference(dir, "v1")
	if err != nil {
		return err
	}
	return c.copy(ctx, to, from)
}

const docs = "../../../docs/clients.md"

func TestScenarios(t *testing.T) {
	t.Parallel()
	matrix.Scenarios(t, docs, containersImage)
}

func TestLogins(t *testing.T) {
	t.Parallel()
	matrix.Logins(t, docs, containersImage)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	matrix.Faults(t, docs, containersImage)
}
