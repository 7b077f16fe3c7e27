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

// A Fault is a failure that a test injects into a request, see [WithFaults].
// The zero Fault does nothing. The fields are in the order in which they take
// effect, and combine.
//
// With a fault, every write of an operation is sent at once, so that the bytes
// before a cut or a stall reach the client.
type Fault struct {
	// Name describes the fault in records.
	Name string

	// Quirk says that the fault is the behaviour of a real registry, and not a
	// failure. Serve then responds once the request has been authenticated and
	// authorized, and only if its URL is valid; records do not have the fault.
	// Operations that require no permission get the response of Serve at once.
	Quirk bool

	// Before is called before the request is served. It may wait, as long as
	// it returns when the context of the request is done. It may change the
	// request; recorders still get the request as it arrived. If it changes the
	// query of a request for an upload, the registry parses that again: without
	// mount, MountBlob becomes StartUpload. If Before returns an error, the
	// registry responds with that and skips the operation.
	//
	// Before may put another body into the request. If reading it returns a
	// [ConnectionEnd], the connection ends there. The operation handles any
	// other error: an upload takes it for a client that went away.
	Before func(r *Request) error

	// LoseUpload makes the registry forget the upload session of the request,
	// as if it had expired.
	LoseUpload bool

	// Duplicate carries out the operation twice, as if the request had arrived
	// twice. The first response is dropped. The body of the request is kept in
	// memory.
	Duplicate bool

	// AfterCommit carries out the operation and drops its response. The
	// response comes from Serve instead. If the operation fails, its own
	// response is sent.
	AfterCommit bool

	// Serve responds instead of the operation. If it returns an error, the
	// registry responds with that, or ends the connection if it is a
	// [ConnectionEnd]. If Serve is nil, the operation responds; with
	// AfterCommit, the connection is closed instead.
	Serve Handler

	// Header changes the header of the response before it is sent, and returns
	// the status to send. It may wait as Before may; an operation that writes
	// has been carried out by then.
	Header func(status int, header http.Header) int

	// Body wraps the writer of the response's body. Size is the Content-Length
	// as Header left it, or -1 if there is none. The writer that Body returns
	// may change, delay, drop or add bytes; if it is an [io.Closer], it is
	// closed after the last of them. If Write or Close returns a
	// [ConnectionEnd], the connection ends there. The Content-Length stays:
	// bytes beyond it are not sent, and the connection is closed if the body
	// is shorter.
	Body func(w io.Writer, size int64) io.Writer

	// Wire wraps the writer of the whole response, status line and header
	// included. It bypasses net/http: the response may be malformed, its
	// Content-Length may be wrong, and the registry notices a client that went
	// away only when it writes. The connection is closed after the response.
	// With HTTP/2, and where the [http.ResponseWriter] is no [http.Hijacker],
	// Wire wraps the writer of the body only.
	Wire func(w io.Writer) io.Writer

	// mixed says that the fault is a combination with one that is no quirk.
	mixed bool
}

// A ConnectionEnd is a way to end a connection on purpose. It is an error, so
// that the functions of a [Fault] can return it. With HTTP/2, and where the
// [http.ResponseWriter] does not give access to the connection, each of them
// resets the stream or aborts the handler, as [http.ErrAbortHandler] does.
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

// Error says how the connection was ended.
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

// serveFaulty serves the request, with the faults that the injectors return for
// it.
func (h *handler) serveFaulty(w *responseWriter, r *Request) error {
	if h.inject(r); r.fault == nil {
		return respond(h.serve, w, r)
	}
	// Recorders get the request as it arrived.
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

// serveWith serves the request with the fault of w.
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

// serveOnceMore carries out the operation of the request and drops the response.
// The request can be served again. Reading its body may end the connection.
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

// An endedBody is a body that was read before, with the error at its end.
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
