package registry

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/field"
)

// apiVersion is the value of the field Docker-Distribution-Api-Version.
var apiVersion = []string{"registry/2.0"}

// noSniff is the value of the field X-Content-Type-Options. It keeps a browser
// from rendering the bytes of a blob as a page of this host (Fetch Standard,
// section X-Content-Type-Options header).
var noSniff = []string{"nosniff"}

// addHeader adds the fields that every response has, and OCI-Namespace for a
// request with the parameter ns. An operator sets its own fields, so addHeader
// adds only the warnings if the store is an operator.
func (h *handler) addHeader(header http.Header, r *Request) {
	if h.operator == nil {
		header["Docker-Distribution-Api-Version"] = apiVersion
		header["X-Content-Type-Options"] = noSniff
	}
	for _, w := range h.warnings {
		header.Add("Warning", w)
	}
	// The spec has the parameter ns only on pulls (Registry Proxying). Clients
	// send it when they list tags, too.
	if r.URL.RawQuery != "" && h.operator == nil && (r.Op.Action() == ActionPull || r.Op == ListTags) && !h.without.has(Namespace) {
		if ns := r.URL.Query().Get("ns"); ns != "" && field.Valid(ns) {
			setFields(header, "Oci-Namespace", ns)
		}
	}
}

// setFields sets fields of a header. The arguments alternate between a name, in
// canonical form, and its value. It removes control characters, so use it for
// each value that contains text from a client or a store.
func setFields(h http.Header, namesAndValues ...string) {
	values := make([]string, len(namesAndValues)/2) // one allocation for all values
	for i := range values {
		values[i] = field.Clean(namesAndValues[2*i+1])
		h[namesAndValues[2*i]] = values[i : i+1 : i+1]
	}
}

// location returns the value of Location for a path of the API.
func (h *handler) location(r *Request, path string) string { return h.origin(r) + h.prefix + path }

// origin returns the beginning of a Location or Link: the scheme and the host of
// the request if the registry is without [RelativeLocations], or else "".
func (h *handler) origin(r *Request) string {
	switch {
	case !h.without.has(RelativeLocations):
		return ""
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// writeJSON responds with v, encoded as JSON.
func writeJSON(w http.ResponseWriter, r *Request, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the response: %w", err)
	}
	return writeBody(w, r, http.StatusOK, "application/json", text)
}

// writeBody responds with the status and the body. The response to HEAD has only
// the header.
func writeBody(w http.ResponseWriter, r *Request, status int, mediaType string, body []byte) error {
	setFields(w.Header(), "Content-Type", mediaType, "Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// writeCreated responds with 201 for a blob or manifest that the repository now
// has. The kind is the element of its path: "blobs" or "manifests".
func (h *handler) writeCreated(w http.ResponseWriter, r *Request, kind string, d digest.Digest) error {
	setFields(w.Header(),
		"Location", h.location(r, "/v2/"+r.Repo+"/"+kind+"/"+string(d)),
		"Docker-Content-Digest", string(d),
		"Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
	return nil
}

// writeEmpty responds with the status and without a body.
func writeEmpty(w http.ResponseWriter, status int) error {
	setFields(w.Header(), "Content-Length", "0")
	w.WriteHeader(status)
	return nil
}

// A cutError means that the response cannot be completed, so the connection is
// cut.
type cutError struct{ cause error }

func (e cutError) Error() string { return "connection cut: " + e.cause.Error() }
func (e cutError) Unwrap() error { return e.cause }

// respond calls serve. If serve returns an error before the response has begun,
// respond sends the error. If serve returns without a write, respond sends a header
// with the status 200, as net/http would, so that recorders and faults see it. The
// error that respond returns is a failure of the registry and not of the client: an
// error with status 500, or a [cutError].
func respond(serve Handler, w *responseWriter, r *Request) error {
	err := serve(w, r)
	switch {
	case err == nil:
		if !w.hijacked {
			w.Begin()
		}
		return nil
	case errors.As(err, new(cutError)):
		return err
	case w.Status != 0 || isEnd(err):
		return cutError{err}
	}
	return writeError(w, r, err)
}

// writeError responds with the errors in err (section Error Codes). It returns
// err if the status is 500, and nil otherwise.
func writeError(w http.ResponseWriter, r *Request, err error) error {
	type wire struct {
		Code    Code   `json:"code"`
		Message string `json:"message,omitempty"`
		Detail  any    `json:"detail,omitempty"`
	}
	var body struct {
		Errors []wire `json:"errors"`
	}
	r.errors = errorsFor(err)
	header := w.Header()
	for _, k := range []string{"Accept-Ranges", "Docker-Content-Digest", "Etag"} {
		delete(header, k)
	}
	for _, e := range r.errors {
		body.Errors = append(body.Errors, wire{e.Code, e.Message, e.Detail})
		for k, values := range e.Header {
			for _, v := range values {
				header.Add(k, v)
			}
		}
	}
	text, jsonErr := json.Marshal(body)
	if jsonErr != nil {
		return writeError(w, r, fmt.Errorf("encoding the details of an error: %w", jsonErr))
	}
	status := r.errors[0].status()
	writeBody(w, r, status, "application/json", text)
	if status == http.StatusInternalServerError {
		return err
	}
	return nil
}

// A responseWriter records the status of the response and the number of bytes in
// its body.
type responseWriter struct {
	conn.Writer
	bytes    int64
	hijacked bool // whether a middleware has taken the connection
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.Begin()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets net/http send a file with sendfile.
func (w *responseWriter) ReadFrom(src io.Reader) (int64, error) {
	w.Begin()
	n, err := io.Copy(w.ResponseWriter, src)
	w.bytes += n
	return n, err
}

// Flush implements [http.Flusher], which a middleware may use.
func (w *responseWriter) Flush() { w.FlushError() }

// Hijack implements [http.Hijacker]. After that, respond does not begin a response:
// net/http would log the attempt.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = w.hijacked || err == nil
	return c, buffered, err
}

// A countingBody counts the bytes of a request's body as they are read.
type countingBody struct {
	io.ReadCloser
	bytes int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	return n, err
}
