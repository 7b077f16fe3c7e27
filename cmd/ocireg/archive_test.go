package main

import (
	"archive/tar"
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// makeArchive writes a tar file of a layout in which the tags name an empty index.
func makeArchive(t testing.TB, tags ...string) string {
	t.Helper()
	dir := t.TempDir()
	makeLayout(t, filepath.Join(dir, "layout"), tags...)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.AddFS(os.DirFS(filepath.Join(dir, "layout"))))
	require.NoError(t, w.Close())
	file := filepath.Join(dir, "app.tar")
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o666))
	return file
}

// An archive is served like a directory, and cannot be pushed to.
func TestArchive(t *testing.T) {
	t.Parallel()
	file := makeArchive(t, "v1", "docker.io/library/tool:v2")
	i := start(t, file)
	require.Equal(t, []string{
		i.url + " serves " + file + ", read-only",
		"docker pull " + i.host + "/app:v1",
		"docker pull " + i.host + "/library/tool:v2",
	}, i.banner)
	require.Equal(t, emptyIndex, i.do(t, "GET", "/v2/library/tool/manifests/v2", "").body)
	require.Equal(t, http.StatusMethodNotAllowed, i.put(t, "app", "v1", ocispec.MediaTypeImageIndex, emptyIndex).StatusCode)
	require.Equal(t, "GET, HEAD", i.do(t, "DELETE", "/v2/app/manifests/v1", "").Header.Get("Allow"))

	i = start(t, "-repository", "team/app", "-tag", "v3", makeArchive(t, ""))
	require.Equal(t, "docker pull "+i.host+"/team/app:v3", i.banner[1])

	bad := filepath.Join(t.TempDir(), "app.tar")
	require.NoError(t, os.WriteFile(bad, nil, 0o666))
	require.Contains(t, refused(t, bad), "opening "+bad+": it is not an archive of images")
}

// With -overlay, pushes and deletions change the registry, but not the
// directory or archive.
func TestOverlay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	makeLayout(t, dir, "v1", "v2", "")
	for _, source := range []string{dir, makeArchive(t, "v1", "v2", "")} {
		before := bytesOf(t, source)
		i := start(t, "-overlay", source)
		require.Equal(t, []string{
			i.url + " serves " + source + ", which pushes do not change",
			"docker pull " + i.host + "/app:v1",
			"docker pull " + i.host + "/app:v2",
		}, i.banner)
		require.Equal(t, http.StatusAccepted, i.do(t, "DELETE", "/v2/app/manifests/v1", "").StatusCode)
		require.Equal(t, http.StatusNotFound, i.do(t, "GET", "/v2/app/manifests/v1", "").StatusCode)
		i.pushTag(t, "app", "v3")
		i.pushTag(t, "new", "v1")
		require.Equal(t, `{"name":"app","tags":["v2","v3"]}`, i.do(t, "GET", "/v2/app/tags/list", "").body)
		require.Equal(t, 0, i.stop(t))
		require.Equal(t, before, bytesOf(t, source))

		i = start(t, "-overlay", "-read-only", source)
		require.Equal(t, i.url+" serves "+source+", read-only", i.banner[0])
		require.Equal(t, http.StatusOK, i.do(t, "GET", "/v2/app/manifests/v1", "").StatusCode)
		require.Equal(t, http.StatusMethodNotAllowed, i.do(t, "DELETE", "/v2/app/manifests/v1", "").StatusCode)
	}
	i := start(t, "-overlay", filepath.Dir(dir))
	require.Equal(t, http.StatusOK, i.do(t, "GET", "/v2/app/manifests/v1", "").StatusCode)

	// With -overlay, too, rights must not differ between the repositories of one layout.
	require.Contains(t, refused(t, "-overlay", "-allow", "anonymous pull public/**", dir), "the repositories of this store share their blobs")
}

// Below an overlay, an image without a tag is listed by its digest.
func TestOverlayOfUntaggedImage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	makeLayout(t, dir, "")
	i := start(t, "-overlay", dir)
	require.Equal(t, "docker pull "+i.host+"/app@"+digest.FromString(emptyIndex).String(), i.banner[1])
}

// bytesOf returns the content of a file, or of all files below a directory, by path.
func bytesOf(t testing.TB, name string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	require.NoError(t, filepath.WalkDir(name, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	}))
	return all
}
