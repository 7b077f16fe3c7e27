// Package registry serves the OCI distribution API from a [Store], for tests.
//
// [New] makes an [http.Handler] from a store, such as those of the packages
// memstore and layout. It implements the [OCI Distribution Specification] and
// the parts of its predecessor, the [Docker Registry HTTP API V2], that clients
// still use. Everything else that a test needs is an [Option]: recording
// requests, injecting faults, sending warnings, leaving out features.
//
// Most tests start with package registrytest, which serves a registry on a
// loopback address with one line.
//
// [OCI Distribution Specification]: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
// [Docker Registry HTTP API V2]: https://distribution.github.io/distribution/spec/api/
package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// New returns a handler that serves the content of the store. It starts no
// goroutine and needs no closing. Several handlers may share a store, but an
// upload session belongs to the handler that started it.
//
// The handler expects to be at the root of its host: all paths begin with
// /v2/. New panics if the store or an option is nil.
func New(store Store, opts ...Option) http.Handler {
	if store == nil {
		panic("registry: New needs a store; memstore.New() makes an empty one")
	}
	h := &handler{config: newConfig(opts), store: store}
	h.uploads.expiry = h.uploadExpiry
	h.serve = h.operate
	for i := len(h.middleware) - 1; i >= 0; i-- {
		h.serve = h.middleware[i](h.serve)
	}
	if h.logger != nil {
		h.recorders = append(h.recorders, RecorderFunc(h.log))
	}
	return h
}

type handler struct {
	config
	store   Store
	uploads uploads
	serve   Handler // operate, inside the middleware

	// lastParsed is the manifest that was put last, unless it was large.
	lastParsed atomic.Pointer[parsedManifest]

	// buffers holds *bytes.Buffer for long lists.
	buffers sync.Pool
}

// ServeHTTP is the one road that every request takes: parse the URL, tell the
// recorders of the arrival, inject a fault, run the middleware and the
// operation, and tell the recorders of the response.
func (h *handler) ServeHTTP(hw http.ResponseWriter, hr *http.Request) {
	if hr.Body == nil {
		copied := *hr
		copied.Body = http.NoBody
		hr = &copied
	}
	w, r := &responseWriter{ResponseWriter: hw}, new(Request)
	serve := h.serveFaulty
	if len(h.recorders) > 0 {
		serve = h.serveRecorded
	}
	r.parse(hr)
	h.addHeader(w.Header(), r)
	if err := serve(w, r); errors.As(err, new(cutError)) {
		// The client must not take a part of the response for all of it.
		panic(http.ErrAbortHandler)
	}
}

// serveRecorded serves the request and tells the recorders, however serving it
// ends: with a response, an error, a panic or [runtime.Goexit].
func (h *handler) serveRecorded(w *responseWriter, r *Request) (err error) {
	start := time.Now()
	body := &countingBody{ReadCloser: r.Body}
	copied := *r.Request
	copied.Body = body
	r.Request = &copied
	returned := false
	defer func() {
		var cause any
		if !returned {
			cause = recover()
			err = panicError(cause)
		}
		x := &Exchange{
			Request:  r,
			Status:   w.status,
			Header:   w.Header(),
			Errors:   r.errors,
			Err:      err,
			BytesIn:  body.bytes,
			BytesOut: w.bytes,
			Start:    start,
			Duration: time.Since(start),
			Fault:    r.fault,
		}
		for _, to := range h.recorders {
			to.Record(x)
		}
		if cause != nil {
			panic(cause)
		}
	}()
	for _, to := range h.recorders {
		to.Arrive(r)
	}
	err = h.serveFaulty(w, r)
	returned = true
	return err
}

// panicError returns the error that records a panic with the cause, or nil for
// runtime.Goexit, which testing.T.FailNow calls.
func panicError(cause any) error {
	switch cause := cause.(type) {
	case nil:
		return errors.New("the goroutine that served the request exited")
	case error:
		return fmt.Errorf("serving the request panicked: %w", cause)
	}
	return fmt.Errorf("serving the request panicked: %v", cause)
}

// operate is the end of the road: it carries out the operation.
func (h *handler) operate(w http.ResponseWriter, r *Request) error {
	if r.err != nil {
		return r.err
	}
	switch r.Op {
	case UnknownOp:
		return h.notAllowed(r)
	case GetToken:
		return noEndpoint()
	}
	if err := h.authorize(r); err != nil {
		return err
	}
	if r.Digest != "" && !h.computes(r.Digest.Algorithm()) {
		return notComputed(r.Digest.Algorithm())
	}
	if h.without.has(r.Op) {
		return h.refuse(w, r)
	}
	switch r.Op {
	case GetBlob, HeadBlob:
		return h.getBlob(w, r)
	case DeleteBlob:
		return h.deleteBlob(w, r)
	case GetManifest:
		return h.getManifest(w, r)
	case HeadManifest:
		return h.headManifest(w, r)
	case PutManifest:
		return h.putManifest(w, r)
	case DeleteManifest, DeleteTag:
		return h.deleteManifest(w, r)
	case StartUpload:
		return h.startUpload(w, r)
	case PostBlob:
		return h.postBlob(w, r)
	case MountBlob:
		return h.mountBlob(w, r)
	case PatchUpload:
		return h.patchUpload(w, r)
	case PutUpload:
		return h.putUpload(w, r)
	case GetUpload:
		return h.getUpload(w, r)
	case CancelUpload:
		return h.cancelUpload(w, r)
	case ListTags:
		return h.listTags(w, r)
	case ListReferrers:
		return h.listReferrers(w, r)
	case ListRepositories:
		return h.listRepositories(w, r)
	case ListExtensions:
		return h.listExtensions(w, r)
	default:
		return h.ping(w, r)
	}
}

// refuse responds to an operation that this registry is without (see
// [Without]).
func (h *handler) refuse(w http.ResponseWriter, r *Request) error {
	switch r.Op {
	case MountBlob, PostBlob:
		return h.startUpload(w, r)
	case ListReferrers, ListRepositories, ListExtensions:
		return &Error{Code: CodeUnsupported, Status: http.StatusNotFound, Message: "this registry has no " + r.Op.String()}
	}
	return h.notAllowed(r)
}

// notAllowed returns an error that names the methods of the request's route.
func (h *handler) notAllowed(r *Request) error {
	var allowed []string
	for _, m := range routes[r.route] {
		op := m.op
		if op == DeleteManifest && r.Tag != "" {
			op = DeleteTag
		}
		if !h.without.has(op) {
			allowed = append(allowed, m.method)
		}
	}
	e := methodNotSupported(r)
	e.Header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return e
}

// ping implements end-1 (Determining Support).
func (h *handler) ping(w http.ResponseWriter, r *Request) error {
	return writeJSON(w, r, struct{}{})
}

// log is the recorder of [WithLogger].
func (h *handler) log(x *Exchange) {
	r := x.Request
	logf := h.logger.InfoContext
	if x.Err != nil {
		logf = h.logger.ErrorContext
	}
	args := []any{
		"method", r.Method, "path", r.URL.RequestURI(), "op", r.Op.String(), "repository", r.Repo,
		"reference", r.reference(), "status", x.Status, "in", x.BytesIn, "out", x.BytesOut, "duration", x.Duration,
	}
	if r.User != "" {
		args = append(args, "user", r.User)
	}
	if r.fault != nil {
		args = append(args, "fault", r.fault.Name)
	}
	if len(x.Errors) > 0 {
		texts := make([]string, len(x.Errors))
		for i, err := range x.Errors {
			texts[i] = err.Error()
		}
		args = append(args, "errors", texts)
	}
	if x.Err != nil {
		args = append(args, "cause", x.Err.Error())
	}
	logf(r.Context(), "request", args...)
}
