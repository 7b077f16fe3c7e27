package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// A StatusError is the error for a response whose status is not a success. It
// matches [fs.ErrNotExist] if the status is 404, and [errors.ErrUnsupported] if
// it is 405, unless the response is from another host.
type StatusError struct {
	Request    string // the method and the URL, without secrets
	Status     int
	Code       registry.Code // the first error code in the body, or ""
	Text       string        // the beginning of the body
	RetryAfter string        // value of the header field Retry-After, or "" if it is missing or malformed

	// Elsewhere reports whether the response is from another host, to which the
	// registry redirected the request.
	Elsewhere bool
}

// maxErrorText limits the number of bytes that are read of an error response.
const maxErrorText = 8 << 10

func newStatusError(resp *http.Response) *StatusError {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	var body struct{ Errors []struct{ Code string } }
	e := &StatusError{
		Request: resp.Request.Method + " " + field.RedactURL(*resp.Request.URL).String(),
		Status:  resp.StatusCode,
		Text:    field.Shorten(strings.TrimSpace(string(text)), 1<<10),
	}
	if json.Unmarshal(text, &body) == nil && len(body.Errors) > 0 {
		e.Code = registry.Code(body.Errors[0].Code)
	}
	if v := resp.Header.Get("Retry-After"); field.Valid(v) && len(v) <= len(time.RFC1123)+8 {
		e.RetryAfter = v
	}
	return e
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.Request, e.Status, http.StatusText(e.Status), e.Text)
}

// Is implements the comparison of [errors.Is].
func (e *StatusError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Status == http.StatusNotFound && !e.Elsewhere
	case errors.ErrUnsupported:
		return e.Status == http.StatusMethodNotAllowed && !e.Elsewhere
	}
	return false
}

// redactError removes secrets from the URL in an error of an http.Client. The
// registry may have redirected the request to a URL with a signature.
func redactError(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	u, parseErr := url.Parse(e.URL)
	if parseErr != nil {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return &url.Error{Op: e.Op, URL: field.RedactURL(*u).String(), Err: e.Err}
}
