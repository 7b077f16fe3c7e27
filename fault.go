package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/ocireg/registry/internal/conn"
)

// A Fault is a failure that a test injects into a request, see [WithFaults]. The
// zero Fault does nothing. The fields can be combined; they take effect in the
// order in which they are declared.
//
// With a fault, each write of an operation is sent to the client at once, so
// that the bytes before a cut or a stall arrive.
type Fault struct {
	// Name describes the fault in records.
	Name string

	// Quirk marks a fault that is the behaviour of a real registry, and not a
	// failure. Serve then responds only if the URL of the request is valid and
	// after the request has been authenticated and authorized. If the operation
	// requires no permission, Serve responds without these checks. Records do not
	// show the fault.
	Quirk bool

	// Before is called before the request is served. It may wait, but must return
	// when the context of the request is done. It may change the request;
	// recorders still get the request as it arrived. If it changes the query of a
	// request for an upload, the registry parses the query again: without the
	// parameter mount, for example, MountBlob becomes StartUpload. If Before
	// returns an error, the registry responds with the error and skips the
	// operation.
	//
	// Before may replace the body of the request. If reading the new body returns
	// a [ConnectionEnd], the connection ends there. The operation handles any
	// other error: an upload treats it like a client that has disconnected.
	Before func(r *Request) error

	// LoseUpload makes the registry forget the upload session of the request, like
	// a session that has expired.
	LoseUpload bool

	// Duplicate carries out the operation twice, like two requests in a row, and
	// drops the first response. The registry keeps the body of the request in
	// memory.
	Duplicate bool

	// AfterCommit carries out the operation, drops its response, and lets Serve
	// respond instead. If the operation fails, the client gets its response.
	AfterCommit bool

	// Serve responds instead of the operation. If it returns a [ConnectionEnd],
	// the connection ends; if it returns another error, the registry responds with
	// the error. If Serve is nil, the operation responds; with AfterCommit, the
	// connection is closed instead.
	Serve Handler

	// Header changes the header of the response before the header is sent, and
	// returns the status to send. Like Before, it may wait. By then, an operation
	// that writes has changed the store.
	Header func(status int, header http.Header) int

	// LastHeader is called after Header, just before the header is sent. If
	// several faults combine, see [Fault.Over], it is called after the Header of
	// each of them. It may set a Content-Length that is not the length of the body.
	// If it returns an error, such as a [ConnectionEnd], the connection ends without
	// a response.
	LastHeader func(header http.Header) error

	// Body wraps the writer of the response's body. Size is the Content-Length
	// that the header has after Header, or -1 if it has none. The writer that Body
	// returns may change, delay, drop or add bytes. If it is an [io.Closer], the
	// registry closes it after the last byte. If Write or Close returns an error,
	// such as a [ConnectionEnd], the connection ends there. The Content-Length
	// stays: bytes beyond it are not sent, and the connection is closed if the body
	// is shorter.
	Body func(w io.Writer, size int64) io.Writer

	// Wire wraps the writer of the whole response, with status line and header. It
	// bypasses net/http: the response may be malformed, its Content-Length may be
	// wrong, and the registry notices only at a write that the client has
	// disconnected. The connection is closed after the response. With HTTP/2, and
	// if the [http.ResponseWriter] does not implement [http.Hijacker], Wire wraps
	// only the writer of the body.
	Wire func(w io.Writer) io.Writer

	// mixed is set if the fault combines several and one of them is not a quirk.
	mixed bool
}

// A ConnectionEnd is a way to end a connection on purpose. It is an error, so
// that the functions of a [Fault] can return it. With HTTP/2, and if the
// [http.ResponseWriter] does not give access to the connection, each
// ConnectionEnd resets the stream or aborts the handler, as
// [http.ErrAbortHandler] does.
type ConnectionEnd uint8

const (
	// CloseConnection closes the connection.
	CloseConnection ConnectionEnd = iota + 1

	// ResetConnection resets the connection: the client gets a TCP RST.
	ResetConnection

	// HalfCloseConnection closes the connection for writing and reads on until
	// the client closes it.
	HalfCloseConnection
)

// Error describes how the connection was ended.
func (e ConnectionEnd) Error() string {
	switch e {
	case CloseConnection:
		return "connection closed on purpose"
	case ResetConnection:
		return "connection reset on purpose"
	case HalfCloseConnection:
		return "connection half closed on purpose"
	}
	return fmt.Sprintf("connection end %d", uint8(e))
}

// isEnd reports whether err ends the connection on purpose.
func isEnd(err error) bool { return errors.As(err, new(ConnectionEnd)) }

// serveFaulty injects the faults that the injectors return for the request, and
// serves the request.
func (h *handler) serveFaulty(w *responseWriter, r *Request) error {
	if h.inject(r); r.fault == nil {
		return respond(h.serve, w, r)
	}
	// Change a copy, because recorders get the request as it arrived.
	changed := *r
	changed.Request = r.Request.Clone(r.Context())
	before := r.notes
	changed.notes = slices.Clip(before)
	fw := &faultWriter{to: w, request: &changed, fault: r.fault}
	finished := false
	defer func() {
		r.User, r.Scope = changed.User, changed.Scope
		r.notes = append(r.notes, changed.notes[len(before):]...)
		if w.Status != 0 {
			r.errors = changed.errors
		}
		if !finished && fw.conn != nil {
			fw.conn.Close() // After a panic, net/http does not close a hijacked connection.
		}
	}()
	err := fw.finish(h.serveWith(fw, &changed))
	finished = true
	return err
}

// serveWith serves the request with the effects of the fault of w.
func (h *handler) serveWith(w *faultWriter, r *Request) error {
	f, serve := w.fault, h.serve
	if f.Before != nil {
		query := r.URL.RawQuery
		if err := f.Before(r); err != nil {
			serve = func(http.ResponseWriter, *Request) error { return err }
			return respond(serve, &responseWriter{Writer: conn.Writer{ResponseWriter: w}}, r)
		}
		if r.URL.RawQuery != query {
			r.parseUploadAgain()
		}
		r.Body = faultBody{r.Body, w}
	}
	if f.LoseUpload {
		if err := h.loseUpload(r); err != nil {
			serve = func(http.ResponseWriter, *Request) error { return err }
			return respond(serve, &responseWriter{Writer: conn.Writer{ResponseWriter: w}}, r)
		}
	}
	if f.Duplicate {
		if err := h.serveOnceMore(w, r); err != nil {
			return err
		}
	}
	if f.Serve != nil && !f.servesPermitted(r) {
		serve = f.Serve
	}
	if f.AfterCommit {
		done := &commitWriter{ResponseWriter: w, header: w.Header().Clone()}
		if err := respond(h.serve, &responseWriter{Writer: conn.Writer{ResponseWriter: done}}, r); err != nil || done.failed {
			return err
		}
		if f.Serve == nil {
			serve = func(http.ResponseWriter, *Request) error { return CloseConnection }
		}
	}
	return respond(serve, &responseWriter{Writer: conn.Writer{ResponseWriter: w}}, r)
}

// serveOnceMore carries out the operation of the request, drops the response,
// and leaves a request that can be served again. It returns an error if the body
// or the operation ends the connection.
func (h *handler) serveOnceMore(w *faultWriter, r *Request) error {
	body, err := io.ReadAll(r.Body)
	if isEnd(err) {
		return cutError{err}
	}
	first := *r
	first.Request = r.Request.Clone(r.Context())
	first.Body = &endedBody{bytes.NewReader(body), err}
	r.Body = &endedBody{bytes.NewReader(body), err}
	dropped := &commitWriter{ResponseWriter: w, header: w.Header().Clone(), drops: true}
	err = respond(h.serve, &responseWriter{Writer: conn.Writer{ResponseWriter: dropped}}, &first)
	if errors.As(err, new(cutError)) {
		return err
	}
	return nil
}

// An endedBody yields the bytes of a body that was read before, and then the
// error with which that body ended.
type endedBody struct {
	read *bytes.Reader
	err  error
}

func (b *endedBody) Read(p []byte) (int, error) {
	n, err := b.read.Read(p)
	if err == io.EOF && b.err != nil {
		err = b.err
	}
	return n, err
}

func (*endedBody) Close() error { return nil }
