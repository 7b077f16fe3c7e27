package journal

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// A Record describes a request and its response. Credentials in its headers and
// its URL are replaced by the word "redacted". A Record must not be modified.
type Record struct {
	// Number is the number of the request in its [Journal], in the order of
	// arrival, from 1.
	Number int

	// Op is the operation, as in a [registry.Request].
	Op registry.Op

	// Repo, Tag, Digest and From name the objects of the operation, as in a
	// [registry.Request].
	Repo   string
	Tag    string
	Digest digest.Digest
	From   string

	// Session is the ID of the upload session that the request names or starts,
	// or "".
	Session string

	// Method is the HTTP method, such as "GET".
	Method string

	// URL is the absolute URL of the request. It has the host that the client sent.
	URL *url.URL

	// Proto is the protocol, such as "HTTP/1.1".
	Proto string

	// Conn is the number of the client's connection to the server, from 1, or 0
	// if it is not known.
	Conn int

	// User is the name of the user that the registry authenticated. If it
	// authenticated none, User is the name in the request's Basic credentials, or "".
	User string

	// Scope lists the scopes that the client's token covers, separated by spaces.
	// For a [registry.GetToken] request, it lists those of the token in the
	// response. It is "" if there is no token.
	Scope string

	// Range is the header Range of the request. If it has none, Range is its
	// Content-Range.
	Range string

	// ContentLength is the size in bytes of the request's body according to the
	// client, or -1 if the client did not send it.
	ContentLength int64

	// RequestHeader and ResponseHeader are the headers. They lack Host and
	// Transfer-Encoding, which net/http removes from a header.
	RequestHeader, ResponseHeader http.Header

	// RequestBody and ResponseBody are the first bytes of the bodies if the
	// journal keeps them; see [Journal.KeepBodies]. Their content is not
	// redacted.
	RequestBody, ResponseBody []byte

	// BytesIn is the number of bytes of the request's body that the registry
	// read, and BytesOut the number of bytes of the response's body that it
	// wrote.
	BytesIn, BytesOut int64

	// Status is the HTTP status of the response, or 0 if there is none.
	Status int

	// Errors are the errors in the response, if any.
	Errors []*registry.Error

	// Err is the reason why the connection was cut, or the failure of the registry
	// that caused a response with status 500. Otherwise it is nil.
	Err error

	// Fault is the fault that was injected, or nil.
	Fault *registry.Fault

	// Notes are the texts that hooks of the registry added to the exchange, such
	// as "quirk=ecr.patch-201 (https://…)".
	Notes []string

	// Gone is whether the client hung up before it had the whole response, if the
	// server noticed.
	Gone bool

	// Ongoing is whether the request had no response yet when the record was
	// made. The fields about the response are zero in that case.
	Ongoing bool

	// Start is the time at which the request arrived, and Duration the time that
	// serving it took.
	Start    time.Time
	Duration time.Duration

	// MediaType and Subject are the mediaType and the digest of the subject in the
	// manifest that the client pushed, if the journal reads manifests or kept
	// the whole body; see [Journal.ReadManifests] and [Journal.KeepBodies].
	// Otherwise they are "".
	MediaType string
	Subject   digest.Digest

	// began and ended number the arrivals and the ends of all requests of a
	// journal, in their order. ended is 0 while the request is ongoing.
	began, ended int
}

// Failed reports whether the response had a status of 400 or more, or was not
// sent in full. An ongoing request has not failed.
func (r *Record) Failed() bool {
	return !r.Ongoing && (r.Status == 0 || r.Status >= 400 || r.Err != nil || r.Gone)
}

// Faulted reports whether a fault was injected into the request.
func (r *Record) Faulted() bool { return r.Fault != nil }

// Location returns the absolute URL in the response's Location, or nil if the
// response has none or it is not valid.
func (r *Record) Location() *url.URL {
	to := r.ResponseHeader.Get("Location")
	if to == "" {
		return nil
	}
	u, err := r.URL.Parse(to)
	if err != nil {
		return nil
	}
	return u
}

// startedSession returns the ID of the upload session that the response starts,
// or "".
func startedSession(r *Record) string {
	if r.Status != http.StatusAccepted || !r.Op.StartsUpload() {
		return ""
	}
	if u := r.Location(); u != nil {
		return path.Base(u.Path)
	}
	return ""
}

// String returns a line about the request and its response, which is the same in
// every run of a test, such as
//
//	GET /v2/team/app/blobs/sha256:3a… 206 range=bytes=0-99
//
// The line has the method, the path and query, the status ("-" if there is
// none), error codes, range, user, the name of a fault and notes. It leaves out the
// host, the IDs of upload sessions, the parameter _state that package lint adds, and
// credentials. It has spaces in place of characters that are not printable.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte(' ')
	b.WriteString(r.target())
	b.WriteByte(' ')
	b.WriteString(r.status())
	for _, note := range r.notes() {
		b.WriteByte(' ')
		b.WriteString(note)
	}
	return b.String()
}

func (r *Record) status() string {
	if r.Status == 0 {
		return "-"
	}
	return strconv.Itoa(r.Status)
}

// notes returns the words that follow the status in [Record.String].
func (r *Record) notes() (notes []string) {
	for _, e := range r.Errors {
		if r.Method != http.MethodHead { // A response to HEAD has no body, and so no error codes.
			notes = append(notes, string(e.Code))
		}
	}
	if r.Range != "" {
		notes = append(notes, "range="+field.Printable(r.Range))
	}
	if r.User != "" {
		notes = append(notes, "user="+field.Printable(r.User))
	}
	if r.Fault != nil {
		fault := "fault"
		if r.Fault.Name != "" {
			fault += "=" + r.Fault.Name
		}
		notes = append(notes, fault)
	}
	for _, note := range r.Notes {
		notes = append(notes, field.Printable(note))
	}
	return notes
}

// target returns the path and query, with fixed words in place of the parts that
// differ between runs of a test.
func (r *Record) target() string {
	if r.URL == nil {
		return "?"
	}
	target := r.URL.EscapedPath()
	if r.Session != "" {
		target = strings.ReplaceAll(target, r.Session, "<session>")
	}
	var query []string
	for p := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if p != "" && !strings.HasPrefix(p, field.StateParam+"=") {
			query = append(query, p)
		}
	}
	if query != nil {
		// Some clients escape a colon and a slash in a query, and others do not.
		target += "?" + strings.NewReplacer("%3A", ":", "%3a", ":", "%2F", "/", "%2f", "/").Replace(strings.Join(query, "&"))
	}
	if host := r.URL.Host; strings.Contains(host, ":") {
		target = strings.ReplaceAll(target, host, "<host>")
	}
	return field.Printable(target)
}
