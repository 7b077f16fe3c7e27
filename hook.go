package registry

import (
	"context"
	"errors"
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

	// Err is why serving the request failed, if the registry, a fault or the
	// client going away was the reason; nil otherwise.
	Err error

	// BytesIn and BytesOut are how many bytes of the request's body were read
	// and of the answer's body were written.
	BytesIn, BytesOut int64

	// Start is when the request arrived, and Duration how long it took.
	Start    time.Time
	Duration time.Duration

	// Fault is what went wrong on purpose, or nil.
	Fault *Fault
}

// A Fault is something that goes wrong with a request on purpose. What is set
// happens, in the order of the fields; the zero Fault does nothing.
type Fault struct {
	// Delay is how long to wait before the request is served. The wait ends
	// early when the client goes away.
	Delay time.Duration

	// AfterCommit has the operation carried out, and its answer dropped,
	// before Err or Abort happens: the client is told of a failure, but what
	// it asked for was done.
	AfterCommit bool

	// Abort cuts the connection without an answer.
	Abort bool

	// Err is answered in place of the operation: an [*Error] as it is, any
	// other with 500.
	Err error

	// Header changes the header of the answer. A key with no values is
	// removed.
	Header http.Header

	// Truncate cuts the connection after this many bytes of the answer's body,
	// if it is greater than 0.
	Truncate int64
}

// errInjected is why a connection was cut on purpose.
var errInjected = errors.New("fault injected")

// serveFaulty answers the request, with the fault that an injector has for it.
func (h *handler) serveFaulty(w *responseWriter, r *Request) error {
	for _, inject := range h.injectors {
		if r.fault = inject(r); r.fault != nil {
			break
		}
	}
	f := r.fault
	if f == nil {
		return h.answer(w, r)
	}
	if f.Delay > 0 {
		if err := sleep(r.Context(), f.Delay); err != nil {
			return cutError{err}
		}
	}
	if f.AfterCommit {
		if err := h.answer(&responseWriter{ResponseWriter: nowhere{make(http.Header)}}, r); err != nil {
			return err
		}
	}
	if f.Abort {
		return cutError{errInjected}
	}
	w = &responseWriter{ResponseWriter: &faultyWriter{ResponseWriter: w, fault: f}}
	if f.Err != nil {
		return r.fail(w, f.Err)
	}
	return h.answer(w, r)
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nowhere is where the answer of an operation goes that was carried out but is
// not told to the client.
type nowhere struct{ header http.Header }

func (d nowhere) Header() http.Header         { return d.header }
func (d nowhere) WriteHeader(int)             {}
func (d nowhere) Write(p []byte) (int, error) { return len(p), nil }

// faultyWriter changes an answer as its fault says.
type faultyWriter struct {
	http.ResponseWriter
	fault   *Fault
	started bool
	written int64
}

func (w *faultyWriter) WriteHeader(status int) {
	if !w.started && status >= 200 {
		w.started = true
		for k, v := range w.fault.Header {
			if len(v) == 0 {
				w.Header().Del(k)
			} else {
				w.Header()[http.CanonicalHeaderKey(k)] = v
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	limit := w.fault.Truncate
	if limit <= 0 || w.written+int64(len(p)) <= limit {
		n, err := w.ResponseWriter.Write(p)
		w.written += int64(n)
		return n, err
	}
	n, err := w.ResponseWriter.Write(p[:limit-w.written])
	w.written += int64(n)
	if err == nil {
		err = cutError{errInjected}
	}
	return n, err
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
