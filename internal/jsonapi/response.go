package jsonapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
)

// An Error is an error with the status of its response.
type Error struct {
	error
	Status  int
	Members map[string]any // of the response, beside error
}

// Unwrap returns the error without the status.
func (e *Error) Unwrap() error { return e.error }

// Fail returns an [*Error]. If status is 0, it is 413 for an
// [http.MaxBytesError], 409 for [errors.ErrUnsupported], 404 for
// [fs.ErrNotExist], and 500 for all others.
func Fail(status int, format string, args ...any) *Error {
	return &Error{fmt.Errorf(format, args...), status, nil}
}

// Bad returns the error of a request that is not valid.
func Bad(format string, args ...any) *Error { return Fail(http.StatusBadRequest, format, args...) }

// A Response notes whether it has begun.
type Response struct {
	http.ResponseWriter
	begun bool
}

// Unwrap returns the writer below, for [http.ResponseController].
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader begins the response.
func (w *Response) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (w *Response) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// reply writes the error or, if err is nil, the object, unless the status is 0.
func (w *Response) reply(status int, body any, err error) {
	if err != nil {
		if w.begun {
			panic(http.ErrAbortHandler) // The client must not mistake a part of the body for the whole.
		}
		status, body = problem(err)
		w.Header().Del("Content-Disposition")
	}
	if status == 0 {
		return
	}
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(body) // If it fails, the client has gone.
}

// problem returns the status and the body of a response with an error.
func problem(err error) (status int, body map[string]any) {
	var large *http.MaxBytesError
	var e *Error
	body = map[string]any{"error": err.Error()}
	switch {
	case errors.As(err, &large):
		body["error"] = fmt.Sprintf("the body has more than %d bytes, uncompressed", large.Limit)
		return http.StatusRequestEntityTooLarge, body
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusConflict, body
	case errors.As(err, &e):
		maps.Copy(body, e.Members)
		return e.Status, body
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound, body
	}
	return http.StatusInternalServerError, body
}
