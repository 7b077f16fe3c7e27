package registry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// serveContent answers with content of the type, which has the digest, as the
// headers of the request ask for it: whole or in ranges (RFC 9110, section 14),
// or not at all if the client has it already (section 13).
func (h *handler) serveContent(w http.ResponseWriter, r *Request, mediaType string, d digest.Digest, size int64, content io.ReadSeeker) error {
	setFields(w.Header(), "Content-Type", mediaType, "Docker-Content-Digest", string(d))
	if !h.without.has(ConditionalReads) {
		setFields(w.Header(), "Etag", `"`+string(d)+`"`)
	}
	if !h.without.has(Ranges) {
		setFields(w.Header(), "Accept-Ranges", "bytes")
	}
	if header := h.negotiable(r); header != nil {
		hr := *r.Request
		hr.Header = header
		nw := &negotiatedWriter{ResponseWriter: w, r: r, size: size, noRanges: h.without.has(Ranges)}
		http.ServeContent(nw, &hr, "", time.Time{}, content)
		if nw.err != nil {
			return fmt.Errorf("sending %s: %w", d, nw.err)
		}
		return nil
	}
	setFields(w.Header(), "Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	var err error
	_, isFile := content.(*os.File)
	if src, ok := content.(io.WriterTo); ok && !isFile {
		_, err = src.WriteTo(w)
	} else {
		// A file goes to the operating system as http.ServeContent passes it.
		_, err = io.CopyN(w, content, size)
	}
	if err != nil {
		return fmt.Errorf("sending %s: %w", d, err)
	}
	return nil
}

// setFields sets fields of a header, given as names in canonical form, each
// followed by its value.
func setFields(h http.Header, namesAndValues ...string) {
	// One array instead of one for each value.
	values := make([]string, len(namesAndValues)/2)
	for i := range values {
		values[i] = namesAndValues[2*i+1]
		h[namesAndValues[2*i]] = values[i : i+1 : i+1]
	}
}

// digestOf returns the digest of content.
func digestOf(algorithm digest.Algorithm, content []byte) digest.Digest {
	if algorithm == digest.SHA256 {
		sum := sha256.Sum256(content)
		return newDigest(algorithm, sum[:])
	}
	h := algorithm.Hash()
	h.Write(content)
	return newDigest(algorithm, h.Sum(nil))
}

// newDigest returns the digest that has the sum.
func newDigest(algorithm digest.Algorithm, sum []byte) digest.Digest {
	text := make([]byte, 0, len("sha512:")+2*sha512.Size)
	text = append(append(text, algorithm...), ':')
	return digest.Digest(hex.AppendEncode(text, sum))
}

// negotiable returns the fields of the request that can change which part of
// the content is sent, or nil if it has none.
func (h *handler) negotiable(r *Request) (header http.Header) {
	add := func(name, value string) {
		if header == nil {
			header = make(http.Header)
		}
		header[name] = []string{value}
	}
	if !h.without.has(ConditionalReads) {
		for _, k := range [...]string{"If-Match", "If-None-Match"} {
			if v := r.Header[k]; len(v) > 0 {
				add(k, v[0])
			}
		}
	}
	// RFC 9110, section 14.2: Range is for GET alone, and a unit that the
	// server does not understand is ignored.
	ranges := r.Header.Get("Range")
	if r.Method != http.MethodHead && strings.HasPrefix(ranges, "bytes=") && !h.without.has(Ranges) {
		add("Range", cleanRange(ranges))
		if v := r.Header.Get("If-Range"); v != "" {
			add("If-Range", v)
		}
	}
	return header
}

// cleanRange returns a header Range in which [http.ServeContent] finds what RFC
// 9110, section 14.1.2, says: a position beyond all numbers is one beyond the
// end, and the last 0 bytes cannot be had.
func cleanRange(ranges string) string {
	if strings.TrimSpace(strings.TrimPrefix(ranges, "bytes=")) == "-0" {
		return "bytes=" + beyond + "-"
	}
	return longNumber.ReplaceAllString(ranges, beyond)
}

// beyond is a position that no content has.
const beyond = "999999999999999999"

var longNumber = regexp.MustCompile(`[0-9]{19,}`)

// negotiatedWriter is what [http.ServeContent] writes to. It answers a range
// that cannot be satisfied, and a condition that does not hold, with the errors
// of this registry, instead of plain text, and keeps the error that ended the
// sending, which gets lost otherwise.
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
		w.Header().Del("Accept-Ranges") // which http.ServeContent has set
	}
	e := &Error{Status: status}
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		e.Code, e.Message = CodeSizeInvalid, fmt.Sprintf("no such range: %q", w.r.Header.Get("Range"))
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(w.size, 10))
	case http.StatusPreconditionFailed:
		e.Code, e.Message = CodeManifestInvalid, "precondition failed"
		if w.r.route == blobRoute {
			e.Code = CodeDigestInvalid
		}
	default:
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.failed = true
	w.err = w.r.fail(w.ResponseWriter, e)
}

func (w *negotiatedWriter) Write(p []byte) (int, error) {
	if w.failed {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom is how the content is written, all of it or one range after the
// other.
func (w *negotiatedWriter) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	if l, ok := src.(*io.LimitedReader); ok && err == nil && l.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	w.err = err
	return n, err
}
