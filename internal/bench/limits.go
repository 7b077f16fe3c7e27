package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hashAlone measures the time to hash the big blob with SHA-256.
func hashAlone(b *testing.B, big func() ([]byte, digest.Digest)) {
	content, _ := big()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		sha256.Sum256(content)
	}
}

// discardAll measures the upload of the big blob to a handler of net/http that
// discards the body.
func discardAll(b *testing.B, big func() ([]byte, digest.Digest)) {
	content, d := big()
	discard := func(string) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusCreated)
		}), nil
	}
	c := newClient(b, Registry{Name: "discard", New: discard}, true)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := putWhole(c, "/upload", content, d); err != nil {
			b.Fatal(err)
		}
	}
}

// decodeReferrer measures the time to decode the manifest of a referrer with
// encoding/json. A registry has to decode it to find the subject.
func decodeReferrer(b *testing.B) {
	i := newReferrer("same", []byte("layer"), digest.FromString("subject"))
	for b.Loop() {
		var m ocispec.Manifest
		if err := json.Unmarshal(i.manifest, &m); err != nil || m.Subject == nil {
			b.Fatal(err)
		}
	}
}

// serveContent measures the download of the big blob from [http.ServeContent],
// in memory or in a file.
func serveContent(b *testing.B, big func() ([]byte, digest.Digest), fromFile bool) {
	content, _ := big()
	name := filepath.Join(b.TempDir(), "content")
	if fromFile {
		if err := os.WriteFile(name, content, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	serve := func(string) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var src io.ReadSeeker = bytes.NewReader(content)
			if fromFile {
				f, err := os.Open(name)
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				defer f.Close()
				src = f
			}
			w.Header()["Content-Type"] = []string{"application/octet-stream"}
			http.ServeContent(w, r, "", time.Time{}, src)
		}), nil
	}
	c := newClient(b, Registry{Name: "serve", New: serve}, true)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if a := c.must(b, call{method: "GET", path: "/", want: 200}); a.bytes != int64(len(content)) {
			b.Fatalf("the response has %d bytes, not %d", a.bytes, len(content))
		}
	}
}
