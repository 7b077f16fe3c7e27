package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A Fault is something that goes wrong with a request on purpose, see
// [WithFaults]. The zero Fault does nothing. The fields are in the order in
// which they take effect, and combine.
//
// What an operation writes while a fault is set is sent at once, so that what
// comes before a cut or a stall reaches the client.
type Fault struct {
	// Name says what the fault is, for those who read a record of it.
	Name string

	// Before is called before the request is served. It may wait, as long as
	// it ends when the context of the request is done, and it may change the
	// request; recorders are still given the request as it arrived. If it
	// returns an error, that is answered in place of the operation.
	Before func(r *Request) error

	// LoseUpload has the registry forget the upload session that the request
	// names, as if it had expired.
	LoseUpload bool

	// AfterCommit has the operation carried out, without its answer being
	// sent: the client is told of a failure by Serve, but what it asked for
	// was done.
	AfterCommit bool

	// Serve answers in place of the operation. An error that it returns is
	// answered, or ends the connection if it is [ErrClose], [ErrReset] or
	// [ErrHalfClose].
	Serve Handler

	// Header changes the header of the answer before it is sent, and returns
	// the status to send.
	Header func(status int, header http.Header) int

	// Body wraps what the body of the answer is written to. It may change,
	// delay, drop or add bytes; if it returns an [io.Closer], that is closed
	// after the last of them. If Write or Close return [ErrClose], [ErrReset]
	// or [ErrHalfClose], the connection ends there. The Content-Length stays
	// as Header left it; net/http holds back what goes beyond it, and closes
	// the connection when a body stays below it.
	Body func(w io.Writer) io.Writer

	// Wire wraps what the whole answer is written to, status line and header
	// included, and takes net/http out of the way: nothing checks that the
	// answer is well-formed or its Content-Length true. The connection is
	// closed after the answer. HTTP/2 knows no such thing: there, and where
	// the [http.ResponseWriter] is no [http.Hijacker], Wire wraps the body
	// only.
	Wire func(w io.Writer) io.Writer
}

// How a [Fault] ends a connection. Under HTTP/2, and where the connection
// cannot be had from the [http.ResponseWriter], all of them reset the stream
// or abort the handler, as [http.ErrAbortHandler] does.
var (
	// ErrClose closes the connection.
	ErrClose = errors.New("connection closed on purpose")

	// ErrReset resets the connection: the client gets a TCP RST.
	ErrReset = errors.New("connection reset on purpose")

	// ErrHalfClose closes the connection for writing and goes on reading until
	// the client closes it.
	ErrHalfClose = errors.New("connection half closed on purpose")
)

// isEnd reports whether err is how a fault ends a connection.
func isEnd(err error) bool {
	return errors.Is(err, ErrClose) || errors.Is(err, ErrReset) || errors.Is(err, ErrHalfClose)
}

// serveFaulty answers the request, with the fault that an injector has for it.
func (h *handler) serveFaulty(w *responseWriter, r *Request) error {
	for _, inject := range h.injectors {
		if r.fault = inject(r); r.fault != nil {
			break
		}
	}
	if r.fault == nil {
		return answer(h.serve, w, r)
	}
	// Recorders get the request as it was.
	changed := *r
	fw := &faultWriter{to: w, request: &changed, fault: r.fault}
	err := fw.finish(h.serveWith(fw, &changed))
	r.told = changed.told
	return err
}

// serveWith answers the request with the fault.
func (h *handler) serveWith(w *faultWriter, r *Request) error {
	f, serve := w.fault, h.serve
	if f.Before != nil {
		if err := f.Before(r); err != nil {
			serve = func(http.ResponseWriter, *Request) error { return err }
			return answer(serve, &responseWriter{ResponseWriter: w}, r)
		}
	}
	if f.LoseUpload {
		h.loseUpload(r)
	}
	if f.AfterCommit {
		if err := answer(serve, &responseWriter{ResponseWriter: nowhere{make(http.Header)}}, r); err != nil {
			return err
		}
		r.told = nil
	}
	if f.Serve != nil {
		serve = f.Serve
	}
	return answer(serve, &responseWriter{ResponseWriter: w}, r)
}

// nowhere is where the answer of an operation goes that was carried out but is
// not told to the client.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }

// faultWriter sends an answer as its fault has it.
type faultWriter struct {
	to      *responseWriter
	request *Request
	fault   *Fault

	conn net.Conn  // the connection, once it was taken from net/http
	body io.Writer // nil before the header is written
	err  error     // the first error of a write
}

func (w *faultWriter) Header() http.Header { return w.to.Header() }

func (w *faultWriter) WriteHeader(status int) {
	if status < 200 {
		w.to.WriteHeader(status)
		return
	}
	if w.body != nil {
		return
	}
	f := w.fault
	if f.Header != nil {
		status = f.Header(status, w.Header())
	}
	switch {
	case f.Wire == nil:
		w.to.WriteHeader(status)
		w.body = flushing{w.to}
	case w.hijack() != nil:
		w.to.WriteHeader(status)
		w.body = f.Wire(flushing{w.to})
	default:
		wire := f.Wire(w.conn)
		w.to.status = status
		w.note(writeHeader(wire, status, w.Header()))
		w.body = &counting{wire, &w.to.bytes}
	}
	if f.Body != nil {
		w.body = f.Body(w.body)
	}
}

// writeHeader writes the status line and the header of an answer that is the
// last on its connection.
func writeHeader(wire io.Writer, status int, header http.Header) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	header.Set("Connection", "close")
	if header.Get("Date") == "" {
		header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	header.Write(&text)
	text.WriteString("\r\n")
	_, err := wire.Write(text.Bytes())
	return err
}

func (w *faultWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.body.Write(p)
	w.note(err)
	return n, err
}

// note keeps the first error: some that write an answer drop it.
func (w *faultWriter) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

// hijack takes the connection from net/http.
func (w *faultWriter) hijack() error {
	if w.conn != nil {
		return nil
	}
	conn, buffered, err := http.NewResponseController(w.to).Hijack()
	if err != nil {
		return err
	}
	w.conn = conn
	return buffered.Flush()
}

// finish completes the answer that err came of, and ends the connection if
// that is to be. The error that it returns is to cut what has not ended yet.
func (w *faultWriter) finish(err error) error {
	if c, ok := w.body.(io.Closer); ok && err == nil && w.err == nil {
		w.note(c.Close())
	}
	if err == nil && w.err != nil {
		err = cutError{w.err}
	}
	switch {
	case errors.Is(err, ErrReset) && w.hijack() == nil:
		conn := w.conn
		if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = c.NetConn()
		}
		if c, ok := conn.(interface{ SetLinger(int) error }); ok {
			c.SetLinger(0)
		}
		conn.Close()
	case errors.Is(err, ErrHalfClose) && w.hijack() == nil:
		if c, ok := w.conn.(interface{ CloseWrite() error }); ok {
			defer context.AfterFunc(w.request.Context(), func() { w.conn.Close() })()
			c.CloseWrite()
			io.Copy(io.Discard, w.conn)
		}
	}
	if w.conn != nil {
		w.conn.Close()
	}
	return err
}

// flushing sends every write at once.
type flushing struct{ *responseWriter }

func (w flushing) Write(p []byte) (int, error) {
	n, err := w.responseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(w.responseWriter).Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	return n, err
}

// counting counts the bytes that are written through it.
type counting struct {
	io.Writer
	n *int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	*c.n += int64(n)
	return n, err
}
