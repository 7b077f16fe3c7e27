package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ocireg/registry"
)

// The methods in this file make the rule respond instead of the operation. The
// operation is carried out only if the rule says AfterCommit.

// Status responds with the status, from 200 to 599. From 400 on, the response is an
// error: its code is the code of the spec for the status and the operation, and its
// message names the rule.
func (r Rule) Status(status int) Rule {
	r, p := r.addArg("status", status)
	p.responds, p.response.status = true, status
	if status > 599 {
		return r.refuse(errors.New("more than 599"))
	}
	return r.refuse(atLeast(200, int64(status)))
}

// Code responds with the error code and, if there is no Status, with the status
// of that code.
func (r Rule) Code(code registry.Code) Rule {
	r, p := r.addArg("code", code)
	p.responds, p.response.code = true, code
	if code == "" {
		return r.refuse(errors.New("the code is empty"))
	}
	return r
}

// Message responds with an error that has the message. The status is 500 if the
// rule has no Status and no Code.
func (r Rule) Message(text string) Rule {
	r, p := r.addArg("message", text)
	p.responds, p.response.message = true, text
	if text == "" {
		return r.refuse(errors.New("the message is empty"))
	}
	return r
}

// AfterCommit carries out the operation before the rule responds, ends the connection,
// delays the response or holds it. If the operation fails, its own response is sent.
func (r Rule) AfterCommit() Rule {
	r, p := r.addFlag("after-commit")
	p.afterCommit = true
	return r
}

// responseWords has the words for the methods in this file.
var responseWords = vocabulary{
	{"status", number(Rule.Status)},
	{"code", text(func(r Rule, code string) Rule { return r.Code(registry.Code(code)) })},
	{"message", text(Rule.Message)},
	{"after-commit", flag(Rule.AfterCommit)},
}

// A response is the response of a rule, which replaces that of the operation.
type response struct {
	status  int
	code    registry.Code
	message string
	shape   Body
}

// serve sends the response of a rule.
func (a response) serve(rule string, w http.ResponseWriter, r *registry.Request) error {
	e := a.error(rule, r.Op)
	var body []byte
	switch {
	case a.shape == "" && e.Status < 400:
		setType(w.Header(), "")
	case a.shape == "", a.shape == Spec:
		return e
	default:
		setType(w.Header(), contentType(a.shape))
		body = errorBody(a.shape, e.Status, string(e.Code), e.Message)
	}
	if e.Status != http.StatusNoContent && e.Status != http.StatusNotModified {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	w.WriteHeader(e.Status)
	if r.Method == http.MethodHead || len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// setType sets the Content-Type. If contentType is "", it keeps net/http from adding a
// Content-Type.
func setType(h http.Header, contentType string) {
	h["Content-Type"] = nil
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
}

// contentType returns the Content-Type of an error of the shape, or "".
func contentType(shape Body) string {
	switch shape {
	case Empty:
		return ""
	case Plain:
		return "text/plain; charset=utf-8"
	case HTML:
		return "text/html"
	}
	return "application/json"
}

// errorBody returns the body of an error of the shape.
func errorBody(shape Body, status int, code, message string) []byte {
	switch shape {
	case NoCode:
		return fmt.Appendf(nil, `{"errors":[{"status":%d,"message":%s}]}`, status, quote(message))
	case Bare:
		return fmt.Appendf(nil, `{"code":%s,"message":%s}`, quote(code), quote(message))
	case Plain:
		return fmt.Appendf(nil, "%d %s\n", status, message)
	case HTML:
		title := fmt.Sprintf("%d %s", status, http.StatusText(status))
		return fmt.Appendf(nil, "<html>\n<head><title>%s</title></head>\n<body><h1>%s</h1></body>\n</html>\n", title, title)
	case Broken:
		return fmt.Appendf(nil, `{"errors":[{"code":%s,"mess`, quote(code))
	}
	return nil
}

// error returns the error that the rule responds with. Fields that the rule does not
// set have defaults.
func (a response) error(rule string, op registry.Op) *registry.Error {
	e := &registry.Error{Code: a.code, Status: a.status, Message: a.message}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError
		if a.code != "" {
			e.Status = a.code.Status()
		}
	}
	if e.Code == "" {
		e.Code = op.Code(e.Status)
	}
	if e.Message == "" {
		e.Message = "on purpose: " + rule
	}
	return e
}

// quote returns the text as a string of JSON.
func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // Marshal accepts every string.
	return quoted
}
