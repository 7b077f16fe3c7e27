package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestBannerOfMemory(t *testing.T) {
	t.Parallel()
	i := start(t)
	require.Equal(t, []string{
		i.url + " serves an empty registry in memory",
		"push to " + i.host + "/NAME:TAG",
	}, i.banner)
}

// The banner lists the images of a single layout under the name of its directory,
// or the name from -repository. Clients can pull them by these references.
func TestBannerOfLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "App")
	makeLayout(t, dir, "v1", "v2", "example.com/team/tool:v3")
	for _, test := range []struct {
		args []string
		name string
		what string
	}{
		{nil, "app", dir},
		{[]string{"-repository", "my/app"}, "my/app", dir},
		{[]string{"-read-only"}, "app", dir + ", read-only"},
	} {
		i := start(t, append(test.args, dir)...)
		require.Equal(t, []string{
			i.url + " serves " + test.what,
			"docker pull " + i.host + "/" + test.name + ":v1",
			"docker pull " + i.host + "/" + test.name + ":v2",
			"docker pull " + i.host + "/team/tool:v3",
		}, i.banner)
		a := i.do(t, "GET", "/v2/"+test.name+"/manifests/v1", "")
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Equal(t, emptyIndex, a.body)
	}
}

// For a tree, the banner lists as many tags as fit a terminal, and counts the
// rest.
func TestBannerOfTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []string
	for i := range maxPulls - 1 {
		makeLayout(t, filepath.Join(dir, "a", fmt.Sprintf("r%02d", i)), "v1")
		want = append(want, fmt.Sprintf("/a/r%02d:v1", i))
	}
	makeLayout(t, filepath.Join(dir, "b"), "v1")
	want = append(want, "/b:v1")
	check := func(last ...string) {
		t.Helper()
		i := start(t, dir)
		wanted := []string{i.url + " serves " + dir}
		for _, ref := range want {
			wanted = append(wanted, "docker pull "+i.host+ref)
		}
		require.Equal(t, append(wanted, last...), i.banner)
	}
	check()
	makeLayout(t, filepath.Join(dir, "c"), "v1")
	check("and 1 more tag")
	makeLayout(t, filepath.Join(dir, "b"), "v1", "v2", "v3")
	check("and 3 more tags")
}

// The banner lists an image of Cloud Native Buildpacks by its reference, and not
// by the path of its layout.
func TestBannerOfBuildpacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeLayout(t, filepath.Join(dir, "index.docker.io", "library", "app", "latest"), "latest")
	i := start(t, dir)
	require.Equal(t, []string{i.url + " serves " + dir, "docker pull " + i.host + "/index.docker.io/library/app:latest"}, i.banner)
	require.Equal(t, http.StatusOK, i.do(t, "GET", "/v2/index.docker.io/library/app/manifests/latest", "").StatusCode)
	require.Equal(t, http.StatusMethodNotAllowed, i.do(t, "DELETE", "/v2/index.docker.io/library/app/manifests/latest", "").StatusCode)
}

func TestBannerWithoutTags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	i := start(t, "-read-only", dir)
	require.Equal(t, []string{i.url + " serves " + dir + ", read-only", "there are no tags"}, i.banner)
	i = start(t, dir)
	require.Equal(t, []string{i.url + " serves " + dir, "push to " + i.host + "/NAME:TAG"}, i.banner)
	makeLayout(t, filepath.Join(dir, "app"))
	i = start(t, dir)
	require.Equal(t, []string{i.url + " serves " + dir, "there are no tags", "push to " + i.host + "/NAME:TAG"}, i.banner)
}

// The banner lists images without a name, as crane pull --format oci, ko and
// Bazel write them, by their digests. With -tag, a single image gets that tag.
func TestBannerOfUntaggedImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeLayout(t, filepath.Join(dir, "app"), "")
	makeLayout(t, filepath.Join(dir, "tool"), "v1")
	d := digest.FromString(emptyIndex).String()
	i := start(t, "-read-only", dir)
	require.Equal(t, []string{
		i.url + " serves " + dir + ", read-only",
		"docker pull " + i.host + "/app@" + d,
		"docker pull " + i.host + "/tool:v1",
	}, i.banner)
	require.Equal(t, http.StatusOK, i.do(t, "GET", "/v2/app/manifests/"+d, "").StatusCode)
	i = start(t, "-tag", "latest", dir)
	require.Equal(t, []string{
		i.url + " serves " + dir,
		"docker pull " + i.host + "/app:latest",
		"docker pull " + i.host + "/tool:v1",
	}, i.banner)
	require.Equal(t, emptyIndex, i.do(t, "GET", "/v2/app/manifests/latest", "").body)
	require.Contains(t, refused(t, "-tag", "no tag", dir), `"no tag" is not a valid tag`)
	require.Contains(t, refused(t, "-tag", "latest"), "-tag needs DIR")
	require.Contains(t, refused(t, "-referrers-tags"), "-referrers-tags needs DIR")
}

// The log names a layout that cannot be served. The command serves the others.
func TestBannerOfTreeWithOtherNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeLayout(t, filepath.Join(dir, "app"), "v1")
	makeLayout(t, filepath.Join(dir, "MyApp"), "v1")
	i := start(t, dir)
	require.Equal(t, []string{i.url + " serves " + dir, "docker pull " + i.host + "/app:v1"}, i.banner)
	require.Contains(t, i.stderr.next(t), " passing over the layout MyApp: its path is not a valid repository name")

}

// The command serves a tree in which one repository cannot be read.
func TestBannerOfDamagedTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeLayout(t, filepath.Join(dir, "good"), "v1")
	makeLayout(t, filepath.Join(dir, "bad"), "v1")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad", "index.json"), []byte("{"), 0o666))
	i := start(t, dir)
	require.Equal(t, []string{i.url + " serves " + dir, "docker pull " + i.host + "/good:v1"}, i.banner)
	require.Contains(t, i.stderr.next(t), " repository bad cannot be read: bad/index.json: ")
}

// Content pushed to a directory is there when the command starts again.
func TestDirectoryKeepsWhatIsPushed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	i := start(t, dir)
	i.pushTag(t, "team/app", "v1")
	blob := i.pushBlob(t, "team/app", "content")
	require.Equal(t, 0, i.stop(t))

	i = start(t, "-read-only", dir)
	require.Equal(t, "docker pull "+i.host+"/team/app:v1", i.banner[1])
	require.Equal(t, emptyIndex, i.do(t, "GET", "/v2/team/app/manifests/v1", "").body)
	require.Equal(t, "content", i.do(t, "GET", "/v2/team/app/blobs/"+blob, "").body)
}

// If the command cannot serve a directory, it prints one line with the reason.
func TestBadDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	require.Contains(t, refused(t, "-addr", ":0", missing), missing)
	require.NoDirExists(t, missing)

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	require.Contains(t, refused(t, "-addr", ":0", file), file)
	require.Contains(t, refused(t, "-addr", ":0", dir), "opening "+dir+": ")

	for name, text := range map[string]string{"index.json": "{", "oci-layout": `{"imageLayoutVersion":"2.0.0"}`} {
		layout := filepath.Join(t.TempDir(), "app")
		makeLayout(t, layout, "v1")
		require.NoError(t, os.WriteFile(filepath.Join(layout, name), []byte(text), 0o666))
		require.Contains(t, refused(t, "-addr", ":0", layout), "opening "+layout+": "+name+": ")
	}

	layout := filepath.Join(t.TempDir(), "app")
	makeLayout(t, layout)
	require.Contains(t, refused(t, "-addr", ":0", "-repository", "UPPER", layout), `"UPPER" is not a valid repository name`)
}

// If the port is in use, the message says how to choose another one.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	i := start(t)
	line := refused(t, "-addr", i.host)
	require.Contains(t, line, i.host)
	if runtime.GOOS != "windows" {
		require.Contains(t, line, "; -addr :0 takes a free port")
	}
}
