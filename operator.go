package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/ocireg/registry/internal/conn"
)

// An operator is a [Store] that carries out the operations itself, with the
// method Operate.
type operator interface {
	Operate(w http.ResponseWriter, r *Request) error
}

// A lender is an operator with the method StoreFor, which returns a store of the
// content that the client of the request may see.
type lender interface {
	Operate(w http.ResponseWriter, r *Request) error
	StoreFor(r *Request) Store
}

// pass lets the operator carry out the operation of the request.
func (h *handler) pass(w http.ResponseWriter, r *Request) error {
	if r.fault.servesPermitted(r) {
		return r.fault.Serve(w, r)
	}
	if h.without.has(r.Op) {
		return h.notAllowed(r)
	}
	reader := &errorReader{}
	reader.Writer = conn.Writer{ResponseWriter: w, Outer: reader}
	err := h.operator.Operate(reader, r)
	r.errors = reader.errors()
	return err
}

// cancelAtOperator asks the operator, as the client of the request, to cancel
// the upload session of the request.
func (h *handler) cancelAtOperator(r *Request) error {
	hr := r.Request.Clone(r.Context())
	hr.Method, hr.Body, hr.ContentLength, hr.TransferEncoding = http.MethodDelete, http.NoBody, 0, nil
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Type", "Expect"} {
		hr.Header.Del(name)
	}
	cancel := &Request{registry: r.registry}
	cancel.parse(hr, r.Prefix)
	w := &droppedResponse{header: make(http.Header)}
	if err := h.operator.Operate(w, cancel); err != nil {
		return fmt.Errorf("losing the upload session: %w", err)
	}
	if w.status/100 != 2 && w.status != http.StatusNotFound {
		return fmt.Errorf("losing the upload session: the response to its DELETE was %d %s", w.status, http.StatusText(w.status))
	}
	return nil
}

// A droppedResponse is a response writer that keeps only the status.
type droppedResponse struct {
	header http.Header
	status int
}

func (w *droppedResponse) Header() http.Header { return w.header }

func (w *droppedResponse) WriteHeader(status int) {
	if w.status < 200 {
		w.status = status
	}
}

func (w *droppedResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

// maxErrorBody is the number of bytes of a response in which an errorReader
// looks for errors.
const maxErrorBody = 64 << 10

// An errorReader passes a response on to the client and keeps the errors in its
// body for recorders.
type errorReader struct {
	conn.Writer
	reads bool
	body  []byte
}

// Begins implements [conn.Beginner].
func (w *errorReader) Begins(status int) {
	h := w.Header()
	w.reads = status >= 400 && strings.Contains(h.Get("Content-Type"), "json") && h.Get("Content-Encoding") == ""
}

func (w *errorReader) Write(p []byte) (int, error) {
	w.Begin()
	if w.reads {
		w.body = append(w.body, p[:min(len(p), maxErrorBody-len(w.body))]...)
	}
	return w.ResponseWriter.Write(p)
}

// errors returns the errors in the body of the response (section Error Codes).
func (w *errorReader) errors() (errs []*Error) {
	var body struct {
		Errors []struct {
			Code    Code
			Message string
			Detail  any
		}
	}
	if !w.reads || json.Unmarshal(w.body, &body) != nil {
		return nil
	}
	for _, e := range body.Errors[:min(len(body.Errors), maxErrors)] {
		errs = append(errs, &Error{Code: e.Code, Message: e.Message, Detail: e.Detail, Status: w.Status})
	}
	return errs
}

// An operational is an option that changes operations. It would have no effect on
// a store that carries out the operations itself, so New refuses the two together.
type operational struct {
	option
	call string // the call of the function that made the option
}

func (o operational) Options() []Option { return []Option{o} }

// CheckStore returns an error if the option would have no effect with the store.
// New panics with that error. Package registrytest calls CheckStore first, so
// that a test fails instead.
func (o operational) CheckStore(s Store) error { return checkOperational(o.call, s) }

// CheckStore returns an error if the option would have no effect with the store.
func (s setting) CheckStore(store Store) error { return checkOperational(s.text, store) }

func checkOperational(call string, s Store) error {
	if _, ok := s.(operator); !ok {
		return nil
	}
	return fmt.Errorf("%s has no effect: the registry behind this one carries out the operations; leave it out, or set it there", call)
}

// checkStore returns the first error that an option reports for the store.
func checkStore(store Store, opts []Option) error {
	for _, o := range Options(opts...).Options() {
		if c, ok := o.(interface{ CheckStore(Store) error }); ok {
			if err := c.CheckStore(store); err != nil {
				return err
			}
		}
	}
	return nil
}

// A prefixSetting is the option [WithPathPrefix]. It also has an effect with an
// operator, which gets the prefix with each request.
type prefixSetting struct{ setting }

func (s prefixSetting) Options() []Option { return []Option{s} }

// CheckStore returns nil, since the option has an effect with every store.
func (prefixSetting) CheckStore(Store) error { return nil }

// passable reports whether [Without] can remove the feature from a registry
// whose store carries out the operations itself.
func passable(f Feature) bool {
	switch f {
	case CrossOrigin:
		return true
	case MountBlob, PostBlob, ListReferrers: // Without these, responses to other operations would have to change too.
		return false
	}
	_, ok := f.(Op)
	return ok
}
