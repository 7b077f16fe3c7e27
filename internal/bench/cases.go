package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Case is something to measure of each registry.
type Case struct {
	Name string

	// Only limits the case to registries on disk, or not; nil is all.
	Only func(Registry) bool

	// Run measures. It stops the benchmark if an answer is wrong.
	Run func(b *testing.B, r Registry)
}

const bigSize = 256 << 20

// big is the content of the big blob, made when it is first needed.
var big = sync.OnceValues(func() ([]byte, digest.Digest) {
	content := make([]byte, bigSize)
	rand.NewChaCha8([32]byte{1}).Read(content)
	return content, digest.FromBytes(content)
})

func inMemory(r Registry) bool { return !r.Disk }

// Cases returns everything that is measured.
func Cases() []Case {
	cases := []Case{{Name: "start", Only: inMemory, Run: start}}
	for _, over := range []string{"direct", "http"} {
		overHTTP := over == "http"
		cases = append(cases,
			Case{Name: "push-small/" + over, Run: func(b *testing.B, r Registry) { pushSmall(b, newClient(b, r, overHTTP)) }},
			Case{Name: "manifest-get-tag/" + over, Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, overHTTP), "GET", "manifest-tag") }},
			Case{Name: "manifest-get-digest/" + over, Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, overHTTP), "GET", "manifest-digest") }},
			Case{Name: "manifest-head-tag/" + over, Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, overHTTP), "HEAD", "manifest-tag") }},
			Case{Name: "blob-get-1k/" + over, Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, overHTTP), "GET", "blob") }},
			Case{Name: "blob-head/" + over, Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, overHTTP), "HEAD", "blob") }},
		)
	}
	cases = append(cases,
		Case{Name: "manifest-get-tag/64-clients", Run: getParallel},
		Case{Name: "push-256M/put", Run: func(b *testing.B, r Registry) { pushBig(b, r, putWhole) }},
		Case{Name: "push-256M/chunks", Run: func(b *testing.B, r Registry) { pushBig(b, r, putChunks) }},
		Case{Name: "push-256M/stream", Run: func(b *testing.B, r Registry) { pushBig(b, r, putStream) }},
		Case{Name: "pull-256M", Run: pullBig},
		Case{Name: "tag-at/1000", Only: inMemory, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, 1000) }},
		Case{Name: "tag-at/100000", Only: inMemory, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, 100_000) }},
		Case{Name: "tags-page/100000", Only: inMemory, Run: tagsPage},
		Case{Name: "tags-page-after-push/100000", Only: inMemory, Run: tagsPageAfterPush},
		Case{Name: "tags-all/100000", Only: inMemory, Run: tagsAll},
		Case{Name: "referrer-at/10000", Only: supportsReferrers, Run: pushReferrerAt},
		Case{Name: "referrers-page/10000", Only: supportsReferrers, Run: referrersPage},
		Case{Name: "layout-tag-at/10000", Only: func(r Registry) bool { return r.Name == "layout" || r.Name == "stub-disk" }, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, 10_000) }},
		Case{Name: "push-64-clients/different", Run: pushDifferent},
		Case{Name: "push-64-clients/same", Run: pushSame},
	)
	return cases
}

// supportsReferrers says which registries list referrers of a subject: those
// of distribution do not.
func supportsReferrers(r Registry) bool {
	return !r.Disk && !strings.HasPrefix(r.Name, "distribution")
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// start measures a registry's whole life: made, asked whether it is there, and
// closed.
func start(b *testing.B, r Registry) {
	before := runtime.NumGoroutine()
	for b.Loop() {
		h, err := r.New("")
		if err != nil {
			b.Fatal(err)
		}
		s := httptest.NewServer(h)
		resp, err := s.Client().Get(s.URL + "/v2/")
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(err, resp)
		}
		resp.Body.Close()
		s.Close()
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(max(0, runtime.NumGoroutine()-before)), "goroutines-left")
}

func pushSmall(b *testing.B, c *client) {
	i := newImage("small", []byte(strings.Repeat("layer", 200)))
	for n := 0; b.Loop(); n++ {
		if err := c.push("app", fmt.Sprintf("v%d", n%100), i); err != nil {
			b.Fatal(err)
		}
	}
}

// get measures the reading of a manifest or a blob that is 1 KiB large.
func get(b *testing.B, c *client, method, what string) {
	i := newImage("get", bytes.Repeat([]byte("x"), 1024))
	if err := c.push("app", "v1", i); err != nil {
		b.Fatal(err)
	}
	k, size := call{method: method, want: 200}, len(i.manifest)
	switch what {
	case "manifest-tag":
		k.path = "/v2/app/manifests/v1"
	case "manifest-digest":
		k.path = "/v2/app/manifests/" + string(i.digest)
	case "blob":
		k.path, size = "/v2/app/blobs/"+string(i.layerDigest), len(i.layer)
	}
	if method == "HEAD" {
		size = 0
	}
	if c.server != nil {
		for b.Loop() {
			if a := c.must(b, k); a.bytes != int64(size) {
				b.Fatalf("%d bytes, not %d", a.bytes, size)
			}
		}
		return
	}
	// The same request again and again: only the handler is measured.
	r := httptest.NewRequest(method, k.path, nil)
	r.Header["Accept"] = accept
	a := &answer{header: make(http.Header, 8)}
	for b.Loop() {
		clear(a.header)
		a.status, a.bytes = 0, 0
		c.handler.ServeHTTP(a, r)
		if a.status != http.StatusOK && a.status != 0 || a.bytes != int64(size) {
			b.Fatalf("status %d, %d bytes, not %d", a.status, a.bytes, size)
		}
	}
}

func getParallel(b *testing.B, r Registry) {
	c := newClient(b, r, true)
	i := newImage("parallel", []byte("layer"))
	if err := c.push("app", "v1", i); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a, err := c.do(call{method: "GET", path: "/v2/app/manifests/v1", want: 200}); err != nil || a.bytes != int64(len(i.manifest)) {
				b.Error(err, a)
				return
			}
		}
	})
}

// pushBig measures how a big blob is taken in, with the peak of the heap while
// that goes on.
func pushBig(b *testing.B, r Registry, send func(c *client, location string, content []byte, d digest.Digest) error) {
	content, d := big()
	b.SetBytes(bigSize)
	var peak uint64
	for b.Loop() {
		b.StopTimer()
		c := newClient(b, r, true)
		location, err := c.start("app")
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		stop := watchHeap(&peak)
		b.StartTimer()
		err = send(c, location, content, d)
		b.StopTimer()
		stop()
		if err != nil {
			b.Fatal(err)
		}
		if a := c.must(b, call{method: "HEAD", path: "/v2/app/blobs/" + string(d), want: 200}); a.header.Get("Content-Length") != fmt.Sprint(bigSize) {
			b.Fatal("the blob has another size:", a.header)
		}
		c.server.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(peak)/bigSize, "heap-B/B")
}

// watchHeap keeps in peak by how much the heap in use has grown since.
func watchHeap(peak *uint64) (stop func()) {
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done, ended := make(chan struct{}), make(chan struct{})
	look := func() {
		runtime.ReadMemStats(&now)
		if now.HeapInuse > before.HeapInuse {
			*peak = max(*peak, now.HeapInuse-before.HeapInuse)
		}
	}
	go func() {
		defer close(ended)
		t := time.NewTicker(20 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				look()
			case <-done:
				look()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func putWhole(c *client, location string, content []byte, d digest.Digest) error {
	_, err := c.do(call{method: "PUT", path: with(location, d), body: content, mediaType: "application/octet-stream", want: 201})
	return err
}

func putChunks(c *client, location string, content []byte, d digest.Digest) error {
	const size = 8 << 20
	for at := 0; at < len(content); at += size {
		chunk := content[at:min(at+size, len(content))]
		a, err := c.do(call{
			method: "PATCH", path: location, body: chunk, mediaType: "application/octet-stream",
			contentRange: fmt.Sprintf("%d-%d", at, at+len(chunk)-1), want: 202,
		})
		if err != nil {
			return err
		}
		location = a.header.Get("Location")
	}
	_, err := c.do(call{method: "PUT", path: with(location, d), want: 201})
	return err
}

func putStream(c *client, location string, content []byte, d digest.Digest) error {
	a, err := c.do(call{method: "PATCH", path: location, body: content, stream: true, mediaType: "application/octet-stream", want: 202})
	if err != nil {
		return err
	}
	_, err = c.do(call{method: "PUT", path: with(a.header.Get("Location"), d), want: 201})
	return err
}

func pullBig(b *testing.B, r Registry) {
	content, d := big()
	c := newClient(b, r, true)
	location, err := c.start("app")
	if err == nil {
		err = putWhole(c, location, content, d)
	}
	if err != nil {
		b.Fatal(err)
	}
	h := sha256.New()
	resp, err := c.http.Get(c.server.URL + "/v2/app/blobs/" + string(d))
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(h, resp.Body)
	resp.Body.Close()
	if digest.NewDigest(digest.SHA256, h) != d {
		b.Fatal("the blob came back changed")
	}
	b.SetBytes(bigSize)
	for b.Loop() {
		if a := c.must(b, call{method: "GET", path: "/v2/app/blobs/" + string(d), want: 200}); a.bytes != bigSize {
			b.Fatal("short:", a.bytes)
		}
	}
}

// withTags returns a client of a registry with n tags, all of one image.
func withTags(b *testing.B, r Registry, n int) (*client, image) {
	c := newClient(b, r, false)
	i := newImage("tags", []byte("layer"))
	if err := c.push("app", tagName(0), i); err != nil {
		b.Fatal(err)
	}
	for k := 1; k < n; k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
	}
	return c, i
}

// tagName returns the k-th tag, in an order that is not the lexical one.
func tagName(k int) string { return fmt.Sprintf("v%06d", (k*7919)%1_000_003) }

func pushTagAt(b *testing.B, r Registry, n int) {
	c, i := withTags(b, r, n)
	for k := n; b.Loop(); k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
	}
}

// page asks for 100 tags in the middle.
var page = call{method: "GET", path: "/v2/app/tags/list?n=100&last=v500000", keep: true, want: 200}

func checkPage(b *testing.B, a *answer, n int) {
	var list struct{ Tags []string }
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Tags) != n {
		b.Fatalf("%d tags, not %d: %v", len(list.Tags), n, err)
	}
}

func tagsPage(b *testing.B, r Registry) {
	c, _ := withTags(b, r, 100_000)
	checkPage(b, c.must(b, page), 100)
	for b.Loop() {
		c.must(b, page)
	}
}

func tagsPageAfterPush(b *testing.B, r Registry) {
	c, i := withTags(b, r, 100_000)
	checkPage(b, c.must(b, page), 100)
	for k := 100_000; b.Loop(); k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
		c.must(b, page)
	}
}

func tagsAll(b *testing.B, r Registry) {
	c, _ := withTags(b, r, 100_000)
	all := call{method: "GET", path: "/v2/app/tags/list", keep: true, want: 200}
	checkPage(b, c.must(b, all), 100_000)
	all.keep = false
	for b.Loop() {
		c.must(b, all)
	}
}

// withReferrers returns a client of a registry in which an image has n
// referrers.
func withReferrers(b *testing.B, r Registry, n int) (*client, digest.Digest) {
	c := newClient(b, r, false)
	subject := newImage("subject", []byte("layer"))
	if err := c.push("app", "subject", subject); err != nil {
		b.Fatal(err)
	}
	first := newReferrer("same", []byte("layer"), subject.digest)
	if err := c.push("app", "referrer", first); err != nil {
		b.Fatal(err)
	}
	for k := range n {
		if err := c.pushReferrer(first, subject.digest, k); err != nil {
			b.Fatal(err)
		}
	}
	return c, subject.digest
}

// pushReferrer pushes the k-th referrer, whose blobs are there already.
func (c *client) pushReferrer(like image, subject digest.Digest, k int) error {
	i := like
	i.manifest = bytes.Replace(like.manifest, []byte(`"seed":"same"`), fmt.Appendf(nil, `"seed":"%d"`, k), 1)
	i.digest = digest.FromBytes(i.manifest)
	return c.pushManifest("app", string(i.digest), i)
}

func pushReferrerAt(b *testing.B, r Registry) {
	const n = 10_000
	c, subject := withReferrers(b, r, n)
	like := newReferrer("same", []byte("layer"), subject)
	for k := n; b.Loop(); k++ {
		if err := c.pushReferrer(like, subject, k); err != nil {
			b.Fatal(err)
		}
	}
}

func referrersPage(b *testing.B, r Registry) {
	c, subject := withReferrers(b, r, 10_000)
	k := call{method: "GET", path: "/v2/app/referrers/" + string(subject), keep: true, want: 200}
	a := c.must(b, k)
	var index struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(a.body, &index); err != nil || len(index.Manifests) < 10_000 {
		b.Fatalf("%d referrers: %v", len(index.Manifests), err)
	}
	k.keep = false
	for b.Loop() {
		c.must(b, k)
	}
}

// pushDifferent has 64 clients push 512 images, each with a layer of 1 MiB of
// its own.
func pushDifferent(b *testing.B, r Registry) {
	layer := make([]byte, 1<<20)
	images := make([]image, 512)
	for k := range images {
		copy(layer, fmt.Sprintf("layer %d", k))
		images[k] = newImage(fmt.Sprint(k), bytes.Clone(layer))
	}
	b.SetBytes(512 << 20)
	pushAll(b, r, func(c *client, k int) error {
		return c.push(fmt.Sprintf("app%d", k%16), fmt.Sprintf("v%d", k), images[k])
	}, len(images))
}

// pushSame has 64 clients push the same blob of 4 MiB.
func pushSame(b *testing.B, r Registry) {
	layer := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{2}).Read(layer)
	d := digest.FromBytes(layer)
	b.SetBytes(64 * 4 << 20)
	pushAll(b, r, func(c *client, k int) error { return c.pushBlob("app", layer, d) }, 64)
}

func pushAll(b *testing.B, r Registry, push func(c *client, k int) error, n int) {
	var peak uint64
	for b.Loop() {
		b.StopTimer()
		c := newClient(b, r, true)
		runtime.GC()
		stop := watchHeap(&peak)
		b.StartTimer()
		var next atomic.Int64
		var failed atomic.Value
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for k := next.Add(1) - 1; k < int64(n); k = next.Add(1) - 1 {
					if err := push(c, int(k)); err != nil {
						failed.Store(err)
					}
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		stop()
		if err := failed.Load(); err != nil {
			b.Fatal(err)
		}
		c.server.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
}
