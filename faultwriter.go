package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/ocireg/registry/internal/conn"
)

// A commitWriter drops the response of an operation that succeeds. It passes the
// response on if the operation fails, unless drops is set.
type commitWriter struct {
	http.ResponseWriter
	header http.Header
	failed bool
	drops  bool // whether to drop the response of a failed operation too
}

func (w *commitWriter) Header() http.Header {
	if w.failed {
		return w.ResponseWriter.Header()
	}
	return w.header
}

func (w *commitWriter) WriteHeader(status int) {
	if status < 400 || w.drops {
		return
	}
	w.failed = true
	h := w.ResponseWriter.Header()
	for name, values := range w.header {
		h[name] = values
	}
	w.ResponseWriter.WriteHeader(status)
}

// FlushError does nothing, because the response is dropped, or so short that it
// needs no flush.
func (w *commitWriter) FlushError() error { return nil }

// Unwrap lets [http.ResponseController] set deadlines.
func (w *commitWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *commitWriter) Write(p []byte) (int, error) {
	if w.failed {
		return w.ResponseWriter.Write(p)
	}
	return len(p), nil
}

// A faultBody is the body of a request. If reading the body returns a
// [ConnectionEnd], it makes the writer of the response end the connection.
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

// A faultWriter writes a response and gives it the effects of a fault.
type faultWriter struct {
	to      *responseWriter
	request *Request
	fault   *Fault

	conn net.Conn  // the connection that was hijacked from net/http, or nil
	body io.Writer // nil until the header is written
	err  error     // the first error that ends the response
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
	size := w.size()
	if f.LastHeader != nil {
		if err := f.LastHeader(w.Header()); err != nil {
			w.note(err)
			return
		}
	}
	if f.Wire != nil && w.hijack() == nil {
		wire := f.Wire(w.conn)
		w.to.Status = status
		w.note(writeHeader(wire, status, w.Header()))
		w.body = &counting{wire, &w.to.bytes}
	} else {
		if !hasBody(status) {
			w.Header().Del("Content-Length") // With HTTP/2, net/http would send the Content-Length.
			size = -1
		}
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
		w.body = f.Body(w.body, size)
	}
}

// size returns the Content-Length of the response, or -1 if there is none.
func (w *faultWriter) size() int64 {
	if n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
		return n
	}
	return -1
}

// room returns the number of bytes that net/http accepts for the body of the
// response.
func (w *faultWriter) room(status int) int64 {
	if w.request.Method == http.MethodHead || !hasBody(status) {
		return 0
	}
	if n := w.size(); n >= 0 {
		return n
	}
	return math.MaxInt64
}

// hasBody reports whether a response with the status may have a body.
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// writeHeader writes the status line and the header of a response. The header
// announces that the connection is closed after the response.
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

// Unwrap lets [http.ResponseController] set deadlines.
func (w *faultWriter) Unwrap() http.ResponseWriter { return w.to }

// FlushError sends the header. The body needs no flush, because every write is
// sent at once.
func (w *faultWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if w.err != nil || w.conn != nil {
		return w.err
	}
	return flush(w.to)
}

// note keeps the first error of the response, because some writers of a response
// ignore errors.
func (w *faultWriter) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

// hijack takes the connection from net/http, unless that was done before.
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

// finish completes the response after the handler returns err. If the fault
// ends the connection, finish ends it. If the client gets no complete response,
// the result is a [cutError].
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

// reset closes a connection by a TCP RST, without a close_notify of TLS.
func reset(c net.Conn) { conn.AbortOnClose(c).Close() }

// A flushing writer sends each write to the client at once. The field room is
// the number of bytes that net/http still accepts; the writer drops the rest.
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

// A counting writer counts the bytes that are written through it.
type counting struct {
	io.Writer
	n *int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	*c.n += int64(n)
	return n, err
}
