package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// A body is the body of a client's request. The transport of the Proxy may still
// read it when the server no longer permits that, so reads fail after end has
// returned.
type body struct {
	from   io.Reader
	writer http.ResponseWriter

	mu      sync.Mutex // guards the fields below
	changed sync.Cond
	reading bool // whether a Read is running
	ended   bool
	n       int64 // number of bytes read
	err     error // error that ended the body early, or nil
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

// Close interrupts a running Read. The transport calls it when it needs no more
// of the body. The server closes the request body itself.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt()
	return nil
}

// interrupt makes the running Read and later ones return. The caller holds b.mu.
func (b *body) interrupt() {
	if b.reading && !b.ended {
		// The upstream responded early, and the client may wait for the
		// whole response before it sends the rest of the body.
		http.NewResponseController(b.writer).SetReadDeadline(time.Unix(1, 0))
	}
	b.ended = true
}

// end interrupts a running Read, waits for it, and makes later ones fail.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt()
	for b.reading {
		b.changed.Wait()
	}
}

// failed returns the read error that ended the body early, or nil.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// size returns the number of bytes read.
func (b *body) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// A responseWriter sends each part of a response body as it arrives from the
// upstream, and stores the error if a part cannot be sent to the client.
//
// Its method Write flushes. Otherwise [httputil.ReverseProxy] would flush, with a
// timer and a lock: while the client does not read, the timer would wait for the
// lock, and time would stand still in a bubble of testing/synctest.
type responseWriter struct {
	http.ResponseWriter
	left int64 // bytes of the body to come, or -1 if unknown
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
		err = w.flush() // the server flushes the last part itself
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

// Unwrap returns the underlying writer, for [http.ResponseController].
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A responseBody is the body of an upstream's response. It stores a read error
// in the passage.
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
