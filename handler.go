// Package registry serves the OCI distribution API from a [Store], for tests.
//
// [New] makes an [http.Handler] of a store, such as those in the packages
// memstore and layout. It implements the OCI Distribution Specification and,
// as far as clients still use it, the Docker Registry HTTP API V2 that it came
// from. Whatever else a test wants (requests recorded, failures, warnings, an
// API that is missing) is an [Option].
//
// Package registrytest, which most tests start from, serves it on a loopback
// address in one line.
package registry

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// New returns a handler that serves what is in the store. It leaves no
// goroutine running and needs no closing. A store may be served by several
// handlers at once, but an upload session belongs to one.
//
// The handler expects to be at the root of its host: paths begin with /v2/.
func New(store Store, opts ...Option) http.Handler {
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

	// buffers has *bytes.Buffer, in which long lists are written.
	buffers sync.Pool
}

// apiVersion is the value of Docker-Distribution-Api-Version in every answer.
var apiVersion = []string{"registry/2.0"}

// ServeHTTP is the one road that every request takes: it is parsed, recorded,
// hit by a fault if there is one, and goes through the middleware to its
// operation.
func (h *handler) ServeHTTP(hw http.ResponseWriter, hr *http.Request) {
	// One allocation for all that belongs to the request.
	call := &struct {
		request Request
		writer  responseWriter
		body    countingBody
	}{}
	r, w := &call.request, &call.writer
	w.ResponseWriter = hw

	var start time.Time
	recorded := len(h.recorders) > 0
	if recorded || hr.Body == nil {
		copied := *hr
		if copied.Body == nil {
			copied.Body = http.NoBody
		}
		if recorded {
			start = time.Now()
			call.body.ReadCloser = copied.Body
			copied.Body = &call.body
		}
		hr = &copied
	}
	r.parse(hr)
	h.addHeader(w.Header(), r)
	for _, to := range h.recorders {
		to.Arrive(r)
	}

	err := h.serveFaulty(w, r)

	if recorded {
		e := &Exchange{
			Request:  r,
			Status:   w.status,
			Header:   w.Header(),
			Errors:   r.told,
			Err:      err,
			BytesIn:  call.body.bytes,
			BytesOut: w.bytes,
			Start:    start,
			Duration: time.Since(start),
			Fault:    r.fault,
		}
		for _, to := range h.recorders {
			to.Record(e)
		}
	}
	if err != nil && errors.As(err, new(cutError)) {
		// The client must not take what it has got for a whole answer.
		panic(http.ErrAbortHandler)
	}
}

// addHeader adds what every answer has.
func (h *handler) addHeader(header http.Header, r *Request) {
	header["Docker-Distribution-Api-Version"] = apiVersion
	for _, w := range h.warnings {
		header.Add("Warning", w)
	}
	if r.URL.RawQuery != "" && !r.Op.Writes() && !h.without.has(Namespace) {
		if ns := r.URL.Query().Get("ns"); ns != "" {
			header.Set("OCI-Namespace", ns)
		}
	}
}

// A cutError is an error that nothing can be answered to anymore: it cuts the
// connection.
type cutError struct{ cause error }

func (e cutError) Error() string { return "connection cut: " + e.cause.Error() }
func (e cutError) Unwrap() error { return e.cause }

// answer has the request served and answers the error that comes of it, if
// any. It returns the error if that is not the client's: a failure of the
// registry, or a [cutError].
func answer(serve Handler, w *responseWriter, r *Request) error {
	err := serve(w, r)
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(cutError)):
		return err
	case w.status != 0 || isEnd(err):
		return cutError{err}
	}
	return r.fail(w, err)
}

// operate is the end of the road: it carries out what is asked for.
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
		return h.catalog(w, r)
	case ListExtensions:
		return h.discover(w, r)
	default:
		return h.ping(w, r)
	}
}

// computes reports whether this registry computes digests of the algorithm.
func (h *handler) computes(a digest.Algorithm) bool {
	switch a {
	case digest.SHA256:
		return true
	case digest.SHA384, digest.SHA512:
		return !h.without.has(SHA512)
	}
	return false
}

// notComputed returns the error for a digest of such an algorithm.
func notComputed(a digest.Algorithm) error {
	return Errorf(CodeDigestInvalid, "digest algorithm %q is not supported", a)
}

// refuse answers an operation that this registry is without, see [Without].
func (h *handler) refuse(w http.ResponseWriter, r *Request) error {
	switch r.Op {
	case MountBlob, PostBlob:
		return h.startUpload(w, r)
	case ListReferrers, ListRepositories, ListExtensions:
		return &Error{Code: CodeUnsupported, Status: http.StatusNotFound, Message: "this registry has no " + r.Op.String()}
	}
	return h.notAllowed(r)
}

// notAllowed says which methods the route of the request has.
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

// ping answers that the registry implements the spec (Determining Support).
func (h *handler) ping(w http.ResponseWriter, r *Request) error {
	return writeJSON(w, r, struct{}{})
}

// log is the recorder of [WithLogger].
func (h *handler) log(e *Exchange) {
	r := e.Request
	logf := h.logger.InfoContext
	if e.Err != nil {
		logf = h.logger.ErrorContext
	}
	args := []any{
		"method", r.Method, "path", r.URL.RequestURI(), "op", r.Op.String(), "repository", r.Repo,
		"reference", r.reference(), "status", e.Status, "in", e.BytesIn, "out", e.BytesOut, "duration", e.Duration,
	}
	if r.User != "" {
		args = append(args, "user", r.User)
	}
	if r.fault != nil {
		args = append(args, "fault", r.fault.Name)
	}
	if len(e.Errors) > 0 {
		told := make([]string, len(e.Errors))
		for i, err := range e.Errors {
			told[i] = err.Error()
		}
		args = append(args, "errors", told)
	}
	if e.Err != nil {
		args = append(args, "cause", e.Err.Error())
	}
	logf(r.Context(), "request", args...)
}
