package bench

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// makeBig returns a function that returns the random content of the big blob and
// its digest. The first call makes the content.
func makeBig(size int) func() ([]byte, digest.Digest) {
	return sync.OnceValues(func() ([]byte, digest.Digest) {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(content)
		return content, digest.FromBytes(content)
	})
}

// pushBig measures the upload of a big blob, and the peak of the heap during the
// upload. The function send pushes the blob to the location of an upload
// session.
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

// putWhole sends the blob in one PUT.
func putWhole(c *client, location string, content []byte, d digest.Digest) error {
	_, err := c.do(call{method: "PUT", path: with(location, d), body: content, mediaType: "application/octet-stream", want: 201})
	return err
}

// putChunks sends the blob in chunks of 8 MiB.
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

// putStream sends the blob in one PATCH without Content-Length.
func putStream(c *client, location string, content []byte, d digest.Digest) error {
	a, err := c.do(call{method: "PATCH", path: location, body: content, stream: true, mediaType: "application/octet-stream", want: 202})
	if err != nil {
		return err
	}
	_, err = c.do(call{method: "PUT", path: with(a.header.Get("Location"), d), want: 201})
	return err
}

// checkBig fails the benchmark unless the registry serves the pushed bytes for
// the blob.
func (c *client) checkBig(b *testing.B, d digest.Digest) {
	b.Helper()
	resp, err := c.http.Get(c.server.URL + "/v2/app/blobs/" + string(d))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, resp.Body); err != nil || digest.NewDigest(digest.SHA256, h) != d {
		b.Fatal("the registry serves content that differs from the pushed content:", err)
	}
}

// pullBig measures the download of a big blob, and the peak of the heap during
// the download.
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
			b.Fatalf("the response has %d bytes, not %d", a.bytes, len(content))
		}
	}
	stop()
	b.ReportMetric(float64(peak)/float64(len(content)), "heap-B/B")
}
