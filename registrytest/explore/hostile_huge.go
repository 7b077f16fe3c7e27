package explore

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// These are upper limits of the number of bytes that the server has written and the
// client has not read yet. In memory, the buffers of the pipe, of net/http, of TLS and
// of gzip hold them, at both ends. Over loopback, the buffers of the sockets hold
// them, too, and grow up to 10 MiB on Linux.
const (
	inBuffers       = 128 << 10
	inBuffersOfPort = 12 << 20
)

// judgeHuge reports a client that reads more than hugeTaken bytes of a body that
// sendEndless sends.
func judgeHuge(_ *hostile, e *encounter) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var most int64
	n := 0 // responses of which the client read too much
	for _, taken := range e.taken {
		if taken > hugeTaken {
			n++
		}
		most = max(most, taken)
	}
	switch n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("reads at least %d MiB of a response", most>>20)
	}
	return fmt.Sprintf("reads at least %d MiB of each of %d responses", hugeTaken>>20, n)
}

// A gauge counts the bytes of a body, before compression, that the client has certainly
// read: those that no buffer between the handler and the client can still hold.
type gauge struct {
	http.ResponseWriter
	buffers int64  // the number of bytes, after compression, that buffers can hold
	written int64  // the bytes written so far, after compression
	marks   []mark // the offsets whose bytes may still be in buffers
	taken   int64
}

// A mark is an offset in a body, counted before and after compression.
type mark struct{ plain, written int64 }

func (g *gauge) Write(p []byte) (int, error) {
	n, err := g.ResponseWriter.Write(p)
	g.written += int64(n)
	return n, err
}

// mark notes that the body has been written up to the offset plain, counted
// before compression.
func (g *gauge) mark(plain int64) {
	g.marks = append(g.marks, mark{plain, g.written})
	for len(g.marks) > 0 && g.marks[0].written+g.buffers <= g.written {
		g.taken = g.marks[0].plain
		g.marks = g.marks[1:]
	}
}

// endless makes the registry respond to the operations with hugeBody bytes of JSON
// text that lacks its end. If zipped is set, the body is compressed with gzip.
func (w *hostileWorld) endless(zipped bool, ops ...registry.Op) {
	w.intercept = func(next registry.Handler) registry.Handler {
		return func(rw http.ResponseWriter, r *registry.Request) error {
			for _, op := range ops {
				if r.Op == op {
					w.sendEndless(rw, r, zipped)
					return nil
				}
			}
			return next(rw, r)
		}
	}
}

func (w *hostileWorld) sendEndless(rw http.ResponseWriter, r *registry.Request, zipped bool) {
	text := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","annotations":{"a":"`
	rw.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	if r.Op == registry.ListTags {
		text = `{"name":"` + r.Repo + `","tags":["`
		rw.Header().Set("Content-Type", "application/json")
	}
	if r.Op == registry.ListReferrers {
		text = strings.Replace(text, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, 1)
		rw.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	}
	// Without random bytes, the body would compress to a size that fits into buffers.
	block := []byte(strings.Repeat("a", 16<<10))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 256 {
		block[i] = byte('a' + random.IntN(26))
	}
	g := &gauge{ResponseWriter: rw, buffers: inBuffers}
	if w.network == nil {
		g.buffers = inBuffersOfPort
	}
	defer func() {
		w.e.mu.Lock()
		defer w.e.mu.Unlock()
		w.e.taken = append(w.e.taken, g.taken)
	}()
	out, flush := io.Writer(g), func() error { return nil }
	if zipped {
		rw.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(g, gzip.BestSpeed)
		out, flush = z, z.Flush // without Flush, gzip would hold back bytes that mark counts
	}
	if _, err := io.WriteString(out, text); err != nil {
		return
	}
	for sent := 0; sent < hugeBody; sent += len(block) {
		for i := range 256 {
			block[i] = byte('a' + random.IntN(26))
		}
		if _, err := out.Write(block); err != nil {
			return
		}
		if flush() != nil {
			return
		}
		g.mark(int64(sent + len(block)))
	}
}
