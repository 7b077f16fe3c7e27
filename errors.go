package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// A Code is one of the error codes of the distribution spec, section Error
// Codes.
type Code string

// The error codes of the distribution spec, code-1 to code-14.
const (
	CodeBlobUnknown         Code = "BLOB_UNKNOWN"
	CodeBlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	CodeBlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	CodeDigestInvalid       Code = "DIGEST_INVALID"
	CodeManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	CodeManifestInvalid     Code = "MANIFEST_INVALID"
	CodeManifestUnknown     Code = "MANIFEST_UNKNOWN"
	CodeNameInvalid         Code = "NAME_INVALID"
	CodeNameUnknown         Code = "NAME_UNKNOWN"
	CodeSizeInvalid         Code = "SIZE_INVALID"
	CodeUnauthorized        Code = "UNAUTHORIZED"
	CodeDenied              Code = "DENIED"
	CodeUnsupported         Code = "UNSUPPORTED"
	CodeTooManyRequests     Code = "TOOMANYREQUESTS"
)

// Status returns the HTTP status that an error with this code has unless it
// says otherwise, or 500 if the code is not one of the spec's.
func (c Code) Status() int {
	switch c {
	case CodeBlobUploadInvalid, CodeDigestInvalid, CodeManifestBlobUnknown, CodeManifestInvalid,
		CodeNameInvalid, CodeSizeInvalid:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeDenied:
		return http.StatusForbidden
	case CodeBlobUnknown, CodeBlobUploadUnknown, CodeManifestUnknown, CodeNameUnknown:
		return http.StatusNotFound
	case CodeUnsupported:
		return http.StatusMethodNotAllowed
	case CodeTooManyRequests:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// An Error is an error that a client is told as it is. A [Middleware], a
// [Fault] or a [Store] that returns one decides what the registry answers.
// Several of them, joined with [errors.Join], are answered together, with the
// status of the first.
type Error struct {
	// Code is the error code.
	Code Code

	// Message says what is wrong, for people.
	Message string

	// Detail is any value that can be marshalled to JSON, or nil.
	Detail any

	// Status is the HTTP status of the answer. If it is 0, the status is that
	// of the code.
	Status int

	// Header is added to the header of the answer.
	Header http.Header
}

// Errorf returns an Error with the code and a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error returns the code and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

func (e *Error) status() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Code.Status()
}

// errorsIn returns every *Error in err's tree, in order.
func errorsIn(err error) []*Error {
	switch err := err.(type) {
	case nil:
		return nil
	case *Error:
		return []*Error{err}
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, e := range err.Unwrap() {
			all = append(all, errorsIn(e)...)
		}
		return all
	}
	return errorsIn(errors.Unwrap(err))
}

// answerFor returns the errors that a client is told of err. What is neither
// an Error nor one of the errors that a Store may return is a failure of the
// server, whose text the client is told as well: in a test, it is the quickest
// way to the cause.
func answerFor(err error) []*Error {
	if all := errorsIn(err); len(all) > 0 {
		return all
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return []*Error{{Code: CodeUnsupported, Message: err.Error()}}
	}
	return []*Error{{Code: "UNKNOWN", Message: err.Error(), Status: http.StatusInternalServerError}}
}

// fail answers the request with err, as the spec's section Error Codes has it.
// It returns err if it is not the client's.
func (r *Request) fail(w http.ResponseWriter, err error) error {
	type wire struct {
		Code    Code   `json:"code"`
		Message string `json:"message,omitempty"`
		Detail  any    `json:"detail,omitempty"`
	}
	var body struct {
		Errors []wire `json:"errors"`
	}
	r.told = answerFor(err)
	header := w.Header()
	for _, k := range []string{"Accept-Ranges", "Docker-Content-Digest", "Etag"} {
		delete(header, k)
	}
	for _, e := range r.told {
		body.Errors = append(body.Errors, wire{e.Code, e.Message, e.Detail})
		for k, values := range e.Header {
			for _, v := range values {
				header.Add(k, v)
			}
		}
	}
	text, jsonErr := json.Marshal(body)
	if jsonErr != nil {
		return r.fail(w, fmt.Errorf("encoding the details of an error: %w", jsonErr))
	}
	status := r.told[0].status()
	writeBody(w, r, status, "application/json", text)
	if status == http.StatusInternalServerError {
		return err
	}
	return nil
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, r *Request, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	return writeBody(w, r, http.StatusOK, "application/json", text)
}

// writeBody answers with a body that is all there, or with its header alone if
// the method is HEAD.
func writeBody(w http.ResponseWriter, r *Request, status int, mediaType string, body []byte) error {
	setFields(w.Header(), "Content-Type", mediaType, "Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}
