package registry

import (
	"io"
	"net/http"
	"time"
)

// A Handler serves one request, or returns an error to be answered with: an
// [*Error] as it is, any other with 500. Once it has begun to write the
// answer, an error cuts the connection instead.
type Handler func(w http.ResponseWriter, r *Request) error

// A Middleware wraps the serving of requests: it may look at the request,
// answer in place of next, or change what next writes.
type Middleware func(next Handler) Handler

// A Recorder is told of every request that arrives at a registry and how it was
// answered (see [WithRecorder]). Both methods are called from the goroutine
// that serves the request, so they are called concurrently.
type Recorder interface {
	// Arrive is called when the request has been parsed, before anything else
	// is done with it. It must not modify the request nor read its body.
	Arrive(*Request)

	// Record is called once for each request that has arrived, when it has been
	// answered. [Exchange.Request] is the pointer that Arrive got.
	Record(*Exchange)
}

// A RecorderFunc is a [Recorder] that does nothing when a request arrives.
type RecorderFunc func(*Exchange)

// Arrive does nothing.
func (f RecorderFunc) Arrive(*Request) {}

// Record calls f.
func (f RecorderFunc) Record(x *Exchange) { f(x) }

// An Exchange is a request and how it was answered, as a recorder gets it (see
// [WithRecorder]). It must not be modified, and the request's body not be
// read.
type Exchange struct {
	// Request is the request.
	Request *Request

	// Status is the HTTP status of the answer, or 0 if there was none.
	Status int

	// Header is the header of the answer.
	Header http.Header

	// Errors is what the answer says is wrong, empty on success.
	Errors []*Error

	// Err is why the connection was cut, or what failed in the registry where
	// the answer is 500; nil otherwise.
	Err error

	// BytesIn and BytesOut are how many bytes of the request's body were read
	// and of the answer's body were written.
	BytesIn, BytesOut int64

	// Start is when the request arrived, and Duration how long it took.
	Start    time.Time
	Duration time.Duration

	// Fault is what went wrong on purpose (see [WithFaults]), or nil.
	Fault *Fault
}

// responseWriter notes what is written through it.
type responseWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status < 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status < 200 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps open the way by which the operating system sends a file.
func (w *responseWriter) ReadFrom(src io.Reader) (int64, error) {
	if w.status < 200 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, src)
	w.bytes += n
	return n, err
}

// Unwrap is for [http.ResponseController].
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// countingBody counts the bytes of a request's body as they are read.
type countingBody struct {
	io.ReadCloser
	bytes int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	return n, err
}
