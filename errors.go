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

// writeError answers the request with err, as the spec's section Error Codes
// has it, and returns what it has told the client.
func writeError(w http.ResponseWriter, method string, err error) []*Error {
	all := answerFor(err)
	type wire struct {
		Code    Code   `json:"code"`
		Message string `json:"message,omitempty"`
		Detail  any    `json:"detail,omitempty"`
	}
	body := struct {
		Errors []wire `json:"errors"`
	}{}
	h := w.Header()
	for _, e := range all {
		body.Errors = append(body.Errors, wire{e.Code, e.Message, e.Detail})
		for k, v := range e.Header {
			h[k] = append(h[k][:len(h[k]):len(h[k])], v...)
		}
	}
	text, jsonErr := json.Marshal(body)
	if jsonErr != nil {
		text, _ = json.Marshal(map[string]any{"errors": []wire{{Code: all[0].Code, Message: all[0].Message}}})
	}
	for _, k := range []string{"Etag", "Accept-Ranges", "Docker-Content-Digest"} {
		h.Del(k)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(all[0].status())
	if method != http.MethodHead {
		w.Write(text)
	}
	return all
}
