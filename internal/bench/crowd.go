package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// pushDifferent measures the push of n images by 64 clients. Each image has a
// different layer of size bytes.
func pushDifferent(b *testing.B, r Registry, n, size int) {
	layer := make([]byte, size)
	images := make([]image, n)
	for k := range images {
		copy(layer, fmt.Sprintf("layer %d", k))
		images[k] = newImage(fmt.Sprint(k), bytes.Clone(layer))
	}
	b.SetBytes(int64(n * size))
	pushAll(b, r, func(c *client, k int) error {
		return c.push(fmt.Sprintf("app%d", k%16), fmt.Sprintf("v%d", k), images[k])
	}, func(c *client) {
		for k, i := range images {
			c.check(b, fmt.Sprintf("app%d", k%16), fmt.Sprintf("v%d", k), i)
		}
	}, n, n*size)
}

// pushSame measures the push of one blob of size bytes by 64 clients at once.
func pushSame(b *testing.B, r Registry, size int) {
	layer := make([]byte, size)
	rand.NewChaCha8([32]byte{2}).Read(layer)
	d := digest.FromBytes(layer)
	b.SetBytes(int64(64 * size))
	pushAll(b, r, func(c *client, k int) error {
		return c.pushBlob("app", layer, d)
	}, func(c *client) {
		c.mustHave(b, call{method: "GET", path: "/v2/app/blobs/" + string(d)}, layer)
	}, 64, 64*len(layer))
}

// pushAll measures n calls of push by 64 clients. It also reports the growth of the
// heap during the pushes and the growth that remains after them. All calls together
// push size bytes. The function check checks the content at the end.
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
