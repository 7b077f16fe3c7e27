package registry_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// A benchWriter is a response writer that drops the body, so that benchmarks
// measure only the handler.
type benchWriter struct {
	header http.Header
	status int
}

func (w *benchWriter) Header() http.Header         { return w.header }
func (w *benchWriter) WriteHeader(status int)      { w.status = status }
func (w *benchWriter) Write(p []byte) (int, error) { return len(p), nil }

// A benchTest is a registry that a benchmark sends requests to. It reuses one
// response writer for all of them.
type benchTest struct {
	testing.TB
	http.Handler
	w benchWriter
}

func newBenchTest(tb testing.TB, s registry.Store) *benchTest {
	return &benchTest{tb, registry.New(s), benchWriter{header: make(http.Header)}}
}

// send sends a request and fails unless the response has the status want. The
// header has alternating names and values. It returns the header of the response.
func (b *benchTest) send(want int, method, target, body string, header ...string) http.Header {
	r, err := http.NewRequestWithContext(b.Context(), method, "http://registry"+target, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.serve(want, r)
}

func (b *benchTest) serve(want int, r *http.Request) http.Header {
	clear(b.w.header)
	b.w.status = http.StatusOK
	b.ServeHTTP(&b.w, r)
	if b.w.status != want {
		b.Fatalf("%s %s: the status is %d, not %d", r.Method, r.URL, b.w.status, want)
	}
	return b.w.header
}

func (b *benchTest) pushBlob(content string) string {
	d := string(sum(content))
	b.send(201, "POST", "/v2/app/blobs/uploads/?digest="+d, content)
	return "/v2/app/blobs/" + d
}

func benchImage(b testing.TB, layer string) string {
	m := ocispec.Manifest{
		MediaType: imageType,
		Config:    describe(ocispec.MediaTypeImageConfig, "{}"),
		Layers:    []ocispec.Descriptor{describe(ocispec.MediaTypeImageLayerGzip, layer)},
	}
	m.SchemaVersion = 2
	return toJSON(b, m)
}

// pushTagged pushes an image with the tag v1 to repository app and returns its
// manifest.
func (b *benchTest) pushTagged() (manifest string) {
	b.pushBlob("{}")
	b.pushBlob("layer")
	manifest = benchImage(b, "layer")
	b.send(201, "PUT", "/v2/app/manifests/v1", manifest, "Content-Type", imageType)
	return manifest
}

// pushImage pushes an image with one layer and the tag latest. Like a real
// client, it sends nine requests: HEAD, POST, PATCH and PUT for each of the two
// blobs, and then PUT for the manifest.
func (b *benchTest) pushImage(layer string) {
	config := fmt.Sprintf("{%q:%q}", "image", layer)
	for _, content := range []string{config, layer} {
		d := string(sum(content))
		b.send(404, "HEAD", "/v2/app/blobs/"+d, "")
		location := b.send(202, "POST", "/v2/app/blobs/uploads/", "").Get("Location")
		location = b.send(202, "PATCH", location, content).Get("Location")
		b.send(201, "PUT", location+"?digest="+d, "")
	}
	manifest := strings.Replace(benchImage(b, layer), string(sum("{}")), string(sum(config)), 1)
	b.send(201, "PUT", "/v2/app/manifests/latest", manifest, "Content-Type", imageType)
}

// repeated returns a request that can be served repeatedly, because it has no
// body.
func (b *benchTest) repeated(method, target string) *http.Request {
	r, err := http.NewRequestWithContext(b.Context(), method, "http://registry"+target, nil)
	require.NoError(b, err)
	r.Body = http.NoBody
	return r
}

func BenchmarkServeHTTP(b *testing.B) {
	for _, s := range stores {
		run := func(name string, bench func(b *testing.B, c *benchTest)) {
			b.Run(name+"/"+s.name, func(b *testing.B) { bench(b, newBenchTest(b, s.open(b))) })
		}
		// repeat measures an operation for which a client sends one request.
		repeat := func(name, method string, prepare func(c *benchTest) (target string)) {
			run(name, func(b *testing.B, c *benchTest) {
				r := c.repeated(method, prepare(c))
				b.ReportAllocs()
				for b.Loop() {
					c.serve(200, r)
				}
			})
		}
		byTag := func(b *benchTest) string {
			b.pushTagged()
			return "/v2/app/manifests/v1"
		}
		byDigest := func(b *benchTest) string { return "/v2/app/manifests/" + string(sum(b.pushTagged())) }
		blob := func(b *benchTest) string { return b.pushBlob(strings.Repeat("x", 1024)) }
		repeat("GetManifestByTag", "GET", byTag)
		repeat("GetManifestByDigest", "GET", byDigest)
		repeat("HeadManifestByTag", "HEAD", byTag)
		repeat("HeadManifestByDigest", "HEAD", byDigest)
		repeat("GetBlob1KiB", "GET", blob)
		repeat("HeadBlob1KiB", "HEAD", blob)
		repeat("ListTags100of1000", "GET", func(b *benchTest) string {
			m := b.pushTagged()
			for i := range 10 {
				tags := make([]string, 100)
				for j := range tags {
					tags[j] = fmt.Sprintf("tag=v%d.%02d", i, j)
				}
				b.send(201, "PUT", "/v2/app/manifests/"+string(sum(m))+"?"+strings.Join(tags, "&"), m, "Content-Type", imageType)
			}
			return "/v2/app/tags/list?n=100&last=v4.50"
		})
		run("PushImage", func(b *testing.B, c *benchTest) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c.pushImage(fmt.Sprintf("layer %d", n))
				n++
			}
		})
	}
}

// TestAllocations fails if the number of allocations for a request exceeds its
// bound. The bounds leave room for one to three more allocations than were
// measured on Linux, and for an eighth more in the push. On Windows, the test
// skips the layout, which has to open more directories there.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		name             string
		memstore, layout float64 // the largest permitted numbers of allocations
		make             func(b *benchTest) func()
	}{
		{"GET of a manifest", 7, 29, func(b *benchTest) func() {
			b.pushTagged()
			r := b.repeated("GET", "/v2/app/manifests/v1")
			return func() { b.serve(200, r) }
		}},
		{"HEAD of a manifest", 7, 17, func(b *benchTest) func() {
			r := b.repeated("HEAD", "/v2/app/manifests/"+string(sum(b.pushTagged())))
			return func() { b.serve(200, r) }
		}},
		{"GET of a blob", 7, 17, func(b *benchTest) func() {
			r := b.repeated("GET", b.pushBlob(strings.Repeat("x", 1024)))
			return func() { b.serve(200, r) }
		}},
		{"HEAD of a blob", 7, 13, func(b *benchTest) func() {
			r := b.repeated("HEAD", b.pushBlob(strings.Repeat("x", 1024)))
			return func() { b.serve(200, r) }
		}},
		{"push of an image, client included", 320, 690, func(b *benchTest) func() {
			n := 0
			return func() {
				b.pushImage(fmt.Sprintf("layer %d", n))
				n++
			}
		}},
	} {
		for _, s := range stores {
			max := c.memstore
			if s.name == "layout" {
				max = c.layout
			}
			if s.name == "layout" && runtime.GOOS == "windows" {
				continue
			}
			if got := testing.AllocsPerRun(100, c.make(newBenchTest(t, s.open(t)))); got > max {
				t.Errorf("%s, %s: %.0f allocations, more than %.0f", c.name, s.name, got, max)
			}
		}
	}
}
