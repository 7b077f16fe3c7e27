package bench

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
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

	// Only limits the case to some registries; nil is all.
	Only func(Registry) bool

	// Run measures. It stops the benchmark if an answer is wrong.
	Run func(b *testing.B, r Registry)

	// Limits are what the machine can do at best, to be measured beside.
	Limits []Limit
}

// A Limit is the one thing that a case cannot do without.
type Limit struct {
	Name string
	Run  func(b *testing.B)
}

// Sizes says how much the cases measure with.
type Sizes struct {
	Blob         int // bytes of the big blob
	Tags         int // in one repository
	ManyTags     int // for the registries that can be filled with as many
	Referrers    int // of one subject
	Images       int // in a layout that is opened
	LayoutTags   int // in a layout that is pushed to
	Repositories int // in a tree of layouts
	Pushes       int // of images by 64 clients
}

// Full is what the published numbers are of. Small shows that all of it works.
var (
	Full  = Sizes{Blob: 256 << 20, Tags: 10_000, ManyTags: 100_000, Referrers: 10_000, Images: 1000, LayoutTags: 10_000, Repositories: 1000, Pushes: 512}
	Small = Sizes{Blob: 9 << 20, Tags: 300, ManyTags: 500, Referrers: 200, Images: 20, LayoutTags: 100, Repositories: 20, Pushes: 16}
)

// makeBig returns the content of the big blob.
func makeBig(size int) func() ([]byte, digest.Digest) {
	return sync.OnceValues(func() ([]byte, digest.Digest) {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(content)
		return content, digest.FromBytes(content)
	})
}

func inMemory(r Registry) bool { return !r.Disk }

// fills says which registries can be filled with very many tags in a time that
// somebody waits for: distribution takes a millisecond for each.
func fills(r Registry) bool { return !r.Disk && r.Name != "distribution" }

// readsLayouts says which registries serve an image layout that they find.
func readsLayouts(r Registry) bool { return r.Name == "layout" || r.Name == "stub-disk" }

// Cases returns everything that is measured.
func Cases(s Sizes) []Case {
	cases := []Case{{Name: "start", Only: inMemory, Run: start}}
	for _, over := range []struct {
		name     string
		http     bool
		parallel int // clients at once
	}{{"direct", false, 1}, {"direct-64", false, 64}, {"http", true, 1}, {"http-64", true, 64}} {
		cases = append(cases, Case{Name: "push-small/" + over.name, Run: func(b *testing.B, r Registry) {
			pushSmall(b, newClient(b, r, over.http), over.parallel)
		}})
		for _, g := range []struct{ name, method, what string }{
			{"manifest-get-tag", "GET", "manifest-tag"},
			{"manifest-get-digest", "GET", "manifest-digest"},
			{"manifest-head-tag", "HEAD", "manifest-tag"},
			{"manifest-head-digest", "HEAD", "manifest-digest"},
			{"blob-get-1k", "GET", "blob"},
			{"blob-head", "HEAD", "blob"},
		} {
			cases = append(cases, Case{Name: g.name + "/" + over.name, Run: func(b *testing.B, r Registry) {
				get(b, newClient(b, r, over.http), g.method, g.what, over.parallel)
			}})
		}
	}
	content := makeBig(s.Blob)
	pushLimits := []Limit{{"sha256", func(b *testing.B) { hashAlone(b, content) }}, {"discard", func(b *testing.B) { discardAll(b, content) }}}
	for _, p := range []struct {
		name string
		send func(c *client, location string, content []byte, d digest.Digest) error
	}{{"put", putWhole}, {"chunks", putChunks}, {"stream", putStream}} {
		cases = append(cases, Case{Name: "push-256M/" + p.name, Limits: pushLimits, Run: func(b *testing.B, r Registry) { pushBig(b, r, content, p.send) }})
	}
	decode := []Limit{{"decode", decodeReferrer}}
	at := func(n int) string { return "/" + strconv.Itoa(n) }
	return append(cases,
		Case{Name: "pull-256M", Run: func(b *testing.B, r Registry) { pullBig(b, r, content) }, Limits: []Limit{
			{"serve-memory", func(b *testing.B) { serveContent(b, content, false) }},
			{"serve-file", func(b *testing.B) { serveContent(b, content, true) }},
		}},
		Case{Name: "tag-at" + at(s.Tags/10), Only: inMemory, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, s.Tags/10) }},
		Case{Name: "tag-at" + at(s.Tags), Only: inMemory, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, s.Tags) }},
		Case{Name: "tag-at" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, s.ManyTags) }},
		Case{Name: "tags-page" + at(s.Tags), Only: inMemory, Run: func(b *testing.B, r Registry) { tagsPage(b, r, s.Tags) }},
		Case{Name: "tags-page" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { tagsPage(b, r, s.ManyTags) }},
		Case{Name: "tags-page-after-push" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { tagsPageAfterPush(b, r, s.ManyTags) }},
		Case{Name: "tags-all" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { tagsAll(b, r, s.ManyTags) }},
		Case{Name: "referrer-at" + at(s.Referrers/10), Only: knowsSubjects, Limits: decode, Run: func(b *testing.B, r Registry) { pushReferrerAt(b, r, s.Referrers/10) }},
		Case{Name: "referrer-at" + at(s.Referrers), Only: knowsSubjects, Limits: decode, Run: func(b *testing.B, r Registry) { pushReferrerAt(b, r, s.Referrers) }},
		Case{Name: "referrers-page" + at(s.Referrers), Only: listsReferrers, Run: func(b *testing.B, r Registry) { referrersPage(b, r, s.Referrers) }},
		Case{Name: "layout-open" + at(s.Images), Only: readsLayouts, Run: func(b *testing.B, r Registry) { openLayout(b, r, s.Images) }},
		Case{Name: "layout-get-again" + at(s.Images), Only: readsLayouts, Run: func(b *testing.B, r Registry) { getOfLayout(b, r, s.Images, "manifest-tag") }},
		Case{Name: "layout-blob-get" + at(s.Images), Only: readsLayouts, Run: func(b *testing.B, r Registry) { getOfLayout(b, r, s.Images, "blob") }},
		Case{Name: "layout-tree" + at(s.Repositories), Only: func(r Registry) bool { return r.Name == "layout" }, Run: func(b *testing.B, r Registry) { openTree(b, r, s.Repositories) }},
		Case{Name: "layout-tag-at" + at(s.LayoutTags), Only: readsLayouts, Run: func(b *testing.B, r Registry) { pushIntoLayout(b, r, s.LayoutTags, 1) }},
		Case{Name: "layout-tag-at" + at(s.LayoutTags) + "/64-writers", Only: readsLayouts, Run: func(b *testing.B, r Registry) { pushIntoLayout(b, r, s.LayoutTags, 64) }},
		Case{Name: "push-64-clients/different", Run: func(b *testing.B, r Registry) { pushDifferent(b, r, s.Pushes) }},
		Case{Name: "push-64-clients/same", Run: pushSame},
	)
}

// listsReferrers says which registries list the referrers of a subject:
// distribution does not.
func listsReferrers(r Registry) bool { return !r.Disk && r.Name != "distribution" }

// knowsSubjects says which registries tell a client that they have noted the
// subject of its manifest, as the spec demands of those that list referrers.
// Ggcr does not look into a manifest when it is pushed.
func knowsSubjects(r Registry) bool { return listsReferrers(r) && r.Name != "ggcr" }

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

// pushSmall measures the push of a small image under 100 tags in turn. It is
// always the same image, so that after the first push the registry has all of
// it and only tags are new: whoever notices that may save work.
func pushSmall(b *testing.B, c *client, clients int) {
	i := newImage("small", []byte(strings.Repeat("layer", 200)))
	var pushed atomic.Int64
	if err := c.push("app", "v0", i); err != nil {
		b.Fatal(err)
	}
	repeat(b, clients, func() func() error {
		return func() error { return c.push("app", fmt.Sprintf("v%d", pushed.Add(1)%100), i) }
	})
	c.check(b, "app", "v0", i)
}

// repeat measures what some clients do at once. Each of them calls start once
// and then what that returned, again and again. Several clients are rounded down
// to a multiple of GOMAXPROCS, or up to it.
func repeat(b *testing.B, clients int, start func() func() error) {
	if clients == 1 {
		do := start()
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.SetParallelism(max(1, clients/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		do := start()
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// get measures the reading of a manifest or a blob that is 1 KiB large.
func get(b *testing.B, c *client, method, what string, clients int) {
	i := newImage("get", bytes.Repeat([]byte("x"), 1024))
	if err := c.push("app", "v1", i); err != nil {
		b.Fatal(err)
	}
	c.check(b, "app", "v1", i)
	getAgain(b, c, method, what, "app", "v1", i, clients)
}

// getAgain measures the reading of one thing of an image again and again.
func getAgain(b *testing.B, c *client, method, what, repo, tag string, i image, clients int) {
	k, size := call{method: method, want: http.StatusOK}, len(i.manifest)
	switch what {
	case "manifest-tag":
		k.path = "/v2/" + repo + "/manifests/" + tag
	case "manifest-digest":
		k.path = "/v2/" + repo + "/manifests/" + string(i.digest)
	case "blob":
		k.path, size = "/v2/"+repo+"/blobs/"+string(i.layerDigest), len(i.layer)
	}
	if method == "HEAD" {
		size = 0
	}
	check := func(status int, bytes int64) error {
		if status != http.StatusOK || bytes != int64(size) {
			return fmt.Errorf("status %d, %d bytes, not %d", status, bytes, size)
		}
		return nil
	}
	repeat(b, clients, func() func() error {
		if c.server != nil {
			return func() error {
				a, err := c.do(k)
				if err != nil {
					return err
				}
				return check(a.status, a.bytes)
			}
		}
		// The same request again and again: only the handler is measured.
		r := httptest.NewRequest(method, k.path, nil)
		r.Header["Accept"] = accept
		a := &answer{header: make(http.Header, 8)}
		return func() error {
			clear(a.header)
			a.status, a.bytes = 0, 0
			c.handler.ServeHTTP(a, r)
			return check(cmp.Or(a.status, http.StatusOK), a.bytes)
		}
	})
}

// pushBig measures how a big blob is taken in, with the peak of the heap while
// that goes on.
func pushBig(b *testing.B, r Registry, big func() ([]byte, digest.Digest), send func(c *client, location string, content []byte, d digest.Digest) error) {
	content, d := big()
	b.SetBytes(int64(len(content)))
	var peak uint64
	for b.Loop() {
		b.StopTimer()
		c := newClient(b, r, true)
		location, err := c.start("app")
		if err != nil {
			b.Fatal(err)
		}
		warmMemory(len(content))
		before := heapInUse()
		stop := watchHeap(before, &peak)
		b.StartTimer()
		err = send(c, location, content, d)
		b.StopTimer()
		stop()
		if err != nil {
			b.Fatal(err)
		}
		c.checkBig(b, d)
		c.server.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(peak)/float64(len(content)), "heap-B/B")
}

// warmMemory has the process keep more memory than a contestant needs for so
// many bytes. What it takes the operating system to find memory would otherwise
// be most of what is measured, and a gift of one contestant to the next.
func warmMemory(bytes int) {
	const page, most = 4 << 10, 6 // of what any of them takes for a byte
	b := make([]byte, most*bytes)
	for i := 0; i < len(b); i += page {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	b = nil
	runtime.GC()
}

// heapInUse returns how much of the heap is in use.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// watchHeap keeps in peak by how much more of the heap is in use than before.
func watchHeap(before uint64, peak *uint64) (stop func()) {
	look := func() {
		if now := heapInUse(); now > before {
			*peak = max(*peak, now-before)
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer look()
		t := time.NewTicker(20 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				look()
			case <-done:
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

// checkBig stops the benchmark unless the registry has the blob.
func (c *client) checkBig(b *testing.B, d digest.Digest) {
	b.Helper()
	resp, err := c.http.Get(c.server.URL + "/v2/app/blobs/" + string(d))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, resp.Body); err != nil || digest.NewDigest(digest.SHA256, h) != d {
		b.Fatal("the blob came back changed:", err)
	}
}

func pullBig(b *testing.B, r Registry, big func() ([]byte, digest.Digest)) {
	content, d := big()
	c := newClient(b, r, true)
	location, err := c.start("app")
	if err == nil {
		err = putWhole(c, location, content, d)
	}
	if err != nil {
		b.Fatal(err)
	}
	c.checkBig(b, d)
	b.SetBytes(int64(len(content)))
	var peak uint64
	runtime.GC()
	stop := watchHeap(heapInUse(), &peak)
	for b.Loop() {
		if a := c.must(b, call{method: "GET", path: "/v2/app/blobs/" + string(d), want: 200}); a.bytes != int64(len(content)) {
			b.Fatal("short:", a.bytes)
		}
	}
	stop()
	b.ReportMetric(float64(peak)/float64(len(content)), "heap-B/B")
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
	k := n
	for ; b.Loop(); k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
	}
	c.check(b, "app", tagName(k-1), i)
}

// page asks for 100 tags in the middle.
var page = call{method: "GET", path: "/v2/app/tags/list?n=100&last=v500000", keep: true, want: 200}

// checkPage stops the benchmark unless the answer is that to page, of a
// repository with the first n tags.
func checkPage(b *testing.B, a *answer, n int) {
	b.Helper()
	checkTags(b, a, n, "v500000", 100)
}

// checkTags stops the benchmark unless the answer has those of the first n tags
// that sort after the last one, up to the limit.
func checkTags(b *testing.B, a *answer, n int, last string, limit int) {
	b.Helper()
	var want []string
	for k := range n {
		if tag := tagName(k); tag > last {
			want = append(want, tag)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	want = want[:min(limit, len(want))]
	var list struct{ Tags []string }
	if err := json.Unmarshal(a.body, &list); err != nil || !slices.Equal(list.Tags, want) {
		b.Fatalf("%d tags that are not the %d that were pushed: %v", len(list.Tags), len(want), err)
	}
}

func tagsPage(b *testing.B, r Registry, n int) {
	c, _ := withTags(b, r, n)
	checkPage(b, c.must(b, page), n)
	for b.Loop() {
		c.must(b, page)
	}
}

func tagsPageAfterPush(b *testing.B, r Registry, n int) {
	c, i := withTags(b, r, n)
	checkPage(b, c.must(b, page), n)
	k := n
	for ; b.Loop(); k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
		c.must(b, page)
	}
	checkPage(b, c.must(b, page), k)
}

func tagsAll(b *testing.B, r Registry, n int) {
	c, _ := withTags(b, r, n)
	all := call{method: "GET", path: "/v2/app/tags/list", keep: true, want: 200}
	checkTags(b, c.must(b, all), n, "", n)
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
		if _, err := c.pushReferrer(first, k); err != nil {
			b.Fatal(err)
		}
	}
	return c, subject.digest
}

// pushReferrer pushes the k-th referrer, whose blobs are there already.
func (c *client) pushReferrer(like image, k int) (*answer, error) {
	i := like
	i.manifest = bytes.Replace(like.manifest, []byte(`"seed":"same"`), fmt.Appendf(nil, `"seed":"%d"`, k), 1)
	i.digest = digest.FromBytes(i.manifest)
	return c.do(putManifest("app", string(i.digest), i))
}

func pushReferrerAt(b *testing.B, r Registry, n int) {
	c, subject := withReferrers(b, r, n)
	like := newReferrer("same", []byte("layer"), subject)
	for k := n; b.Loop(); k++ {
		a, err := c.pushReferrer(like, k)
		if err != nil {
			b.Fatal(err)
		}
		if got := a.header["Oci-Subject"]; len(got) != 1 || got[0] != string(subject) {
			b.Fatal("OCI-Subject is", got)
		}
	}
}

func referrersPage(b *testing.B, r Registry, n int) {
	c, subject := withReferrers(b, r, n)
	k := call{method: "GET", path: "/v2/app/referrers/" + string(subject), keep: true, want: 200}
	a := c.must(b, k)
	var index struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(a.body, &index); err != nil || len(index.Manifests) < n {
		b.Fatalf("%d referrers: %v", len(index.Manifests), err)
	}
	k.keep = false
	for b.Loop() {
		c.must(b, k)
	}
}

// pushDifferent has 64 clients push n images, each with a layer of 1 MiB of
// its own.
func pushDifferent(b *testing.B, r Registry, n int) {
	layer := make([]byte, 1<<20)
	images := make([]image, n)
	for k := range images {
		copy(layer, fmt.Sprintf("layer %d", k))
		images[k] = newImage(fmt.Sprint(k), bytes.Clone(layer))
	}
	b.SetBytes(int64(n) << 20)
	pushAll(b, r, func(c *client, k int) error {
		return c.push(fmt.Sprintf("app%d", k%16), fmt.Sprintf("v%d", k), images[k])
	}, func(c *client) {
		for k, i := range images {
			c.check(b, fmt.Sprintf("app%d", k%16), fmt.Sprintf("v%d", k), i)
		}
	}, n, n<<20)
}

// pushSame has 64 clients push the same blob of 4 MiB.
func pushSame(b *testing.B, r Registry) {
	layer := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{2}).Read(layer)
	d := digest.FromBytes(layer)
	b.SetBytes(64 * 4 << 20)
	pushAll(b, r, func(c *client, k int) error {
		return c.pushBlob("app", layer, d)
	}, func(c *client) {
		c.mustHave(b, call{method: "GET", path: "/v2/app/blobs/" + string(d)}, layer)
	}, 64, 64*len(layer))
}

// pushAll has 64 clients push n things, of size bytes together. It reports how
// much the heap grew meanwhile, and how much of that stayed.
func pushAll(b *testing.B, r Registry, push func(c *client, k int) error, check func(c *client), n, size int) {
	var peak, kept uint64
	for b.Loop() {
		b.StopTimer()
		c := newClient(b, r, true)
		warmMemory(size)
		before := heapInUse()
		stop := watchHeap(before, &peak)
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
		c.http.CloseIdleConnections()
		runtime.GC()
		watchHeap(before, &kept)()
		check(c)
		c.server.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
	b.ReportMetric(float64(kept)/(1<<20), "kept-MiB")
}
