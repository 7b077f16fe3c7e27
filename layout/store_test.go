package layout_test

import (
	"context"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/conformance"
)

// emptyLayout makes an empty layout in a directory named app and returns the
// directory.
func emptyLayout(t testing.TB) string {
	dir := filepath.Join(tempdir.New(t), "app")
	writeFile(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	writeFile(t, dir, "index.json", `{"schemaVersion":2,"manifests":[]}`)
	return dir
}

func writeFile(t testing.TB, dir, name, text string) {
	name = filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

func open(t testing.TB, dir string, opts ...layout.Option) *layout.Store {
	s, err := layout.Open(dir, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// TestStore runs the conformance tests for stores on a tree, on one layout, and
// on two stores of one tree that take turns. The subtests run in parallel.
func TestStore(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) registry.Store{
		"tree":   func(t *testing.T) registry.Store { return open(t, tempdir.New(t)) },
		"layout": func(t *testing.T) registry.Store { return open(t, emptyLayout(t)) },
		"two stores on one tree": func(t *testing.T) registry.Store {
			dir := tempdir.New(t)
			return &alternating{stores: [2]registry.Store{open(t, dir), open(t, dir)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Store(t, func(t *testing.T) registry.Store {
				t.Parallel()
				return open(t)
			})
		})
	}
}

// alternating passes its calls to two stores of one directory in turn.
type alternating struct {
	stores [2]registry.Store
	calls  atomic.Uint32
}

func (a *alternating) next() registry.Store { return a.stores[a.calls.Add(1)%2] }

func (a *alternating) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return a.next().Repositories(ctx, after)
}

func (a *alternating) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	return a.next().StatBlob(ctx, repo, d)
}

func (a *alternating) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	return a.next().OpenBlob(ctx, repo, d)
}

func (a *alternating) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	return a.next().CreateBlob(ctx, repo, size)
}

func (a *alternating) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	return a.next().MountBlob(ctx, repo, d, from)
}

func (a *alternating) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return a.next().DeleteBlob(ctx, repo, d)
}

func (a *alternating) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	return a.next().StatManifest(ctx, repo, reference)
}

func (a *alternating) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	return a.next().GetManifest(ctx, repo, reference)
}

func (a *alternating) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	return a.next().PutManifest(ctx, repo, m, tags, check)
}

func (a *alternating) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return a.next().DeleteManifest(ctx, repo, d)
}

func (a *alternating) DeleteTag(ctx context.Context, repo, tag string) error {
	return a.next().DeleteTag(ctx, repo, tag)
}

func (a *alternating) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return a.next().Tags(ctx, repo, after)
}

func (a *alternating) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return a.next().Referrers(ctx, repo, subject, after)
}
