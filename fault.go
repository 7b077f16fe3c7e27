package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"strconv"
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
	//
	// Before may put another body into the request. If reading it returns a
	// [ConnectionEnd], the connection ends there. The operation handles any
	// other error: an upload takes it for a client that went away.
	Before func(r *Request) error

	// LoseUpload has the registry forget the upload session that the request
	// names, as if it had expired.
	LoseUpload bool

	// AfterCommit has the operation carried out, without its answer being
	// sent: what the client asked for was done, but what it is told is left to
	// Serve. If the operation fails, its own answer is sent instead.
	AfterCommit bool

	// Serve answers in place of the operation. If it returns an error, the
	// response reports that, or the connection ends if it is a
	// [ConnectionEnd]. If Serve is nil, the operation answers; with
	// AfterCommit, the connection is closed instead.
	Serve Handler

	// Header changes the header of the answer before it is sent, and returns
	// the status to send. It may wait as Before may: what an operation that
	// writes was asked for is done by then.
	Header func(status int, header http.Header) int

	// Body wraps the writer of the response's body. Size is the Content-Length
	// as Header left it, or -1 if there is none. The writer that Body returns
	// may change, delay, drop or add bytes; if it is an [io.Closer], it is
	// closed after the last of them. If Write or Close returns a
	// [ConnectionEnd], the connection ends there. The Content-Length stays:
	// bytes beyond it are not sent, and the connection is closed if the body
	// is shorter.
	Body func(w io.Writer, size int64) io.Writer

	// Wire wraps what the whole answer is written to, status line and header
	// included, and takes net/http out of the way: nothing checks that the
	// answer is well-formed or its Content-Length true. The connection is
	// closed after the answer, and that the client went away is found out by
	// writing to it alone. HTTP/2 knows no such thing: there, and where the
	// [http.ResponseWriter] is no [http.Hijacker], Wire wraps the body only.
	Wire func(w io.Writer) io.Writer
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
	changed.Request = r.Request.Clone(r.Context())
	fw := &faultWriter{to: w, request: &changed, fault: r.fault}
	err := fw.finish(h.serveWith(fw, &changed))
	r.User, r.Scope = changed.User, changed.Scope
	if w.status != 0 {
		r.told = changed.told
	}
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
		r.Body = faultBody{r.Body, w}
	}
	if f.LoseUpload {
		h.loseUpload(r)
	}
	if f.Serve != nil {
		serve = f.Serve
	}
	if f.AfterCommit {
		done := &commitWriter{ResponseWriter: w, header: w.Header().Clone()}
		if err := answer(h.serve, &responseWriter{ResponseWriter: done}, r); err != nil || done.failed {
			return err
		}
		if f.Serve == nil {
			serve = func(http.ResponseWriter, *Request) error { return CloseConnection }
		}
	}
	return answer(serve, &responseWriter{ResponseWriter: w}, r)
}

// commitWriter drops the answer of an operation, unless it failed.
type commitWriter struct {
	http.ResponseWriter
	header http.Header
	failed bool
}

func (w *commitWriter) Header() http.Header {
	if w.failed {
		return w.ResponseWriter.Header()
	}
	return w.header
}

func (w *commitWriter) WriteHeader(status int) {
	if status < 400 {
		return
	}
	w.failed = true
	maps.Copy(w.ResponseWriter.Header(), w.header)
	w.ResponseWriter.WriteHeader(status)
}

func (w *commitWriter) Write(p []byte) (int, error) {
	if w.failed {
		return w.ResponseWriter.Write(p)
	}
	return len(p), nil
}

// faultBody tells the writer of the answer where the connection is to end
// while the body of the request is read.
type faultBody struct {
	io.ReadCloser
	w *faultWriter
}

func (b faultBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if isEnd(err) {
		b.w.note(err)
	}
	return n, err
}

// faultWriter sends an answer as its fault has it.
type faultWriter struct {
	to      *responseWriter
	request *Request
	fault   *Fault

	conn net.Conn  // the connection, once it was taken from net/http
	body io.Writer // nil before the header is written
	err  error     // the first that ends the answer
}

func (w *faultWriter) Header() http.Header { return w.to.Header() }

func (w *faultWriter) WriteHeader(status int) {
	if w.body != nil || w.err != nil {
		return
	}
	if status < 200 {
		w.to.WriteHeader(status)
		return
	}
	f := w.fault
	if f.Header != nil {
		status = f.Header(status, w.Header())
	}
	if f.Wire != nil && w.hijack() == nil {
		wire := f.Wire(w.conn)
		w.to.status = status
		w.note(writeHeader(wire, status, w.Header()))
		w.body = &counting{wire, &w.to.bytes}
	} else {
		w.to.WriteHeader(status)
		w.body = &flushing{w.to, w.room(status)}
		if f.Wire != nil {
			w.body = f.Wire(w.body)
		}
		if f.Body != nil {
			flush(w.to)
		}
	}
	if f.Body != nil {
		w.body = f.Body(w.body, w.size())
	}
}

// size returns the Content-Length of the response, or -1 if there is none.
func (w *faultWriter) size() int64 {
	if n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
		return n
	}
	return -1
}

// room returns how many bytes of a body net/http takes.
func (w *faultWriter) room(status int) int64 {
	if w.request.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		return 0
	}
	if n := w.size(); n >= 0 {
		return n
	}
	return math.MaxInt64
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
	if cut := errors.As(err, new(cutError)); !cut {
		if c, ok := w.body.(io.Closer); ok && w.err == nil {
			w.note(c.Close())
		}
		if w.err != nil {
			err = cutError{errors.Join(err, w.err)}
		}
	}
	switch {
	case errors.Is(err, ResetConnection) && w.hijack() == nil:
		reset(w.conn)
	case errors.Is(err, HalfCloseConnection) && w.hijack() == nil:
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

// reset closes a connection with a TCP RST, and without a farewell of TLS.
func reset(conn net.Conn) {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	if c, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		c.SetLinger(0)
	}
	conn.Close()
}

// flushing sends every write at once, up to so many bytes.
type flushing struct {
	to   *responseWriter
	room int64
}

func (w *flushing) Write(p []byte) (int, error) {
	taken := p[:min(int64(len(p)), w.room)]
	w.room -= int64(len(taken))
	if len(taken) == 0 {
		return len(p), nil
	}
	if n, err := w.to.Write(taken); err != nil {
		return n, err
	}
	return len(p), flush(w.to)
}

func flush(w http.ResponseWriter) error {
	err := http.NewResponseController(w).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
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
