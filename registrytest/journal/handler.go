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
)

// maxManifest is the size in bytes of the largest manifest that is looked
// into.
const maxManifest = 4 << 20

// KeepBodies has the journal keep the first bytes of each body, up to the limit
// in bytes, for [Record.RequestBody] and [Record.ResponseBody]. Call it before
// the first request, with a handler made by [Journal.Handler].
func (j *Journal) KeepBodies(limit int64) { j.bodies = max(0, limit) }

// ReadManifests has the journal read the manifests in the bodies of PutManifest
// requests, up to 4 MiB, for [Record.MediaType] and [Record.Subject]. Call it
// before the first request, with a handler made by [Journal.Handler].
func (j *Journal) ReadManifests() { j.manifests = true }

// Handler returns a handler that serves requests with next, and in which no
// client has a whole response before the journal has its record: a test that
// asks for the requests after the last response finds all of them, finished. A
// client that hangs up before the end of a response is the exception; see
// [Requests.WaitFor].
//
// Next is a registry that was made with the journal as its recorder.
func (j *Journal) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		aw := &answerWriter{ResponseWriter: w, left: -1}
		if r.ContentLength != 0 || j.bodies > 0 {
			g := &glimpse{request: capture{limit: j.bodies}, response: capture{limit: j.bodies}}
			if j.manifests && r.Method == http.MethodPut {
				if parsed, _ := registry.ParseRequest(r); parsed.Op == registry.PutManifest {
					g.manifest = &capture{limit: maxManifest}
				}
			}
			r = r.WithContext(context.WithValue(r.Context(), glimpseKey{}, g))
			if r.Body != nil {
				r.Body = &watchedBody{r.Body, g}
			}
			aw.glimpse = g
		}
		next.ServeHTTP(aw, r)
		aw.release()
	})
}

type glimpseKey struct{}

// A glimpse is what was seen of an exchange from outside of the registry.
type glimpse struct {
	cut               atomic.Bool // whether the body of the request ended early
	request, response capture
	manifest          *capture // or nil
}

// end adds what was seen to the record.
func (g *glimpse) end(r *Record) {
	r.RequestBody, r.ResponseBody = g.request.bytes, g.response.bytes
	switch {
	case r.Op != registry.PutManifest:
	case g.manifest != nil:
		r.readManifest(g.manifest.bytes)
	case int64(len(r.RequestBody)) == r.BytesIn:
		r.readManifest(r.RequestBody)
	}
	g.manifest = nil
}

// readManifest notes the media type and the subject of the manifest that the
// client pushed, as far as its content has them.
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

// A capture keeps the first bytes of what is written to it.
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

// watchedBody is the body of a request.
type watchedBody struct {
	io.ReadCloser
	glimpse *glimpse
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.glimpse.request.write(p[:n])
	b.glimpse.manifest.write(p[:n])
	if err != nil && err != io.EOF && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.glimpse.cut.Store(true)
	}
	return n, err
}

// answerWriter keeps the last byte of an answer whose length was announced
// until it is released. net/http sends any other answer's end, and the whole
// of a small one, only when the handler has returned.
type answerWriter struct {
	http.ResponseWriter
	glimpse *glimpse // or nil
	begun   bool
	left    int64 // how many bytes are still to come, or -1
	held    bool
	last    [1]byte
}

func (w *answerWriter) WriteHeader(status int) {
	if status >= 200 && !w.begun {
		w.begun = true
		if n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
			w.left = n
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (n int, err error) {
	w.begin()
	if w.glimpse != nil {
		defer func() { w.glimpse.response.write(p[:n]) }()
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

// begin writes the header, if that has not been done.
func (w *answerWriter) begin() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
}

// ReadFrom keeps open the way by which the operating system sends a file.
func (w *answerWriter) ReadFrom(src io.Reader) (n int64, err error) {
	w.begin()
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if ok && w.left > 1 && (w.glimpse == nil || w.glimpse.response.limit == 0) {
		// The way is open to a file, and to a limited file, not to one that is
		// limited twice.
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

// release writes the byte that was held.
func (w *answerWriter) release() {
	if w.held {
		w.held = false
		w.ResponseWriter.Write(w.last[:])
	}
}

// Unwrap is for [http.ResponseController].
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
