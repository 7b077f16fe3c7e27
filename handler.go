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
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/field"
)

// New returns a handler that serves the content of the store. The handler starts
// no goroutine and needs no closing. Several handlers may share a store, but an
// upload session belongs to the handler that started it.
//
// The handler must be at the root of its host, because all paths begin with
// /v2/; see [WithPathPrefix]. New panics if the store or an option is nil, if
// two options set the same thing to different values, if the warnings are too
// long, or if an option has no effect with the store (see [Store]).
func New(store Store, opts ...Option) http.Handler {
	if store == nil {
		panic("registry: New needs a store; memstore.New() makes an empty one")
	}
	if err := checkStore(store, opts); err != nil {
		panic("registry: " + err.Error())
	}
	h := &handler{config: newConfig(opts), store: store}
	h.operator, _ = store.(operator)
	if s, ok := store.(interface{ SharesBlobs() bool }); ok {
		h.sharesBlobs = s.SharesBlobs()
	}
	if h.maxBytes < math.MaxInt64 {
		h.store = newLimitedStore(store, h.maxBytes)
	}
	h.uploads.expiry, h.uploads.max = h.uploadExpiry, h.maxSessions
	if h.without.has(CrossOrigin) {
		h.middleware = append([]func(Handler) Handler{refuseCrossOrigin}, h.middleware...)
	}
	h.serve = h.operate
	for i := len(h.middleware) - 1; i >= 0; i-- {
		h.serve = h.middleware[i](h.serve)
	}
	return h
}

type handler struct {
	config
	store   Store
	uploads uploads
	serve   Handler // operate, wrapped in the middleware

	operator    operator // the store, if it carries out the operations, or nil
	sharesBlobs bool     // whether the repositories of the store share their blobs

	// A DELETE of a manifest locks writes if it has conditions, so that no push
	// comes between the check and the deletion. A push of a manifest holds writes
	// for reading.
	writes sync.RWMutex

	// lastParsed is the last parsed manifest that is not larger than maxRemembered.
	lastParsed atomic.Pointer[parsedManifest]

	// buffers holds *bytes.Buffer for lists of referrers.
	buffers sync.Pool
}

// ServeHTTP serves every request in the same steps: it parses the URL, tells the
// recorders that the request has arrived, injects faults, runs the middleware
// and the operation, and passes the response to the recorders.
func (h *handler) ServeHTTP(hw http.ResponseWriter, hr *http.Request) {
	if hr.Body == nil || lengthUnknown(hr) {
		copied := *hr
		if copied.Body == nil {
			copied.Body = http.NoBody
		} else {
			copied.ContentLength = -1
		}
		hr = &copied
	}
	w, r := &responseWriter{Writer: conn.Writer{ResponseWriter: hw}}, &Request{registry: h}
	r.parse(hr, h.prefix)
	h.addHeader(w.Header(), r)
	var err error
	if len(h.recorders) > 0 {
		err = h.serveRecorded(w, r)
	} else {
		err = h.serveFaulty(w, r)
	}
	if err != nil && errors.As(err, new(cutError)) {
		// Cut the connection, so that the client does not take a part of the
		// response for the whole.
		panic(http.ErrAbortHandler)
	}
}

// lengthUnknown reports whether the length of the request's body is unknown
// although ContentLength is 0. That happens if a test passes a request of
// http.NewRequest to the handler: in a request of a client, 0 also means that the
// length is unknown.
func lengthUnknown(r *http.Request) bool {
	if r.ContentLength != 0 || r.Body == nil || r.Body == http.NoBody || r.ProtoMajor > 1 {
		return false
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return r.Header.Get("Content-Length") == ""
	}
	return false
}

// serveRecorded serves the request and tells the recorders how serving it ended:
// with a response, an error, a panic or [runtime.Goexit].
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
			Status:   w.Status,
			Header:   w.Header(),
			Errors:   r.errors,
			Err:      err,
			BytesIn:  body.bytes,
			BytesOut: w.bytes,
			Start:    start,
			Duration: time.Since(start),
			Fault:    r.fault.shown(),
			Notes:    r.notes,
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

// panicError returns the error to record for a panic with the cause. The cause
// is nil for runtime.Goexit, which testing.T.FailNow calls.
func panicError(cause any) error {
	switch cause := cause.(type) {
	case nil:
		return errors.New("the goroutine that served the request exited")
	case error:
		return fmt.Errorf("serving the request panicked: %w", cause)
	}
	return fmt.Errorf("serving the request panicked: %v", cause)
}

// operate carries out the operation of the request, inside the middleware.
func (h *handler) operate(w http.ResponseWriter, r *Request) error {
	if at := routes[r.route]; len(at) > 0 && h.without.has(at[0].op) && at[0].op.has(optional) {
		e := Errorf(CodeUnsupported, "this registry has no %s", at[0].op)
		e.Status = http.StatusNotFound
		return e
	}
	if h.operator != nil {
		return h.pass(w, r)
	}
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
	if r.fault.servesPermitted(r) {
		return r.fault.Serve(w, r)
	}
	if h.without.has(r.Op) {
		return h.refuse(w, r)
	}
	if r.Digest != "" && !h.computes(r.Digest.Algorithm()) {
		if done, err := h.withoutDigest(w, r); done {
			return err
		}
	}
	switch r.Op {
	case Ping:
		return h.ping(w, r)
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
	}
	return fmt.Errorf("%v is not implemented", r.Op)
}

// refuse responds to an operation that [Without] removed from the registry.
func (h *handler) refuse(w http.ResponseWriter, r *Request) error {
	if r.Op == MountBlob || r.Op == PostBlob {
		return h.startUpload(w, r)
	}
	return h.notAllowed(r)
}

// withoutDigest responds to a request whose digest has an algorithm that the
// registry does not compute, so it has no such content. It returns done = false
// for ListReferrers, since there may be referrers to such a digest.
func (h *handler) withoutDigest(w http.ResponseWriter, r *Request) (done bool, err error) {
	switch r.Op {
	case GetBlob, HeadBlob, DeleteBlob:
		return true, h.blobError(r, "looking up", fs.ErrNotExist)
	case GetManifest, HeadManifest, DeleteManifest:
		return true, h.manifestError(r, "looking up", fs.ErrNotExist)
	case MountBlob:
		return true, h.startUpload(w, r)
	case ListReferrers:
		return false, nil
	}
	return true, notComputed(r.Digest.Algorithm())
}

// notAllowed returns an error with the field Allow, which lists the methods that
// the registry has for the request's endpoint.
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
	e := methodNotSupported()
	e.Header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return e
}

// ping implements end-1 (Determining Support).
func (h *handler) ping(w http.ResponseWriter, r *Request) error {
	return writeBody(w, r, http.StatusOK, "application/json", []byte("{}"))
}

// logTo logs an exchange for [WithLogger].
func logTo(l *slog.Logger, x *Exchange) {
	r := x.Request
	logf := l.InfoContext
	if x.Err != nil {
		logf = l.ErrorContext
	}
	args := []any{
		"method", field.Printable(r.Method), "path", field.Printable(r.URL.RequestURI()), "op", r.Op.String(), "repository", r.Repo,
		"reference", r.reference(), "status", x.Status, "in", x.BytesIn, "out", x.BytesOut, "duration", x.Duration,
	}
	if r.User != "" {
		args = append(args, "user", field.Printable(r.User))
	}
	if f := x.Fault; f != nil {
		args = append(args, "fault", f.Name)
	}
	if len(x.Notes) > 0 {
		args = append(args, "notes", x.Notes)
	}
	if len(x.Errors) > 0 {
		texts := make([]string, len(x.Errors))
		for i, err := range x.Errors {
			texts[i] = field.Printable(err.Error())
		}
		args = append(args, "errors", texts)
	}
	if x.Err != nil {
		args = append(args, "cause", field.Printable(x.Err.Error()))
	}
	logf(r.Context(), "request", args...)
}
