package conn

import "net/http"

// A Writer is a ResponseWriter that notes the status, and calls a method when the
// response begins. Other ResponseWriters embed it.
type Writer struct {
	http.ResponseWriter

	// Status is the status of the response. It is 0 before the first header, and
	// less than 200 after an informational response.
	Status int

	// Outer is the type that embeds the Writer, if its method Begins has to be
	// called before the response begins. Otherwise it is nil.
	Outer Beginner
}

// A Beginner has a method that is called when a response begins, before its
// header is written.
type Beginner interface{ Begins(status int) }

// WriteHeader implements [http.ResponseWriter].
func (w *Writer) WriteHeader(status int) {
	if w.Status < 200 {
		w.Status = status
		if status >= 200 && w.Outer != nil {
			w.Outer.Begins(status)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Begin writes a header with the status 200 if the response has not begun, as
// net/http does. A type that embeds the Writer calls it before it writes to the
// ResponseWriter.
func (w *Writer) Begin() {
	if w.Status < 200 {
		w.WriteHeader(http.StatusOK)
	}
}

// Write implements [http.ResponseWriter].
func (w *Writer) Write(p []byte) (int, error) {
	w.Begin()
	return w.ResponseWriter.Write(p)
}

// FlushError is the method that [http.ResponseController] calls to flush. A flush
// begins the response.
func (w *Writer) FlushError() error {
	w.Begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the underlying ResponseWriter, for [http.ResponseController].
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
