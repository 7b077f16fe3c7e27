package profile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/ocireg/registry"
)

// The behaviours in this file concern the form of errors, and are shared by
// several registries.

// reshape returns the behaviour of a registry that sends some errors in another
// form. The first function reports whether an error is one of these, and the
// second returns the body of the response. Without a media type, the response
// has no Content-Type.
func reshape(is func(r *registry.Request, e *registry.Error) bool, render func(r *registry.Request, e *registry.Error) (mediaType, body string)) behaviour {
	return wrap(func(_ *build, w http.ResponseWriter, r *registry.Request, err error, note func()) error {
		all := errorsOf(err)
		if len(all) == 0 || !is(r, all[0]) {
			return err
		}
		note()
		for name, values := range all[0].Header {
			w.Header()[name] = values
		}
		mediaType, body := render(r, all[0])
		return write(w, r, cmp.Or(all[0].Status, all[0].Code.Status()), mediaType, body)
	})
}

// emptyBody is a function for reshape: the response has no body.
func emptyBody(*registry.Request, *registry.Error) (mediaType, body string) { return "", "" }

// withoutCode is a function for reshape: the error has no code.
func withoutCode(_ *registry.Request, e *registry.Error) (mediaType, body string) {
	return "application/json", fmt.Sprintf(`{"errors":[{"status":%d,"message":%s}]}`, cmp.Or(e.Status, e.Code.Status()), quote(e.Message))
}

// bare is a function for reshape: the error is not in a list.
func bare(_ *registry.Request, e *registry.Error) (mediaType, body string) {
	return "application/json", fmt.Sprintf(`{"code":%s,"message":%s}`, quote(string(e.Code)), quote(e.Message))
}

func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // encoding a string cannot fail
	return quoted
}

// recode returns the behaviour of a registry that replaces one error code
// with another in responses to the operations. Unless status is 0, it also replaces
// the status.
func recode(from, to registry.Code, status int, ops ...registry.Op) behaviour {
	return rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
		if e.Code != from || !slices.Contains(ops, r.Op) {
			return nil
		}
		e.Status = cmp.Or(status, e.Status, e.Code.Status())
		e.Code = to
		return &e
	})
}

// withCode returns the body of an error in the form of the spec.
func withCode(e *registry.Error) (mediaType, body string) {
	return "application/json", fmt.Sprintf(`{"errors":[{"code":%s,"message":%s}]}`, quote(string(e.Code)), quote(e.Message))
}
