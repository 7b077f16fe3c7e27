package registry

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// serveContent answers with content of the type, which has the digest, as the
// headers of the request ask for it: whole or in ranges (RFC 9110, section 14),
// or not at all if the client has it already (section 13).
func serveContent(w http.ResponseWriter, r *Request, mediaType string, d digest.Digest, size int64, content io.ReadSeeker) error {
	fields := [...]string{
		"Content-Type", mediaType,
		"Docker-Content-Digest", string(d),
		"Etag", `"` + string(d) + `"`,
		"Accept-Ranges", "bytes",
		"Content-Length", "", // last: what negotiation leads to has its own
	}
	if needsNegotiation(r.Header) {
		setFields(w.Header(), fields[:len(fields)-2]...)
		hr := r.Request
		if unit := r.Header.Get("Range"); unit != "" && (r.Method == http.MethodHead || !strings.HasPrefix(unit, "bytes=")) {
			// RFC 9110, section 14.2: Range is for GET alone, and a unit that
			// is not understood is ignored.
			hr = hr.Clone(hr.Context())
			hr.Header.Del("Range")
		}
		nw := &negotiatedWriter{ResponseWriter: w, r: r}
		http.ServeContent(nw, hr, "", time.Time{}, content)
		if nw.err != nil {
			return fmt.Errorf("sending %s: %w", d, nw.err)
		}
		return nil
	}
	fields[len(fields)-1] = strconv.FormatInt(size, 10)
	setFields(w.Header(), fields[:]...)
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

// digestOf returns the digest that a hash of the algorithm has come to.
func digestOf(algorithm digest.Algorithm, h hash.Hash) digest.Digest {
	text := make([]byte, 0, len("sha512:")+2*sha512.Size)
	text = append(append(text, algorithm...), ':')
	return digest.Digest(hex.AppendEncode(text, h.Sum(nil)))
}

// needsNegotiation reports whether the request has a header that can change
// which part of the content is sent.
func needsNegotiation(h http.Header) bool {
	for _, k := range [...]string{"Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if len(h[k]) > 0 {
			return true
		}
	}
	return false
}

// negotiatedWriter is what [http.ServeContent] writes to. It answers a range
// that cannot be satisfied with the errors of this registry, instead of plain
// text, and keeps the error that ended the sending, which gets lost otherwise.
type negotiatedWriter struct {
	http.ResponseWriter
	r      *Request
	failed bool
	err    error
}

func (w *negotiatedWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.failed = true
		w.err = w.r.fail(w.ResponseWriter, &Error{
			Code:    CodeSizeInvalid,
			Status:  status,
			Message: fmt.Sprintf("no such range: %q", w.r.Header.Get("Range")),
		})
		return
	}
	w.ResponseWriter.WriteHeader(status)
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
