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
)

// A Record is a request and how it was answered. Credentials in it have been
// replaced by the word "redacted". It must not be modified.
type Record struct {
	// Number is the number of the request in its [Journal], in the order of
	// arrival, from 1.
	Number int

	// Op is the operation.
	Op registry.Op

	// Repo, Tag, Digest and From say of what, as in a [registry.Request].
	Repo   string
	Tag    string
	Digest digest.Digest
	From   string

	// Session is the ID of the upload session that the request is for or has
	// started, or "".
	Session string

	// Method is the HTTP method.
	Method string

	// URL is the absolute URL.
	URL *url.URL

	// Proto is the protocol, such as "HTTP/1.1".
	Proto string

	// Conn is the number of the connection that the request came by, from 1, or
	// 0 if it is not known.
	Conn int

	// User is who has sent the request: whom the registry took the client for,
	// or else the name in its Basic credentials; or "".
	User string

	// Scope lists the scopes that the client's token covers, separated by
	// spaces; of a [registry.GetToken] request, those of the token in the
	// response. It is "" if there is no token.
	Scope string

	// Range is the header Range, or else Content-Range, of the request.
	Range string

	// ContentLength is the size in bytes that the body of the request was
	// announced to have, or -1 if it was not announced.
	ContentLength int64

	// RequestHeader and ResponseHeader are the headers. What is in neither of
	// them, Host and Transfer-Encoding, net/http keeps to itself.
	RequestHeader, ResponseHeader http.Header

	// RequestBody and ResponseBody are the beginnings of the bodies, if they
	// were asked for (see [WithBodies]). What is in them is not redacted.
	RequestBody, ResponseBody []byte

	// BytesIn and BytesOut are how many bytes of the request's body were read
	// and of the answer's body were written.
	BytesIn, BytesOut int64

	// Status is the HTTP status of the answer, or 0 if there was none.
	Status int

	// Errors is what the answer said was wrong, empty on success.
	Errors []*registry.Error

	// Err is why the connection was cut, or what failed in the registry where
	// the answer is 500; nil otherwise.
	Err error

	// Fault is what went wrong on purpose, or nil.
	Fault *registry.Fault

	// Gone is whether the client went away before it had all of the answer, as
	// far as the server has noticed.
	Gone bool

	// Ongoing is whether the request had not been answered when the record was
	// made. What is known only afterwards is zero then.
	Ongoing bool

	// Start is when the request arrived, and Duration how long it took.
	Start    time.Time
	Duration time.Duration

	// MediaType and Subject are the mediaType and the digest of the subject in
	// the manifest that the client pushed, or "". They are known if the journal
	// reads manifests; see [Journal.ReadManifests].
	MediaType string
	Subject   digest.Digest

	// began and ended order the arrivals and the ends of all requests of a
	// journal. ended is 0 while the request is ongoing.
	began, ended int
}

// StateParam is the query parameter that a strict server adds to the URLs in
// Location and Link, to see whether clients send it back. [Record.String] leaves
// it out.
const StateParam = "_state"

// String returns the request and the answer in one line that is the same in
// every run of a test, such as
//
//	GET /v2/team/app/blobs/sha256:3a… 206 range=bytes=0-99
//
// It has the method, the path and query, the status ("-" if there was none),
// error codes, range, user and the name of a fault. The host, upload sessions
// and credentials are left out.
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

// notes are what there is to say of the request beside its target and status.
func (r *Record) notes() (notes []string) {
	for _, e := range r.Errors {
		if r.Method != http.MethodHead { // Nobody has told the client.
			notes = append(notes, string(e.Code))
		}
	}
	if r.Range != "" {
		notes = append(notes, "range="+r.Range)
	}
	if r.User != "" {
		notes = append(notes, "user="+r.User)
	}
	if r.Fault != nil {
		fault := "fault"
		if r.Fault.Name != "" {
			fault += "=" + r.Fault.Name
		}
		notes = append(notes, fault)
	}
	return notes
}

// target is the path and query, without what differs from run to run.
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
		if p != "" && !strings.HasPrefix(p, StateParam+"=") {
			query = append(query, p)
		}
	}
	if query != nil {
		// Clients differ in whether they escape these; they do not have to.
		target += "?" + strings.NewReplacer("%3A", ":", "%3a", ":", "%2F", "/", "%2f", "/").Replace(strings.Join(query, "&"))
	}
	if host := r.URL.Host; strings.Contains(host, ":") {
		target = strings.ReplaceAll(target, host, "<host>")
	}
	return target
}

// startedSession returns the ID of the upload session that an answer begins.
func startedSession(r *Record) string {
	if r.Status != http.StatusAccepted {
		return ""
	}
	switch r.Op {
	case registry.StartUpload, registry.MountBlob, registry.PostBlob:
		if u := r.Location(); u != nil {
			return path.Base(u.Path)
		}
	}
	return ""
}

// Location returns the absolute URL of the response's Location, or nil if it has
// none that is valid.
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
