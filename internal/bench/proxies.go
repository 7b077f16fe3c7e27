package bench

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A front is the handler of a proxy and the server behind it. Closing the front
// closes the server.
type front struct {
	http.Handler
	behind *httptest.Server
}

func (f front) Close() error {
	f.behind.Close()
	return nil
}

// proxies returns a registry made by the function behind, a proxy of this project
// in front of another one made by it, and, as the stub, a bare
// [httputil.ReverseProxy] in front of a third.
func proxies(behind func() http.Handler) []Registry {
	through := func(proxy func(u *url.URL) http.Handler) func(string) (http.Handler, error) {
		return func(string) (http.Handler, error) {
			s := httptest.NewServer(behind())
			u, err := url.Parse(s.URL)
			if err != nil {
				return nil, err
			}
			return front{proxy(u), s}, nil
		}
	}
	return []Registry{
		{Name: "no-proxy", New: func(string) (http.Handler, error) { return behind(), nil }},
		{Name: "wire", New: through(func(u *url.URL) http.Handler { return registry.New(upstream.NewProxy(u.String())) })},
		{Name: "reverse-proxy", Stub: true, New: through(func(u *url.URL) http.Handler {
			return &httputil.ReverseProxy{
				Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
				Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
			}
		})},
	}
}

func memory() http.Handler { return registry.New(memstore.New()) }

// streamed returns a function that makes a handler. The handler responds to every
// request with a generated blob of the size.
func streamed(size int64) func() http.Handler {
	return func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
			part := make([]byte, 64<<10)
			for left := size; left > 0; left -= int64(len(part)) {
				if _, err := w.Write(part[:min(left, int64(len(part)))]); err != nil {
					return
				}
			}
		})
	}
}

// stream measures the download of a generated blob, and the peak of the heap
// during the download.
func stream(b *testing.B, r Registry, size int64) {
	c := newClient(b, r, true)
	b.SetBytes(size)
	var peak uint64
	stop := watchHeap(heapInUse(), &peak)
	for b.Loop() {
		if a := c.must(b, call{method: "GET", path: "/v2/app/blobs/" + string(digest.FromString("")), want: 200}); a.bytes != size {
			b.Fatalf("the response has %d bytes, not %d", a.bytes, size)
		}
	}
	stop()
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
}

// replays returns registries that serve a directory that record wrote: one
// serves the recording, and the stub serves only its layout.
func replays() []Registry {
	return []Registry{
		{Name: "replay", Disk: true, New: func(dir string) (http.Handler, error) {
			local, err := layout.Open(dir)
			if err != nil {
				return nil, err
			}
			s, err := upstream.Open(local, recording(dir), upstream.Offline())
			if err != nil {
				return nil, err
			}
			return registry.New(s, s.Options()...), nil
		}},
		{Name: "plain-layout", Disk: true, Stub: true, New: func(dir string) (http.Handler, error) {
			local, err := layout.Open(dir)
			if err != nil {
				return nil, err
			}
			return registry.New(local), nil
		}},
	}
}

func recording(dir string) upstream.StoreOption {
	return upstream.RecordTo(filepath.Join(dir, upstream.RecordingFile))
}

// record pulls the image library/app:v1 through a recording store, which writes
// it to the directory.
func record(b *testing.B, dir string, i image) {
	up := openClient(b, Registry{Name: "upstream", New: func(string) (http.Handler, error) { return memory(), nil }}, "", true)
	if err := up.push("library/app", "v1", i); err != nil {
		b.Fatal(err)
	}
	keep := func(string) (http.Handler, error) {
		local, err := layout.Open(dir)
		if err != nil {
			return nil, err
		}
		b.Cleanup(func() { local.Close() })
		s, err := upstream.Open(local, recording(dir), upstream.Remote("docker.io", upstream.At(up.server.URL)))
		if err != nil {
			return nil, err
		}
		b.Cleanup(func() { s.Close() })
		return registry.New(s, s.Options()...), nil
	}
	openClient(b, Registry{Name: "recording", New: keep}, "", false).check(b, "library/app", "v1", i)
}

// replay measures GET requests for one part of a recorded image.
func replay(b *testing.B, r Registry, part string) {
	dir, i := b.TempDir(), newImage("replay", bytes.Repeat([]byte("x"), 1024))
	record(b, dir, i)
	c := openClient(b, r, dir, true)
	c.check(b, "library/app", "v1", i)
	getAgain(b, c, "GET", part, "library/app", "v1", i, 1)
}
