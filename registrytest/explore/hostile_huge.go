package explore

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// judgeHuge finds a client that reads all of a huge body.
func judgeHuge(_ *hostile, e *encounter) string {
	if taken := atomic.LoadInt64(&e.taken); taken > hugeTaken {
		return fmt.Sprintf("reads %d MiB of a response", taken>>20)
	}
	return ""
}

// endless makes the registry respond with a body that does not end, or, if gzip
// is set, with one that unpacks to such a body. It counts the bytes, before gzip,
// that the client takes.
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
	// Random bytes hardly compress, so the body does not fit into buffers.
	block := []byte(strings.Repeat("a", 16<<10))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 256 {
		block[i] = byte('a' + random.IntN(26))
	}
	var out io.Writer = rw
	if zipped {
		rw.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(rw, gzip.BestSpeed)
		out = z
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
		atomic.AddInt64(&w.e.taken, int64(len(block)))
	}
}
