package fault

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ocireg/registry"
)

// An ErrorBody is a shape that the body of an error has, see
// [Rule.Body]. All but BodySpec are what registries, or the proxies and
// storage in front of them, are known to send instead of what the spec says.
type ErrorBody string

// The shapes.
const (
	BodySpec   ErrorBody = "spec"    // JSON as in the spec's section Error Codes
	BodyNoCode ErrorBody = "no-code" // the same, without a code
	BodyBare   ErrorBody = "bare"    // one error in JSON, not in a list
	BodyText   ErrorBody = "text"    // plain text
	BodyHTML   ErrorBody = "html"    // a page
	BodyBroken ErrorBody = "broken"  // JSON that is cut off
	BodyEmpty  ErrorBody = "empty"   // nothing
)

func errorBodies() []ErrorBody {
	return []ErrorBody{BodySpec, BodyNoCode, BodyBare, BodyText, BodyHTML, BodyBroken, BodyEmpty}
}

// An answerSpec is what a rule says of the answer in place of the operation's.
type answerSpec struct {
	status   int
	code     registry.Code
	message  string
	shape    ErrorBody
	redirect bool
}

// serve gives the answer. Name is that of the rule.
func (a answerSpec) serve(name string) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		e := a.error(name, r.Op)
		contentType, body := "", []byte(nil)
		switch {
		case a.shape == BodyEmpty, a.shape == "" && e.Status < 400:
			contentType = ""
		case a.shape == BodyNoCode:
			contentType, body = "application/json", fmt.Appendf(nil, `{"errors":[{"status":%d,"message":%s}]}`, e.Status, quote(e.Message))
		case a.shape == BodyBare:
			contentType, body = "application/json", fmt.Appendf(nil, `{"code":%s,"message":%s}`, quote(string(e.Code)), quote(e.Message))
		case a.shape == BodyText:
			contentType, body = "text/plain; charset=utf-8", fmt.Appendf(nil, "%d %s\n", e.Status, e.Message)
		case a.shape == BodyHTML:
			title := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
			contentType, body = "text/html", fmt.Appendf(nil, "<html>\n<head><title>%s</title></head>\n<body><h1>%s</h1></body>\n</html>\n", title, title)
		case a.shape == BodyBroken:
			contentType, body = "application/json", fmt.Appendf(nil, `{"errors":[{"code":%s,"mess`, quote(string(e.Code)))
		default:
			return e
		}
		// What net/http would add to a body is not to be there without one.
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		if e.Status != http.StatusNoContent && e.Status != http.StatusNotModified {
			w.Header().Set("Content-Length", number(len(body)))
		}
		w.WriteHeader(e.Status)
		if r.Method == http.MethodHead || len(body) == 0 {
			return nil
		}
		_, err := w.Write(body)
		return err
	}
}

// error returns what is wrong, with all that the rule has not said filled in.
func (a answerSpec) error(name string, op registry.Op) *registry.Error {
	e := &registry.Error{Code: a.code, Status: a.status, Message: a.message}
	if e.Status == 0 {
		switch {
		case a.redirect:
			e.Status = http.StatusTemporaryRedirect
		case a.code != "":
			e.Status = a.code.Status()
		default:
			e.Status = http.StatusInternalServerError
		}
	}
	if e.Code == "" {
		e.Code = codeFor(e.Status, op)
	}
	if e.Message == "" {
		e.Message = "on purpose: " + name
	}
	return e
}

// codeFor returns the error code that a registry sends with a status.
func codeFor(status int, op registry.Op) registry.Code {
	switch status {
	case http.StatusUnauthorized:
		return registry.CodeUnauthorized
	case http.StatusForbidden:
		return registry.CodeDenied
	case http.StatusMethodNotAllowed:
		return registry.CodeUnsupported
	case http.StatusTooManyRequests:
		return registry.CodeTooManyRequests
	case http.StatusNotFound, http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable:
	default:
		return "UNKNOWN"
	}
	unknown, invalid := registry.CodeNameUnknown, registry.CodeNameInvalid
	switch op {
	case registry.GetBlob, registry.HeadBlob, registry.DeleteBlob:
		unknown, invalid = registry.CodeBlobUnknown, registry.CodeDigestInvalid
	case registry.GetManifest, registry.HeadManifest, registry.PutManifest, registry.DeleteManifest, registry.DeleteTag:
		unknown, invalid = registry.CodeManifestUnknown, registry.CodeManifestInvalid
	case registry.StartUpload, registry.PostBlob, registry.MountBlob,
		registry.PatchUpload, registry.PutUpload, registry.GetUpload, registry.CancelUpload:
		unknown, invalid = registry.CodeBlobUploadUnknown, registry.CodeBlobUploadInvalid
	}
	switch {
	case status == http.StatusNotFound:
		return unknown
	case status == http.StatusRequestedRangeNotSatisfiable && invalid != registry.CodeBlobUploadInvalid:
		return registry.CodeSizeInvalid
	}
	return invalid
}

// quote returns the text as a string of JSON.
func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // No text is none.
	return quoted
}
