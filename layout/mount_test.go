package layout

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// TestMountPassesOverBrokenRepositories mounts without a source in a tree with a
// repository whose blobs cannot be read. The store looks in the others.
func TestMountPassesOverBrokenRepositories(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	d := push(t, s, "app", "content")
	push(t, s, "a/broken", "other")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "a/broken/blobs/sha256")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a/broken/blobs/sha256"), nil, 0o644))
	for _, opts := range [][]registry.Option{
		nil,
		{registry.WithAuthorizer(func(*registry.Request, string, registry.Action) error { return nil })},
	} {
		s := reopened(t, dir)
		h := registry.New(s, opts...)
		mount := func(repo string, d digest.Digest) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("POST", "/v2/"+repo+"/blobs/uploads/?mount="+string(d), nil))
			return w.Code
		}
		require.Equal(t, 202, mount("new", digest.FromString("none")))
		require.Equal(t, 201, mount("new", d))
		require.NoError(t, s.DeleteBlob(t.Context(), "new", d))
	}
}

// TestMountReplacesALink mounts a blob to a repository that has, in the place of
// the blob, a link that the store cannot follow.
func TestMountReplacesALink(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	d := push(t, s, "app", "content")
	push(t, s, "other", "something else")
	name := filepath.Join(dir, "other", filepath.FromSlash(blobPath(d)))
	if err := os.Symlink(filepath.Join(t.TempDir(), "content"), name); err != nil {
		t.Skip(err) // On Windows, only administrators may create symbolic links.
	}
	_, err := s.StatBlob(t.Context(), "other", d)
	require.Error(t, err)
	require.NoError(t, s.MountBlob(t.Context(), "other", d, "app"))
	for _, s := range []*Store{s, reopened(t, dir)} {
		size, err := s.StatBlob(t.Context(), "other", d)
		require.NoError(t, err)
		require.EqualValues(t, len("content"), size)
	}
}
