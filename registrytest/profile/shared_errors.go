package profile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/ocireg/registry"
)

// The behaviours about the shape of errors that several registries share.

// reshape sends the errors for which is returns true with the body that render
// returns. An empty media type leaves out Content-Type.
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

// emptyBody is an empty body.
func emptyBody(*registry.Request, *registry.Error) (mediaType, body string) { return "", "" }

// withoutCode is the body of an error without its code.
func withoutCode(_ *registry.Request, e *registry.Error) (mediaType, body string) {
	return "application/json", fmt.Sprintf(`{"errors":[{"status":%d,"message":%s}]}`, cmp.Or(e.Status, e.Code.Status()), quote(e.Message))
}

// bare is an error that is not in a list.
func bare(_ *registry.Request, e *registry.Error) (mediaType, body string) {
	return "application/json", fmt.Sprintf(`{"code":%s,"message":%s}`, quote(string(e.Code)), quote(e.Message))
}

func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // Every string can be marshaled.
	return quoted
}

// recode gives errors of the operations another code and, if it is not 0, another
// status.
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

// withCode is the body of an error in the form of the spec.
func withCode(e *registry.Error) (mediaType, body string) {
	return "application/json", fmt.Sprintf(`{"errors":[{"code":%s,"message":%s}]}`, quote(string(e.Code)), quote(e.Message))
}
