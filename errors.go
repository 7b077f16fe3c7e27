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

// Status returns the HTTP status of an error with this code if the error does
// not set another: 500 if the code is not one of the spec's.
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

// An Error is an error that the client gets as it is. A [Middleware], a [Fault]
// or a [Store] that returns one decides the response. If several are joined
// with [errors.Join], the response has the first 100 of them, and the status of
// the first.
type Error struct {
	// Code is the error code.
	Code Code

	// Message describes the error for people. A response has the first 4096
	// bytes of it: it may quote a field of a request, which can be larger.
	Message string

	// Detail is any value that can be marshalled to JSON, or nil.
	Detail any

	// Status is the HTTP status of the response, or 0 for that of the code.
	Status int

	// Header is added to the header of the response.
	Header http.Header
}

// Errorf returns an Error with the code. Its message begins with the words of the
// code, because clients look for them, and goes on with the formatted text, as in
// "manifest unknown: app has no manifest v1".
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: code.words() + ": " + fmt.Sprintf(format, args...)}
}

// words returns the code in words, such as "manifest unknown".
func (c Code) words() string {
	if c == CodeTooManyRequests {
		return "too many requests"
	}
	return strings.ToLower(strings.ReplaceAll(string(c), "_", " "))
}

// Error returns the code and the message, without the words of the code.
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

// The most that a response says of the errors of a request.
const (
	maxErrors  = 100
	maxMessage = 4096 // bytes
)

// errorsFor returns the errors that a client gets for err. If err is neither an
// Error nor one of the errors that a Store may return, the registry itself has
// failed. The client gets its text as well: in a test, that is the quickest way
// to the cause.
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

// shortened returns e, or a copy with less text if it has more than a response
// can have.
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
