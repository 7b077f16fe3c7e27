package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A fullStore is a store that can be full. Then it accepts only the first 1,000
// bytes of a blob.
type fullStore struct {
	registry.Store
	full atomic.Bool
}

func (s *fullStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := s.Store.CreateBlob(ctx, repo, size)
	return &fullWriter{BlobWriter: w, store: s}, err
}

type fullWriter struct {
	registry.BlobWriter
	store *fullStore
	n     int
}

func (w *fullWriter) Write(p []byte) (int, error) {
	const room = 1000
	if w.store.full.Load() && w.n+len(p) > room {
		n, err := w.BlobWriter.Write(p[:room-w.n])
		w.n += n
		if err == nil {
			err = syscall.ENOSPC
		}
		return n, err
	}
	n, err := w.BlobWriter.Write(p)
	w.n += n
	return n, err
}

// While the local store is full, clients get no complete blob. Later they get
// it.
func TestBlobOnAFullDisk(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t, registrytest.WithInMemory())
	image := up.Push(t, "app:v1", content.Image(content.LayerSizes(100<<10)))
	local := &fullStore{Store: memstore.New()}
	local.full.Store(true)
	front := record(t, local, remote(up, "up.test"))
	target := "/v2/app/blobs/" + string(image.Layers[0].Digest)
	for range 2 {
		resp, err := front.Client().Get(front.URL + target)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusInternalServerError {
				err = errors.New("the store failed before the response began")
			}
		}
		require.Error(t, err)
	}
	_, err := local.StatBlob(t.Context(), "app", image.Layers[0].Digest)
	require.Error(t, err)
	local.full.Store(false)
	require.Equal(t, 200, get(t, front.Server, target).Status)
}

// If the Store cannot record that content is missing, the response is an error.
// A later 404 is recorded.
func TestRecordingOnAFullDisk(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t, registrytest.WithInMemory())
	dir := filepath.Join(t.TempDir(), "images")
	require.NoError(t, os.Mkdir(dir, 0o755))
	file := upstream.RecordTo(filepath.Join(dir, upstream.RecordingFile))
	front := record(t, memstore.New(), remote(up, "up.test"), file)
	require.NoError(t, os.RemoveAll(dir))
	require.Equal(t, 500, get(t, front.Server, "/v2/app/manifests/v1").Status)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.Equal(t, 404, get(t, front.Server, "/v2/app/manifests/v1").Status)
	require.Equal(t, 404, get(t, front.Server, "/v2/app/manifests/v2").Status)
	require.Equal(t, 404, get(t, replay(t, file), "/v2/app/manifests/v1").Status)
	again := replay(t, file)
	require.NotContains(t, string(get(t, again, "/v2/app/manifests/v1").Body), "not recorded")
}
