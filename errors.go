package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ocireg/registry/internal/field"
)

// A Code is one of the error codes of the distribution spec, section Error
// Codes.
type Code string

// The error codes of the distribution spec, code-1 to code-14. An error with one
// of them has the status that [Code.Status] returns, unless it sets another.
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

// Status returns the HTTP status of an error with this code, unless
// [Error.Status] sets another. It is 500 if the code is not in the spec.
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

// An Error is an error whose code, message and status the registry sends to the
// client. A [Handler], a [Fault] or a [Store] that returns an Error decides the
// response. If it joins several with [errors.Join], the response has the first 100
// of them, and the status of the first.
type Error struct {
	// Code is the code of the error in the response, such as [CodeBlobUnknown].
	Code Code

	// Message describes the error for people. The response has only its first 4096
	// bytes, because a message may quote a long field of the request.
	Message string

	// Detail is any value that encoding/json can marshal, or nil. In the response,
	// each value of a map[string]string has at most 4096 bytes.
	Detail any

	// Status is the HTTP status of the response, or 0 for the status of the code.
	Status int

	// Header has fields to add to the header of the response.
	Header http.Header
}

// Errorf returns an Error with the code. Its message begins with the words of
// the code, because clients look for them, and continues with the formatted
// text, as in "manifest unknown: app has no manifest v1".
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: code.words() + ": " + fmt.Sprintf(format, args...)}
}

// words returns the code in lower case and with spaces, such as "manifest
// unknown".
func (c Code) words() string {
	if c == CodeTooManyRequests {
		return "too many requests"
	}
	return strings.ToLower(strings.ReplaceAll(string(c), "_", " "))
}

// Error returns the code and the message. It leaves out the words at the
// beginning of the message that repeat the code.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + strings.TrimPrefix(e.Message, e.Code.words()+": ")
}

func (e *Error) status() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Code.Status()
}

// errorsIn returns all errors of type *Error in the tree of err, in order.
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

// The limits for the errors in one response.
const (
	maxErrors  = 100
	maxMessage = 4096 // bytes
)

// errorsFor returns the errors to send to the client for err. If err contains no
// [*Error] and does not wrap [errors.ErrUnsupported], it is a failure of the
// registry itself. The client gets its text all the same, because in a test that
// is the quickest way to find the cause.
func errorsFor(err error) []*Error {
	all := errorsIn(err)
	switch {
	case len(all) > 0:
	case errors.Is(err, errors.ErrUnsupported):
		all = []*Error{{Code: CodeUnsupported, Message: err.Error()}}
	default:
		all = []*Error{{Code: "UNKNOWN", Message: err.Error(), Status: http.StatusInternalServerError}}
	}
	all = all[:min(len(all), maxErrors)]
	for i, e := range all {
		all[i] = e.shortened()
	}
	return all
}

// shortened returns e, or a copy whose message and details are cut to maxMessage
// bytes if they are longer.
func (e *Error) shortened() *Error {
	long := len(e.Message) > maxMessage
	detail, ok := e.Detail.(map[string]string)
	if ok {
		for _, v := range detail {
			long = long || len(v) > maxMessage
		}
	}
	if !long {
		return e
	}
	short := *e
	short.Message = field.Shorten(e.Message, maxMessage)
	if ok {
		shorter := make(map[string]string, len(detail))
		for k, v := range detail {
			shorter[k] = field.Shorten(v, maxMessage)
		}
		short.Detail = shorter
	}
	return &short
}
