package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/scheme/reg"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/content"
)

var regClient = matrix.Factory{Name: "regclient", New: func(t *testing.T, env matrix.Env) matrix.Client {
	host := config.Host{
		Name:  env.Host,
		User:  env.Credentials.Username,
		Pass:  env.Credentials.Password,
		Token: env.IdentityToken,
		TLS:   config.TLSDisabled,
	}
	if env.TLS {
		host.TLS, host.RegCert = config.TLSEnabled, string(env.CA)
	}
	return regclientClient{host}
}}

// regclientClient is a matrix.Client that uses regclient, on which regctl and
// regsync are built. The library makes its own connections and takes the
// registry's certificate from its configuration.
type regclientClient struct{ host config.Host }

func (c regclientClient) client() *regclient.RegClient {
	return regclient.New(regclient.WithConfigHost(c.host))
}

func (c regclientClient) Push(ctx context.Context, name string, content content.Content) error {
	rc := c.client()
	target, err := ref.New(name)
	if err != nil {
		return err
	}
	defer rc.Close(ctx, target)
	for b := range content.Blobs() {
		if _, err := rc.BlobPut(ctx, target, regclientDesc(b.Descriptor), &locked{r: b.Open()}); err != nil {
			return err
		}
	}
	for child := range content.Manifests() {
		m, err := manifest.New(manifest.WithRaw(child.Manifest), manifest.WithDesc(regclientDesc(child.Descriptor())))
		if err != nil {
			return err
		}
		to, opts := target, []regclient.ManifestOpts(nil)
		if child.Digest != content.Digest {
			to, opts = target.SetDigest(child.Digest.String()), append(opts, regclient.WithManifestChild())
		}
		if err := rc.ManifestPut(ctx, to, m, opts...); err != nil {
			return err
		}
	}
	return nil
}

func (c regclientClient) Pull(ctx context.Context, name string, sink matrix.Sink) error {
	rc := c.client()
	source, err := ref.New(name)
	if err != nil {
		return err
	}
	defer rc.Close(ctx, source)
	return c.pull(ctx, rc, source, sink)
}

func (c regclientClient) pull(ctx context.Context, rc *regclient.RegClient, source ref.Ref, sink matrix.Sink) error {
	m, err := rc.ManifestGet(ctx, source)
	if err != nil {
		return err
	}
	raw, err := m.RawBody()
	if err != nil {
		return err
	}
	if err := sink(m.GetDescriptor().Digest, bytes.NewReader(raw)); err != nil {
		return err
	}
	children, blobs, err := matrix.Links(raw)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := c.pull(ctx, rc, source.SetDigest(child.Digest.String()), sink); err != nil {
			return err
		}
	}
	for _, blob := range blobs {
		r, err := rc.BlobGet(ctx, source, regclientDesc(blob))
		if err != nil {
			return err
		}
		if err := errors.Join(sink(blob.Digest, r), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (c regclientClient) Copy(ctx context.Context, from, to string) error {
	rc := c.client()
	source, err := ref.New(from)
	if err != nil {
		return err
	}
	target, err := ref.New(to)
	if err != nil {
		return err
	}
	defer rc.Close(ctx, target)
	return rc.ImageCopy(ctx, source, target)
}

// PushChunks pushes a blob in chunks. It sets both the size of chunks, and the
// size above which regclient sends chunks.
func (c regclientClient) PushChunks(ctx context.Context, repo string, b content.Blob, size int64) error {
	rc := regclient.New(regclient.WithConfigHost(c.host), regclient.WithRegOpts(reg.WithBlobSize(size, size)))
	target, err := ref.New(repo)
	if err != nil {
		return err
	}
	_, err = rc.BlobPut(ctx, target, regclientDesc(b.Descriptor), &locked{r: b.Open()})
	return err
}

func (c regclientClient) PullFrom(ctx context.Context, repo string, blob ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	source, err := ref.New(repo)
	if err != nil {
		return nil, err
	}
	r, err := c.client().BlobGet(ctx, source, regclientDesc(blob))
	if err != nil {
		return nil, err
	}
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(matrix.Lacks("can seek only to the beginning"), r.Close())
	}
	return r, nil
}

func (c regclientClient) Tags(ctx context.Context, repo string) ([]string, error) {
	r, err := ref.New(repo)
	if err != nil {
		return nil, err
	}
	list, err := c.client().TagList(ctx, r)
	if err != nil {
		return nil, err
	}
	return list.Tags, nil
}

func (c regclientClient) Referrers(ctx context.Context, repo string, subject ocispec.Descriptor) (descs []ocispec.Descriptor, err error) {
	r, err := ref.New(repo)
	if err != nil {
		return nil, err
	}
	list, err := c.client().ReferrerList(ctx, r.SetDigest(subject.Digest.String()))
	if err != nil {
		return nil, err
	}
	for _, d := range list.Descriptors {
		descs = append(descs, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	}
	return descs, nil
}

// DeleteTag requests the deletion of the tag. If the registry refuses, regclient
// pushes a dummy manifest with the tag and deletes that manifest.
func (c regclientClient) DeleteTag(ctx context.Context, name string) error {
	r, err := ref.New(name)
	if err != nil {
		return err
	}
	return c.client().TagDelete(ctx, r)
}

func (c regclientClient) DeleteManifest(ctx context.Context, repo string, m ocispec.Descriptor) error {
	r, err := ref.New(repo)
	if err != nil {
		return err
	}
	return c.client().ManifestDelete(ctx, r.SetDigest(m.Digest.String()))
}

func (c regclientClient) DeleteBlob(ctx context.Context, repo string, blob ocispec.Descriptor) error {
	r, err := ref.New(repo)
	if err != nil {
		return err
	}
	return c.client().BlobDelete(ctx, r, regclientDesc(blob))
}

func (c regclientClient) ToLayout(ctx context.Context, name, dir string, _ content.Content) error {
	return c.Copy(ctx, name, "ocidir://"+dir+":v1")
}

func (c regclientClient) FromLayout(ctx context.Context, dir, name string, _ content.Content) error {
	return c.Copy(ctx, "ocidir://"+dir+":v1", name)
}

// locked is a reader that may be used concurrently. After an upload fails,
// regclient rewinds its body while the connection may still be reading it.
type locked struct {
	mu sync.Mutex
	r  io.ReadSeeker
}

func (l *locked) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

func (l *locked) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Seek(offset, whence)
}

func regclientDesc(d ocispec.Descriptor) descriptor.Descriptor {
	return descriptor.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}
