package layout

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/names"
)

// Each component of a repository name has a directory name of its own in lower
// case, so directories do not collide where the file system ignores case. No
// directory name ends with a dot or a space, which Windows ignores, and none has
// a tilde, which Windows uses for short names.
func TestDirectoriesInAnyCase(t *testing.T) {
	t.Parallel()
	parts := []string{"blobs", "index.json", "index", "json", "oci-layout", "con", "com1", "nul", "app", "a", "0", "sha256"}
	components := slices.Clone(parts)
	for _, a := range parts {
		for _, b := range parts {
			for _, separator := range []string{".", "_", "__", "-", "--"} {
				components = append(components, a+separator+b)
			}
		}
	}
	from := map[string]string{}
	for _, c := range components {
		require.True(t, names.Component(c), c)
		dir := escape(c)
		require.Equal(t, strings.ToLower(dir), dir)
		require.Equal(t, strings.TrimRight(dir, ". "), dir)
		require.NotContains(t, dir, "~")
		require.NotContains(t, []string{blobsDir, indexFile, markerFile, tempDir}, dir)
		require.Contains(t, []string{"", c}, from[dir], "two components have the same directory")
		from[dir] = c
	}
}

// On a file system that ignores case, tags that differ only in case are
// distinct. A directory with capitals belongs to the repository with the name in
// lower case.
func TestFileSystemThatIgnoresCase(t *testing.T) {
	t.Parallel()
	fill := func(dir string) {
		for _, name := range []string{"Upper", "team/App", "team/plain", "CON", "with space/x"} {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
			s := reopened(t, filepath.Join(dir, name), Repository("app"))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, markerFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
			require.NoError(t, s.Close())
			s = reopened(t, filepath.Join(dir, name), Repository("app"))
			put(t, s, 0, "v1")
		}
	}
	dir := t.TempDir()
	fill(dir)
	ignoring := func(opts ...Option) *Store {
		s := reopened(t, dir, opts...)
		t.Cleanup(hook(s, ignoringCase(os.DirFS(dir))))
		return s
	}
	s := ignoring()
	all := []string{"con", "team/app", "team/plain", "upper"}
	require.Equal(t, all, repositoriesOf(t, s))
	for i, repo := range all {
		_, err := s.GetManifest(t.Context(), repo, "v1")
		require.NoError(t, err, repo)
		for j, tag := range []string{"V2", "v2"} {
			require.NoError(t, s.PutManifest(t.Context(), repo, numbered(1+j), []string{tag}, nil))
		}
		push(t, s, repo, fmt.Sprint("blob ", i))
	}
	require.NoError(t, s.PutManifest(t.Context(), "new/blobs", numbered(3), []string{"v3"}, nil))
	all = slices.Insert(all, 1, "new/blobs")
	for _, s := range []*Store{s, ignoring()} {
		require.Equal(t, all, repositoriesOf(t, s))
		for i, repo := range slices.Delete(slices.Clone(all), 1, 2) {
			require.Equal(t, []string{"V2", "v1", "v2"}, tagsIn(t, s, repo))
			for j, tag := range []string{"V2", "v2"} {
				m, err := s.GetManifest(t.Context(), repo, tag)
				require.NoError(t, err)
				require.Equal(t, numbered(1+j).Digest, m.Digest)
			}
			_, err := s.StatBlob(t.Context(), repo, digest.FromString(fmt.Sprint("blob ", i)))
			require.NoError(t, err)
		}
	}
	require.DirExists(t, filepath.Join(dir, "new", "blobs_"))
	require.DirExists(t, filepath.Join(dir, "Upper"))

	// If the file system distinguishes case, directories with capitals belong to no
	// repository.
	if _, err := os.Stat(filepath.Join(dir, "upper")); err == nil {
		t.Skip("this file system ignores case")
	}
	exact := reopened(t, dir)
	require.Equal(t, []string{"new/blobs", "team/plain"}, repositoriesOf(t, exact))
	_, err := exact.GetManifest(t.Context(), "upper", "v1")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
