package registry

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/manifest"
)

// serveContent responds with content of the media type: with all of it, with the
// ranges that the request asks for (RFC 9110, section 14), or with no content if
// a condition of the request does not hold (section 13).
func (h *handler) serveContent(w http.ResponseWriter, r *Request, mediaType string, d digest.Digest, size int64, content io.ReadSeeker) error {
	if !field.Valid(mediaType) {
		mediaType = blobMediaType // Another program may have put an invalid media type into the store.
	}
	fields := append(make([]string, 0, 12), "Content-Type", mediaType, "Docker-Content-Digest", string(d))
	if mediaType != blobMediaType && !manifest.Known(mediaType) {
		// A manifest may have any media type, such as text/html. A browser must not
		// run its scripts as those of a page of this host (Content Security Policy
		// Level 3, section sandbox).
		fields = append(fields, "Content-Security-Policy", "sandbox")
	}
	if !h.without.has(ConditionalReads) {
		fields = append(fields, "Etag", `"`+string(d)+`"`)
	}
	if !h.without.has(Ranges) {
		fields = append(fields, "Accept-Ranges", "bytes")
	}
	if header := h.negotiable(r, size); header != nil {
		setFields(w.Header(), fields...)
		hr := *r.Request
		hr.Header = header
		nw := &negotiatedWriter{ResponseWriter: w, r: r, size: size, noRanges: h.without.has(Ranges)}
		http.ServeContent(nw, &hr, "", time.Time{}, content)
		if nw.err != nil {
			return fmt.Errorf("sending %s: %w", d, nw.err)
		}
		return nil
	}
	setFields(w.Header(), append(fields, "Content-Length", strconv.FormatInt(size, 10))...)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	var err error
	_, isFile := content.(*os.File)
	if src, ok := content.(io.WriterTo); ok && !isFile {
		_, err = src.WriteTo(w)
	} else {
		// net/http can use sendfile for the reader that io.CopyN passes on.
		_, err = io.CopyN(w, content, size)
	}
	if err != nil {
		return fmt.Errorf("sending %s: %w", d, err)
	}
	return nil
}

// negotiable returns the fields of the request that decide which part of the
// content is sent, or nil if the request has none of them.
func (h *handler) negotiable(r *Request, size int64) (header http.Header) {
	add := func(name, value string) {
		if header == nil {
			header = make(http.Header)
		}
		header[name] = []string{value}
	}
	if !h.without.has(ConditionalReads) {
		for _, k := range [...]string{"If-Match", "If-None-Match"} {
			if v := r.Header[k]; len(v) > 0 {
				add(k, strings.Join(v, ", ")) // the lines of a field are one list: RFC 9110, section 5.3
			}
		}
	}
	// A Range has an effect only for GET, and a server ignores a unit that it does
	// not know (RFC 9110, section 14.2).
	ranges := r.Header.Get("Range")
	// A 206 response cannot describe a range of an empty blob, so the response is
	// the whole blob.
	if r.Method != http.MethodHead && strings.HasPrefix(ranges, "bytes=") && size > 0 && !h.without.has(Ranges) {
		if ranges, ok := cleanRange(ranges); ok {
			add("Range", ranges)
			if v := r.Header.Get("If-Range"); v != "" {
				add("If-Range", v)
			}
		}
	}
	return header
}

// maxRanges is the greatest number of ranges in a response. Each range adds a
// header of about 150 bytes, so 200,000 ranges of one byte would make a response
// of 28 MB. ServeContent limits only the sum of the ranges.
const maxRanges = 100

// cleanRange returns the Range in a form that [http.ServeContent] reads as RFC
// 9110, section 14.1.2, requires. ServeContent itself would accept "- 1" and
// "-+1" as ranges, treat "-0" as a range that can be satisfied,
// and reject a position that is too large for an int64.
//
// If the Range has too many ranges, ok is false. The response is then the whole
// content, as for a request without Range (RFC 9110, section 14.2).
func cleanRange(ranges string) (_ string, ok bool) {
	var clean []string
	for _, element := range strings.Split(strings.TrimPrefix(ranges, "bytes="), ",") {
		element = strings.Trim(element, " \t")
		m := byteRange.FindStringSubmatch(element)
		switch {
		case element == "":
			continue
		case len(clean) == maxRanges:
			return "", false
		case m == nil:
			return "bytes=invalid", true
		case m[3] == "":
			element = position(m[1]) + "-" + position(m[2])
		case position(m[3]) == "0":
			element = beyond + "-"
		default:
			element = "-" + position(m[3])
		}
		clean = append(clean, element)
	}
	return "bytes=" + strings.Join(clean, ","), true
}

// byteRange matches the forms of a range: first-last, first- and -length.
var byteRange = regexp.MustCompile(`^(?:([0-9]+)-([0-9]*)|-([0-9]+))$`)

// beyond is a position after the end of every content.
const beyond = "999999999999999999"

// position returns the digits without leading zeros, or beyond if the number is
// larger. It returns "" for no digits.
func position(digits string) string {
	switch number := strings.TrimLeft(digits, "0"); {
	case number == "" && digits != "":
		return "0"
	case len(number) > len(beyond):
		return beyond
	default:
		return number
	}
}

// A negotiatedWriter is the response writer for [http.ServeContent]. If a range
// is not satisfiable or a condition does not hold, ServeContent writes an error
// as plain text; the writer sends an error in JSON instead. It also keeps the
// error of sending the content, which ServeContent drops.
type negotiatedWriter struct {
	http.ResponseWriter
	r        *Request
	size     int64
	noRanges bool
	failed   bool
	err      error
}

func (w *negotiatedWriter) WriteHeader(status int) {
	if w.noRanges {
		w.Header().Del("Accept-Ranges") // http.ServeContent has set it
	}
	var e *Error
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		e = Errorf(CodeSizeInvalid, "no such range: %q", w.r.Header.Get("Range"))
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(w.size, 10))
	case http.StatusPreconditionFailed:
		code := CodeManifestInvalid
		if w.r.route == blobRoute {
			code = CodeDigestInvalid
		}
		e = Errorf(code, "precondition failed: the ETag is %s", w.Header().Get("Etag"))
	default:
		w.ResponseWriter.WriteHeader(status)
		return
	}
	e.Status = status
	w.failed = true
	w.err = writeError(w.ResponseWriter, w.r, e)
}

func (w *negotiatedWriter) Write(p []byte) (int, error) {
	if w.failed {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom is called once by ServeContent, to write the body of the response: the
// content, one range of it, or all ranges as multipart/byteranges.
func (w *negotiatedWriter) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	if l, ok := src.(*io.LimitedReader); ok && err == nil && l.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	w.err = err
	return n, err
}
