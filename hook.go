package registry

import (
	"net/http"
	"time"
)

// A Handler serves one request. If it returns an error, the registry responds
// with the error. An [*Error] decides the response itself. Any other error has the
// status 500, or 405 if it wraps [errors.ErrUnsupported]. If the response has
// already begun, the registry cuts the connection instead.
//
// The writer is an [http.Flusher].
type Handler func(w http.ResponseWriter, r *Request) error

// A Recorder is told of every request that arrives at a registry, and of every
// response (see [WithRecorder]). The goroutine that serves the request calls
// both methods, so calls for different requests are concurrent.
type Recorder interface {
	// Arrive is called when the registry has parsed the request, before anything
	// else happens. It must not modify the request or read its body.
	Arrive(*Request)

	// Record is called exactly once for each request that has arrived, however
	// serving it ended. If it ended with a panic or with [runtime.Goexit],
	// [Exchange.Err] says so. [Exchange.Request] is the pointer that Arrive got.
	Record(*Exchange)
}

// A RecorderFunc is a [Recorder] that ignores arrivals.
type RecorderFunc func(*Exchange)

// Arrive does nothing.
func (f RecorderFunc) Arrive(*Request) {}

// Record calls f.
func (f RecorderFunc) Record(x *Exchange) { f(x) }

// An Exchange is a request and its response, as the registry passes them to a
// [Recorder]. The recorder must not modify it or read the request's body.
type Exchange struct {
	// Request is the request as it arrived.
	Request *Request

	// Status is the HTTP status of the response, or 0 if there was none.
	Status int

	// Header is the header with which the response was sent.
	Header http.Header

	// Errors are the errors in the response's body.
	Errors []*Error

	// Err is nil unless serving the request failed. It is the reason for which the
	// connection was cut, the failure of the registry if the status is 500, or an
	// error that describes the panic or the [runtime.Goexit] that ended the
	// request. If the value of the panic was an error, such as
	// [http.ErrAbortHandler], Err wraps it.
	Err error

	// BytesIn is the number of bytes that were read from the request's body.
	// BytesOut is the number of bytes that were written to the response's body.
	BytesIn, BytesOut int64

	// Start is the time at which the request arrived. Duration is the time from
	// then until the response ended.
	Start    time.Time
	Duration time.Duration

	// Fault is the fault that was injected (see [WithFaults]), or nil. It is also
	// nil if the fault is a quirk, see [Fault.Quirk].
	Fault *Fault

	// Notes are the texts that hooks added with [Request.Note], in order.
	Notes []string
}
