package layout_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
)

// archiveOf writes one layout below testdata, or all of them if path is ".", to
// a tar archive and returns its file name. The archive has the base name of path
// and the given ending.
func archiveOf(t testing.TB, path, ending string) string {
	files, err := fs.Sub(testdata, "testdata/"+path)
	if path == "." {
		files, err = fs.Sub(testdata, "testdata")
	}
	require.NoError(t, err)
	return writeArchive(t, filepath.Base(path)+ending, files)
}

// writeArchive writes the files to a new tar archive, which it compresses with
// gzip if the name ends with gz, and returns the path of the archive.
func writeArchive(t testing.TB, name string, files fs.FS) string {
	var b bytes.Buffer
	var to io.Writer = &b
	if strings.HasSuffix(name, "gz") {
		z := gzip.NewWriter(&b)
		defer z.Close()
		to = z
	}
	w := tar.NewWriter(to)
	require.NoError(t, w.AddFS(files))
	require.NoError(t, w.Close())
	if z, ok := to.(*gzip.Writer); ok {
		require.NoError(t, z.Close())
	}
	name = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(name, b.Bytes(), 0o600))
	return name
}

// dockerSave returns the files of testdata/docker without oci-layout and
// index.json. As in an archive that docker save wrote before version 25, only
// manifest.json describes the images.
func dockerSave(t testing.TB) fstest.MapFS {
	files, err := fs.Sub(testdata, "testdata/docker")
	require.NoError(t, err)
	saved := fstest.MapFS{}
	for _, name := range []string{"manifest.json", "repositories", "blobs/sha256/" + layer.Encoded(),
		"blobs/sha256/46bd8c0aebbce9029dcf2d333cc3d7802f0b322855c3806344223c3a0ee16159",
		"blobs/sha256/e8cffd77e260599d5135c82ae95dfcb6458352b80903307e3f52cc2da21e187e"} {
		content, err := fs.ReadFile(files, name)
		require.NoError(t, err)
		saved[name] = &fstest.MapFile{Data: content}
	}
	return saved
}

func TestArchiveOfDockerSave(t *testing.T) {
	t.Parallel()
	s := open(t, writeArchive(t, "images.tar", dockerSave(t)))
	require.Equal(t, []string{"library/app:v1", "team/app:v2"}, tagsOf(t, s))
	for repo, ref := range map[string]string{"library/app": "v1", "team/app": "v2"} {
		d, err := s.StatManifest(t.Context(), repo, ref)
		require.NoError(t, err)
		wantImage(t, s, repo, ref, ocispec.MediaTypeImageManifest, d.Digest)
	}
	require.Equal(t, layer, digest.FromBytes(readBlob(t, s, "library/app", layer)))
}

func TestArchiveIsReadOnly(t *testing.T) {
	t.Parallel()
	name := archiveOf(t, "umoci", ".tar")
	before, err := os.ReadFile(name)
	require.NoError(t, err)
	s := open(t, name, layout.Tag("unused"))
	require.ErrorIs(t, s.DeleteTag(t.Context(), "umoci", "v1"), errors.ErrUnsupported)
	_, err = s.CreateBlob(t.Context(), "umoci", -1)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, s.MountBlob(t.Context(), "umoci", layer, ""), errors.ErrUnsupported)
	after, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestRepositoryOfArchive(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"My App.tar": "my-app", "app.tar.gz": "app", "app.tgz": "app", "app": "app", ".tar": "image", "app-1.2.tar": "app-1.2", "app.oci": "app.oci",
	} {
		files, err := fs.Sub(testdata, "testdata/umoci")
		require.NoError(t, err)
		s := open(t, writeArchive(t, name, files))
		require.Equal(t, []string{want}, collect(t, s.Repositories(t.Context(), "")), name)
	}
	s := open(t, archiveOf(t, "umoci", ".tar"), layout.Repository("team/app"))
	require.Equal(t, []string{"team/app:v1", "team/app:v2"}, tagsOf(t, s))
	_, err := layout.Open(archiveOf(t, "umoci", ".tar"), layout.Repository("No Name"))
	require.ErrorContains(t, err, `"No Name" is not a valid repository name`)
}

// An open blob of an archive remains readable after the store is closed.
func TestReaderOutlivesArchive(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{".tar", ".tar.gz"} {
		s, err := layout.Open(archiveOf(t, "umoci", ending))
		require.NoError(t, err)
		want := readBlob(t, s, "umoci", layer)
		r, err := s.OpenBlob(t.Context(), "umoci", layer)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.NoError(t, iotest.TestReader(r, want))
		require.NoError(t, r.Close())
		_, err = s.OpenBlob(t.Context(), "umoci", layer)
		require.Error(t, err)
	}
}

// The store verifies a blob again after its archive has changed on disk.
func TestChangedArchive(t *testing.T) {
	t.Parallel()
	name := archiveOf(t, "umoci", ".tar")
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(name, old, old))
	s := open(t, name)
	want := readBlob(t, s, "umoci", layer)
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	at := bytes.Index(text, want)
	require.Positive(t, at)
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{want[5] ^ 1}, int64(at+5))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = s.OpenBlob(t.Context(), "umoci", layer)
	require.ErrorContains(t, err, "is damaged")
}

func TestFilesThatAreNoArchives(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, want string }{
		"empty":    {"", "it is not an archive of images: it has neither an oci-layout with an index.json nor the manifest.json of docker save"},
		"text":     {"ustar", "it is not a tar file"},
		"long":     {strings.Repeat("ustar ", 1000), "it is not a tar file"},
		"gzip":     {"\x1f\x8b\x08broken", "unpacking the archive: "},
		"zstd":     {"\x28\xb5\x2f\xfd....", "the archive is compressed with zstd; unpack it first"},
		"xz":       {"\xfd7zXZ\x00....", "the archive is compressed with xz; unpack it first"},
		"bzip2":    {"BZh91AY", "the archive is compressed with bzip2; unpack it first"},
		"one file": {string(must(os.ReadFile(writeArchive(t, "x.tar", fstest.MapFS{"index.json": {Data: []byte("{}")}})))), "it is not an archive of images"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "images.tar")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			_, err := layout.Open(file)
			require.ErrorContains(t, err, "opening "+file+": ")
			require.ErrorContains(t, err, test.want)
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Skopeo writes OCI archives and archives of docker save. The store reads both.
func TestArchivesOfSkopeo(t *testing.T) {
	t.Parallel()
	skopeo := tool(t, "skopeo")
	dir := t.TempDir()
	for _, test := range []struct{ file, to, want string }{
		{"oci.tar", "oci-archive:%s:v1", "oci:v1"},
		{"named.tar", "oci-archive:%s:docker.io/library/app:v1", "library/app:v1"},
		{"docker.tar", "docker-archive:%s:app:v1", "library/app:v1"},
		{"quay.tar", "docker-archive:%s:quay.io/team/app:v1", "team/app:v1"},
		{"bare.tar", "docker-archive:%s", "bare"},
	} {
		file := filepath.Join(dir, test.file)
		skopeo("copy", "--quiet", "--insecure-policy", "oci:testdata/umoci:v1", strings.Replace(test.to, "%s", file, 1))
		s := open(t, file)
		require.Equal(t, []string{test.want}, tagsOf(t, s))
		repo, tag, ok := strings.Cut(test.want, ":")
		if !ok {
			tag = string(collect(t, s.Untagged(t.Context(), repo))[0].Digest)
		}
		d, err := s.StatManifest(t.Context(), repo, tag)
		require.NoError(t, err)
		wantImage(t, s, repo, tag, ocispec.MediaTypeImageManifest, d.Digest)
	}
}
