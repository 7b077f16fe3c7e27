package fault

import (
	"encoding/json"
	"io"
	"net/http"
)

// reshapeErrors gives the response another shape if it is an error. It removes
// Content-Length, because the new length is not known when the header is sent.
func (p *plan) reshapeErrors(shape Body, h *hit) {
	failed := 0 // the status of the response if that is an error, or 0
	p.headers = append(p.headers, func(status int, header http.Header) int {
		if status >= 400 {
			failed = status
			h.met()
			setType(header, contentType(shape))
			header.Del("Content-Length")
		}
		return status
	})
	p.wrapBody(func(w io.Writer) io.Writer {
		if failed == 0 {
			return w
		}
		return &errorWriter{to: w, shape: shape, status: failed}
	})
}

// An errorWriter gets an error in the shape of the spec, and writes it in another
// shape when it is closed.
type errorWriter struct {
	to     io.Writer
	shape  Body
	status int
	text   []byte
}

func (w *errorWriter) Write(b []byte) (int, error) {
	w.text = append(w.text, b...)
	return len(b), nil
}

func (w *errorWriter) Close() error {
	var spec struct {
		Errors []struct{ Code, Message string }
	}
	json.Unmarshal(w.text, &spec)
	spec.Errors = append(spec.Errors, struct{ Code, Message string }{"UNKNOWN", http.StatusText(w.status)})
	if body := errorBody(w.shape, w.status, spec.Errors[0].Code, spec.Errors[0].Message); len(body) > 0 {
		if _, err := w.to.Write(body); err != nil {
			return err
		}
	}
	return closeWriter(w.to)
}
