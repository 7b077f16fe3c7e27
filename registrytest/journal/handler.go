package journal

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
)

// maxManifest is the size in bytes of the largest manifest that
// [Journal.ReadManifests] reads.
const maxManifest = 4 << 20

// KeepBodies makes the journal keep the first bytes of each body, up to the
// limit in bytes, for [Record.RequestBody] and [Record.ResponseBody]. Call it
// before the first request. It affects only requests through [Journal.Handler].
func (j *Journal) KeepBodies(limit int64) { j.bodies = max(0, limit) }

// ReadManifests makes the journal read the manifests that clients push, up to 4
// MiB, for [Record.MediaType] and [Record.Subject]. Call it before the first
// request. It affects only requests through [Journal.Handler].
func (j *Journal) ReadManifests() { j.manifests = true }

// Handler returns a handler that serves requests with next, a registry that has
// the journal as its recorder. It withholds the end of each response until the
// journal has recorded the exchange. So a test that reads the journal after the
// last response finds every request finished, except for a request whose client
// hung up early; for this, see [Requests.WaitFor].
func (j *Journal) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rw := &responseWriter{left: -1}
		rw.Writer = conn.Writer{ResponseWriter: w, Outer: rw}
		if r.ContentLength != 0 || j.bodies > 0 {
			b := &bodies{request: capture{limit: j.bodies}, response: capture{limit: j.bodies}}
			if j.manifests && r.Method == http.MethodPut {
				if parsed, _ := registry.ParseRequest(r); parsed.Op == registry.PutManifest {
					b.manifest = &capture{limit: maxManifest}
				}
			}
			r = r.WithContext(context.WithValue(r.Context(), bodiesKey{}, b))
			if r.Body != nil {
				r.Body = &requestBody{r.Body, b}
			}
			rw.bodies = b
		}
		next.ServeHTTP(rw, r)
		rw.release()
	})
}

type bodiesKey struct{}

// bodies holds the parts of a request's and a response's body that the journal keeps.
// The context of the request carries it from the handler to the recorder.
type bodies struct {
	cut               atomic.Bool // whether reading the request's body failed
	request, response capture
	manifest          *capture // the manifest that the client pushes, or nil
}

// addTo adds the bodies, and the properties of a manifest in them, to the record.
func (b *bodies) addTo(r *Record) {
	r.RequestBody, r.ResponseBody = b.request.bytes, b.response.bytes
	switch {
	case r.Op != registry.PutManifest:
	case b.manifest != nil:
		r.readManifest(b.manifest.bytes)
	case int64(len(r.RequestBody)) == r.BytesIn:
		r.readManifest(r.RequestBody)
	}
	b.manifest = nil
}

// readManifest sets MediaType and Subject to those in a manifest with this content.
func (r *Record) readManifest(content []byte) {
	var m struct {
		MediaType string              `json:"mediaType"`
		Subject   *ocispec.Descriptor `json:"subject"`
	}
	if json.Unmarshal(content, &m) != nil {
		return
	}
	r.MediaType = m.MediaType
	if m.Subject != nil {
		r.Subject = m.Subject.Digest
	}
}

// A capture keeps the first bytes that are written to it, up to a limit.
type capture struct {
	limit int64
	bytes []byte
}

func (c *capture) write(p []byte) {
	if c == nil {
		return
	}
	if room := c.limit - int64(len(c.bytes)); int64(len(p)) > room {
		p = p[:room]
	}
	c.bytes = append(c.bytes, p...)
}

// requestBody is a request's body. It captures the bytes that the registry reads.
type requestBody struct {
	io.ReadCloser
	bodies *bodies
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bodies.request.write(p[:n])
	b.bodies.manifest.write(p[:n])
	if err != nil && err != io.EOF && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.bodies.cut.Store(true)
	}
	return n, err
}

// A responseWriter holds back the last byte of a response with a Content-Length until
// release is called. If a response has no Content-Length, this is not necessary,
// because net/http sends its end when the handler returns.
type responseWriter struct {
	conn.Writer
	bodies *bodies // where the body of the response is kept, or nil
	left   int64   // the number of bytes still to be written, or -1 if unknown
	held   bool
	last   [1]byte
}

// Begins notes the Content-Length when the header of the response is complete.
func (w *responseWriter) Begins(int) {
	if n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
		w.left = n
	}
}

func (w *responseWriter) Write(p []byte) (n int, err error) {
	w.Begin()
	if w.bodies != nil {
		defer func() { w.bodies.response.write(p[:n]) }()
	}
	if len(p) == 0 {
		return w.ResponseWriter.Write(p)
	}
	if w.left == int64(len(p)) {
		n, err = w.ResponseWriter.Write(p[:len(p)-1])
		w.left -= int64(n)
		if err == nil && w.left == 1 {
			w.held, w.last[0] = true, p[len(p)-1]
			w.left--
			n++
		}
		return n, err
	}
	w.release()
	n, err = w.ResponseWriter.Write(p)
	if w.left >= 0 {
		w.left -= int64(n)
	}
	return n, err
}

// ReadFrom lets net/http send a body that is a file with sendfile.
func (w *responseWriter) ReadFrom(src io.Reader) (n int64, err error) {
	w.Begin()
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if ok && w.left > 1 && (w.bodies == nil || w.bodies.response.limit == 0) {
		// net/http recognizes a file, and a file in one io.LimitedReader, but not a file
		// in two. So put the lower limit into a single one.
		limited, ok := src.(*io.LimitedReader)
		if !ok {
			limited = &io.LimitedReader{R: src, N: w.left}
		}
		most := &io.LimitedReader{R: limited.R, N: min(limited.N, w.left-1)}
		n, err = to.ReadFrom(most)
		limited.N -= n
		w.left -= n
		if err != nil {
			return n, err
		}
	}
	rest, err := io.Copy(struct{ io.Writer }{w}, src)
	return n + rest, err
}

// release writes the last byte of the response, if it was held back.
func (w *responseWriter) release() {
	if w.held {
		w.held = false
		w.ResponseWriter.Write(w.last[:])
	}
}
