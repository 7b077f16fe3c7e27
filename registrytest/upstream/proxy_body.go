package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// A body is the body of a request. Once end has returned, reads fail: the
// transport may still try to read.
type body struct {
	from   io.Reader
	writer http.ResponseWriter

	mu      sync.Mutex
	changed sync.Cond
	reading bool // whether a call of Read is running
	ended   bool
	n       int64 // the bytes that were read
	err     error // of reading
}

func newBody(from io.Reader, w http.ResponseWriter) *body {
	b := &body{from: from, writer: w}
	b.changed.L = &b.mu
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.from.Read(p)
	b.mu.Lock()
	b.reading = false
	b.n += int64(n)
	if err != nil && err != io.EOF && !b.ended {
		b.err = err
	}
	b.changed.Signal()
	return n, err
}

// Close interrupts a call of Read that is running. The transport calls it when it
// needs no more of the body. The server closes the body itself.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt()
	return nil
}

// interrupt makes calls of Read return. The caller holds the lock.
func (b *body) interrupt() {
	if b.reading && !b.ended {
		// The upstream has responded before it got all of the body, and the client
		// may not send the rest before it has the end of that response.
		http.NewResponseController(b.writer).SetReadDeadline(time.Unix(1, 0))
	}
	b.ended = true
}

// end makes the running call of Read and all later ones fail.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt()
	for b.reading {
		b.changed.Wait()
	}
}

// failed returns the error that ended the body early, or nil.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// size returns the number of bytes that were read.
func (b *body) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// A responseWriter sends each part of the body as it arrives, and notes why the
// response does not reach the client.
//
// [httputil.ReverseProxy] can flush the parts itself. It uses a timer, and
// waits for a lock while the client does not read, so time would stand still in
// a bubble of testing/synctest.
type responseWriter struct {
	http.ResponseWriter
	left int64 // the bytes of the body to come, or -1 if unknown
	err  error
}

func (w *responseWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	if status >= 200 && (w.left < 0 || w.left > bufferSize) {
		w.flush()
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if w.left > 0 {
		w.left -= int64(n)
	}
	if err == nil && w.left != 0 {
		err = w.flush() // The server sends the end by itself.
	}
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

func (w *responseWriter) flush() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// Unwrap is for [http.ResponseController].
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A responseBody notes why the upstream ends its response early.
type responseBody struct {
	io.ReadCloser
	passage *passage
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.passage.readErr = err
	}
	return n, err
}

// bufferSize is the size of the buffers for bodies of responses.
const bufferSize = 64 << 10

// buffers implements [httputil.BufferPool].
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
