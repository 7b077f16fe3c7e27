package bench

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// start measures the time to create a registry with a server, to ping it and to
// close it.
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

// pushSmall measures the push of a small image under 100 tags in turn. A registry
// may save work, because the image is always the same: after the first push, only
// its tags are new, and later not even those.
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

// repeat measures concurrent clients. Each client calls start once, and then
// calls the returned function repeatedly. The number of clients is rounded to a
// multiple of GOMAXPROCS. For one client, repeat also reports the CPU time of
// the process, which depends less on the load of the machine than the time does.
func repeat(b *testing.B, clients int, start func() func() error) {
	if clients == 1 {
		do := start()
		before := cpuTime()
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N)/1000, "cpu-us")
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

// get measures GET or HEAD requests for a manifest or for a blob of 1 KiB.
func get(b *testing.B, c *client, method, part string, clients int) {
	i := newImage("get", bytes.Repeat([]byte("x"), 1024))
	if err := c.push("app", "v1", i); err != nil {
		b.Fatal(err)
	}
	c.check(b, "app", "v1", i)
	getAgain(b, c, method, part, "app", "v1", i, clients)
}

// getAgain measures repeated requests for one part of an image: "manifest-tag",
// "manifest-digest" or "blob".
func getAgain(b *testing.B, c *client, method, part, repo, tag string, i image, clients int) {
	k, size := call{method: method, want: http.StatusOK}, len(i.manifest)
	switch part {
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
			return fmt.Errorf("status %d with %d bytes, want 200 with %d", status, bytes, size)
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
		// Make the request once, so that only the handler is measured.
		r := httptest.NewRequest(method, k.path, nil)
		r.Header["Accept"] = accept
		a := &response{header: make(http.Header, 8)}
		return func() error {
			clear(a.header)
			a.status, a.bytes = 0, 0
			c.handler.ServeHTTP(a, r)
			return check(cmp.Or(a.status, http.StatusOK), a.bytes)
		}
	})
}
