package layout_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// TestDamagedBlobIsMissing changes the file of a blob. Reads, mounts and pushes
// of manifests treat the blob as missing. Pushing the blob again repairs it.
func TestDamagedBlobIsMissing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"layout", "tree"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, blobs := t.TempDir(), "app"
			if kind == "layout" {
				dir, blobs = emptyLayout(t), "."
			}
			s := open(t, dir)
			h := registry.New(s)
			call := func(status int, method, path, body string) *httptest.ResponseRecorder {
				t.Helper()
				r := httptest.NewRequest(method, path, strings.NewReader(body))
				if method == "PUT" {
					r.Header.Set("Content-Type", imageType)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, status, w.Code, "%s %s: %s", method, path, w.Body)
				return w
			}
			config, layer := pushBlob(t, s, "app", "{}"), pushBlob(t, s, "app", "content")
			image := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},`+
				`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":7}]}`, imageType, config, layer)
			blob, mount := "/v2/app/blobs/"+string(layer), "/v2/other/blobs/uploads/?from=app&mount="+string(layer)
			file := blobFile(filepath.Join(dir, blobs), layer)
			for _, damage := range []string{"CONTENT", "short", ""} {
				require.NoError(t, os.WriteFile(file, []byte(damage), 0o644))
				for range 2 {
					head, get := call(404, "HEAD", blob, ""), call(404, "GET", blob, "")
					require.Contains(t, get.Body.String(), `"BLOB_UNKNOWN"`)
					require.Contains(t, get.Body.String(), layer.Encoded()+" is damaged: its content has the digest "+string(digest.FromString(damage)))
					require.Equal(t, get.Header(), head.Header())
					call(202, "POST", mount, "")
					require.Contains(t, call(400, "PUT", "/v2/app/manifests/v1", image).Body.String(), `"MANIFEST_BLOB_UNKNOWN"`)
				}

				call(201, "POST", "/v2/app/blobs/uploads/?digest="+string(layer), "content")
				call(200, "HEAD", blob, "")
				require.Equal(t, "content", call(200, "GET", blob, "").Body.String())
			}
			if kind == "tree" {
				// The target of the mount already has a damaged file for the blob; the
				// mount repairs it.
				pushBlob(t, s, "other", "another")
				require.NoError(t, os.WriteFile(blobFile(filepath.Join(dir, "other"), layer), []byte("CONTENT"), 0o644))
				call(404, "HEAD", "/v2/other/blobs/"+string(layer), "")
			}
			call(201, "POST", mount, "")
			require.Equal(t, "content", call(200, "GET", "/v2/other/blobs/"+string(layer), "").Body.String())
			call(201, "PUT", "/v2/app/manifests/v1", image)

			// A damaged blob can be deleted.
			require.NoError(t, os.WriteFile(file, []byte("CONTENT"), 0o644))
			call(202, "DELETE", "/v2/app/manifests/"+string(digest.FromString(image)), "")
			call(http.StatusAccepted, "DELETE", blob, "")
			require.NoFileExists(t, file)
		})
	}
}

// A countingFS counts the bytes that are read from its files.
type countingFS struct {
	fs.FS
	read *atomic.Int64
}

func (c countingFS) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	return countingFile{f, c.read}, err
}

type countingFile struct {
	fs.File
	read *atomic.Int64
}

func (c countingFile) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestStatReadsBlobOnce checks that repeated HEAD requests read a blob only
// once, whether or not the blob is damaged.
func TestStatReadsBlobOnce(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("content", 10_000)
	good, bad := digest.FromString(content), digest.FromString("other")
	dir := t.TempDir()
	long := time.Now().Add(-time.Hour)
	for name, text := range map[string]string{
		"oci-layout":                     `{"imageLayoutVersion":"1.0.0"}`,
		"index.json":                     `{"schemaVersion":2,"manifests":[]}`,
		"blobs/sha256/" + good.Encoded(): content,
		"blobs/sha256/" + bad.Encoded():  content,
	} {
		writeFile(t, dir, name, text)
		require.NoError(t, os.Chtimes(filepath.Join(dir, filepath.FromSlash(name)), long, long))
	}
	inMemory := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var data []byte
			data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
			inMemory[name] = &fstest.MapFile{Data: data}
		}
		return err
	}))
	for kind, fsys := range map[string]fs.FS{"disk": os.DirFS(dir), "memory": inMemory} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var read atomic.Int64
			s, err := layout.OpenFS(countingFS{fsys, &read}, layout.Repository("app"))
			require.NoError(t, err)
			h := registry.New(s)
			for d, status := range map[digest.Digest]int{good: 200, bad: 404} {
				before := read.Load()
				for range 3 {
					request(t, h, "HEAD", "/v2/app/blobs/"+string(d), status)
				}
				require.InDelta(t, len(content), read.Load()-before, 1000)
			}
		})
	}
}
