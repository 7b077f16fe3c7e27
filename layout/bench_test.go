package layout_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// smallImage returns the manifest of an image with a config and one layer. The
// digest depends on the number i. The blobs do not exist.
func smallImage(i int) registry.Manifest {
	blob := func(what string) string { return digest.FromString(fmt.Sprint(what, i)).String() }
	content := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":1000},"layers":[{"mediaType":%q,"digest":%q,"size":1000}]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, blob("config"), ocispec.MediaTypeImageLayerGzip, blob("layer"))
	return registry.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(content), Content: content}
}

// layoutOf makes a layout named app with n images, tagged v0, v1 and so on, as
// other tools write it, and returns its directory.
func layoutOf(tb testing.TB, n int) string {
	dir := filepath.Join(tb.TempDir(), "app")
	writeFile(tb, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	require.NoError(tb, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
	var entries []string
	for i := range n {
		m := smallImage(i)
		require.NoError(tb, os.WriteFile(blobFile(dir, m.Digest), m.Content, 0o644))
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"v%d"}}`,
			m.MediaType, m.Digest, len(m.Content), i))
	}
	writeFile(tb, dir, "index.json", `{"schemaVersion":2,"manifests":[`+strings.Join(entries, ",")+`]}`)
	return dir
}

// request sends a request without a body to the handler and fails the test
// unless the response has the status.
func request(tb testing.TB, h http.Handler, method, path string, status int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	if w.Code != status {
		tb.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, status)
	}
	return w
}

// BenchmarkOpen opens a layout with 1,000 images and gets the manifest of one.
func BenchmarkOpen(b *testing.B) {
	dir := layoutOf(b, 1000)
	for b.Loop() {
		s, err := layout.Open(dir)
		require.NoError(b, err)
		request(b, registry.New(s), "GET", "/v2/app/manifests/v500", 200)
		s.Close()
	}
}

// discard is an http.ResponseWriter that discards the body of the response.
type discard struct{ header http.Header }

func (w discard) Header() http.Header         { return w.header }
func (w discard) Write(p []byte) (int, error) { return len(p), nil }
func (w discard) WriteHeader(int)             {}

func benchmarkGet(b *testing.B, s registry.Store, path string) {
	h := registry.New(s)
	request(b, h, "GET", path, 200)
	r := httptest.NewRequest("GET", path, nil)
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

// BenchmarkGetManifest gets a manifest by tag through the handler, from a layout
// with 1,000 images.
func BenchmarkGetManifest(b *testing.B) {
	benchmarkGet(b, open(b, layoutOf(b, 1000)), "/v2/app/manifests/v500")
}

// BenchmarkGetBlob gets a blob of 1,000 bytes through the handler, from one
// layout and from a tree.
func BenchmarkGetBlob(b *testing.B) {
	for _, repo := range []string{"app", "team/app"} {
		b.Run(repo, func(b *testing.B) {
			dir := b.TempDir()
			if repo == "app" {
				dir = emptyLayout(b)
			}
			s := open(b, dir)
			d := pushBlob(b, s, repo, strings.Repeat("x", 1000))
			benchmarkGet(b, s, "/v2/"+repo+"/blobs/"+string(d))
		})
	}
}

func pushBlob(tb testing.TB, s registry.Store, repo, content string) digest.Digest {
	w, err := s.CreateBlob(tb.Context(), repo, int64(len(content)))
	require.NoError(tb, err)
	_, err = w.Write([]byte(content))
	require.NoError(tb, err)
	d := digest.FromString(content)
	require.NoError(tb, w.Commit(tb.Context(), d))
	require.NoError(tb, w.Close())
	return d
}

// BenchmarkPushBlob pushes blobs of 1,000 bytes to the store.
func BenchmarkPushBlob(b *testing.B) {
	s := open(b, b.TempDir())
	i := 0
	for b.Loop() {
		pushBlob(b, s, "team/app", fmt.Sprintf("%01000d", i))
		i++
	}
}

// BenchmarkPush pushes a manifest with a tag into a layout that has n images.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{0, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b, layoutOf(b, n))
			i := 0
			for b.Loop() {
				// At most 100 manifests and 99 tags alternate, so the layout does not
				// grow with b.N.
				err := s.PutManifest(b.Context(), "app", smallImage(n+i%100), []string{fmt.Sprint("new", i%99)}, nil)
				require.NoError(b, err)
				i++
			}
		})
	}
}

// BenchmarkPushTogether pushes manifests with tags from 64 goroutines at once
// into a layout that has n images. The reported time is the time for one push.
func BenchmarkPushTogether(b *testing.B) {
	for _, n := range []int{0, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b, layoutOf(b, n))
			const writers = 64
			var wg sync.WaitGroup
			var next atomic.Int64
			var failed atomic.Pointer[error]
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := s.PutManifest(b.Context(), "app", smallImage(n+int(i%100)), []string{fmt.Sprint("new", w)}, nil); err != nil {
							failed.Store(&err)
						}
					}
				})
			}
			wg.Wait()
			if err := failed.Load(); err != nil {
				b.Fatal(*err)
			}
		})
	}
}

// BenchmarkSync pushes an image with two small blobs to a tree, with and without
// [layout.Sync]. The cost depends on the disk: set TMPDIR to a directory on the
// disk to measure.
func BenchmarkSync(b *testing.B) {
	for name, opts := range map[string][]layout.Option{"off": nil, "on": {layout.Sync()}} {
		b.Run(name, func(b *testing.B) {
			s := open(b, b.TempDir(), opts...)
			i := 0
			for b.Loop() {
				pushBlob(b, s, "app", fmt.Sprint("config", i))
				pushBlob(b, s, "app", fmt.Sprint("layer", i))
				put(b, s, "app", i, "v1")
				i++
			}
		})
	}
}
