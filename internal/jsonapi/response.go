package jsonapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
)

// An Error is an error with the status of the response that reports it.
type Error struct {
	error
	Status  int
	Members map[string]any // members of the response besides error
}

// Unwrap returns the error without the status.
func (e *Error) Unwrap() error { return e.error }

// Fail returns an [*Error] with the status. If it wraps an [http.MaxBytesError] or
// [errors.ErrUnsupported], the response has the status 413 or 409 instead.
func Fail(status int, format string, args ...any) *Error {
	return &Error{fmt.Errorf(format, args...), status, nil}
}

// Bad returns the error for a request that is not valid, with status 400.
func Bad(format string, args ...any) *Error { return Fail(http.StatusBadRequest, format, args...) }

// A Response is a ResponseWriter that notes whether the response has begun.
type Response struct {
	http.ResponseWriter
	begun bool
}

// Unwrap returns the underlying ResponseWriter, for [http.ResponseController].
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

// reply writes the error or, if err is nil, the status and the object. If the
// status is 204, it leaves out the object; if it is 0, it writes nothing.
func (w *Response) reply(status int, body any, err error) {
	if err != nil {
		if w.begun {
			panic(http.ErrAbortHandler) // An abort tells the client that the body is incomplete.
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
	e.Encode(body) // Encoding fails only if the client has gone.
}

// problem returns the status and the JSON object of the response for an error.
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
