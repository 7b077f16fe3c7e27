//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package layout_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// If a named pipe is at the path of a manifest, a push replaces the pipe. It does
// not open the pipe, which would wait for a writer.
func TestManifestReplacesANonFile(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	m := smallImage(0)
	put(t, s, "app", 0, "v1")
	pipeInPlaceOf(t, blobFile(dir, m.Digest))
	put(t, s, "app", 0, "v2")
	wantManifest(t, s, "app", "v2", imageType, m.Digest)
}

// If the file of a blob or manifest is a named pipe, a request for the content
// fails at once.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	t.Parallel()
	stores := map[string]func(dir string) (*layout.Store, error){
		"Open":   func(dir string) (*layout.Store, error) { return layout.Open(dir) },
		"OpenFS": func(dir string) (*layout.Store, error) { return layout.OpenFS(os.DirFS(dir), layout.Repository("app")) },
	}
	for name, openStore := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := emptyLayout(t)
			first := open(t, dir)
			put(t, first, "app", 0, "v1")
			d := pushBlob(t, first, "app", "content")
			s, err := openStore(dir)
			require.NoError(t, err)
			defer s.Close()
			for _, d := range []digest.Digest{smallImage(0).Digest, d} {
				pipeInPlaceOf(t, blobFile(dir, d))
			}
			h := registry.New(s)
			request(t, h, "GET", "/v2/app/manifests/v1", 500)
			request(t, h, "GET", "/v2/app/blobs/"+d.String(), 500)
			request(t, h, "HEAD", "/v2/app/blobs/"+d.String(), 500)
			pipeInPlaceOf(t, filepath.Join(dir, "index.json"))
			request(t, h, "GET", "/v2/app/manifests/v1", 500)
			_, err = openStore(dir)
			require.ErrorContains(t, err, "index.json is not a regular file")
		})
	}
}

// Open does not wait for the writer of a named pipe.
func TestPipeIsNoDirectory(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o644))
	for _, opts := range [][]layout.Option{nil, {layout.ReadOnly()}} {
		_, err := layout.Open(pipe, opts...)
		require.ErrorContains(t, err, pipe+": neither a directory nor an archive")
	}
}

// If a named pipe takes the place of the directory of a store, requests fail at once.
func TestPipeReplacesDirectory(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, syscall.Mkfifo(dir, 0o644))
	_, err := s.StatManifest(t.Context(), "app", "v1")
	require.Error(t, err)
}

func TestTemporaryFilesAreInNoPipe(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, ".ocireg"), 0o644))
	s := open(t, dir)
	_, err := s.CreateBlob(t.Context(), "app", -1)
	require.ErrorContains(t, err, ".ocireg")
}

func pipeInPlaceOf(t *testing.T, file string) {
	t.Helper()
	require.NoError(t, os.Remove(file))
	require.NoError(t, syscall.Mkfifo(file, 0o644))
}
