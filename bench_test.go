package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// A benchWriter is a client that costs nothing.
type benchWriter struct {
	header http.Header
	status int
}

func (w *benchWriter) Header() http.Header         { return w.header }
func (w *benchWriter) WriteHeader(status int)      { w.status = status }
func (w *benchWriter) Write(p []byte) (int, error) { return len(p), nil }

// A benchTest is a registry whose requests are counted and timed.
type benchTest struct {
	*testing.B
	http.Handler
	w benchWriter
}

// send sends a request and returns the header of the response.
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
		b.Fatalf("%s %s: %d", r.Method, r.URL, b.w.status)
	}
	return b.w.header
}

func (b *benchTest) pushBlob(content string) string {
	d := string(sum(content))
	b.send(201, "POST", "/v2/app/blobs/uploads/?digest="+d, content)
	return "/v2/app/blobs/" + d
}

func benchImage(b *testing.B, layer string) string {
	m := ocispec.Manifest{
		MediaType: imageType,
		Config:    describe(ocispec.MediaTypeImageConfig, "{}"),
		Layers:    []ocispec.Descriptor{describe(ocispec.MediaTypeImageLayerGzip, layer)},
	}
	m.SchemaVersion = 2
	return toJSON(b, m)
}

func BenchmarkServeHTTP(b *testing.B) {
	for _, s := range stores {
		run := func(name string, bench func(b *benchTest)) {
			b.Run(name+"/"+s.name, func(b *testing.B) {
				bench(&benchTest{b, registry.New(s.open(b)), benchWriter{header: make(http.Header)}})
			})
		}
		// Operations that clients repeat, each with one request.
		repeat := func(name, method string, prepare func(b *benchTest) (target string)) {
			run(name, func(b *benchTest) {
				r, err := http.NewRequestWithContext(b.Context(), method, "http://registry"+prepare(b), nil)
				require.NoError(b, err)
				r.Body = http.NoBody
				b.ReportAllocs()
				for b.Loop() {
					b.serve(200, r)
				}
			})
		}
		pushImage := func(b *benchTest) (manifest string) {
			b.pushBlob("{}")
			b.pushBlob("layer")
			manifest = benchImage(b.B, "layer")
			b.send(201, "PUT", "/v2/app/manifests/v1", manifest, "Content-Type", imageType)
			return manifest
		}
		byTag := func(b *benchTest) string {
			pushImage(b)
			return "/v2/app/manifests/v1"
		}
		byDigest := func(b *benchTest) string { return "/v2/app/manifests/" + string(sum(pushImage(b))) }
		blob := func(b *benchTest) string { return b.pushBlob(strings.Repeat("x", 1024)) }
		repeat("GetManifestByTag", "GET", byTag)
		repeat("GetManifestByDigest", "GET", byDigest)
		repeat("HeadManifestByTag", "HEAD", byTag)
		repeat("HeadManifestByDigest", "HEAD", byDigest)
		repeat("GetBlob1KiB", "GET", blob)
		repeat("HeadBlob1KiB", "HEAD", blob)
		repeat("ListTags100of1000", "GET", func(b *benchTest) string {
			m := pushImage(b)
			for i := range 10 {
				tags := make([]string, 100)
				for j := range tags {
					tags[j] = fmt.Sprintf("tag=v%d.%02d", i, j)
				}
				b.send(201, "PUT", "/v2/app/manifests/"+string(sum(m))+"?"+strings.Join(tags, "&"), m, "Content-Type", imageType)
			}
			return "/v2/app/tags/list?n=100&last=v4.50"
		})
		// Nine requests, as a client sends them: for each of two blobs HEAD,
		// POST, PATCH and PUT, and then the manifest.
		run("PushImage", func(b *benchTest) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				layer := fmt.Sprintf("layer %d", n)
				n++
				config := fmt.Sprintf("{%q:%q}", "image", layer)
				for _, content := range []string{config, layer} {
					d := string(sum(content))
					b.send(404, "HEAD", "/v2/app/blobs/"+d, "")
					location := b.send(202, "POST", "/v2/app/blobs/uploads/", "").Get("Location")
					location = b.send(202, "PATCH", location, content).Get("Location")
					b.send(201, "PUT", location+"?digest="+d, "")
				}
				manifest := strings.Replace(benchImage(b.B, layer), string(sum("{}")), string(sum(config)), 1)
				b.send(201, "PUT", "/v2/app/manifests/latest", manifest, "Content-Type", imageType)
			}
		})
	}
}
