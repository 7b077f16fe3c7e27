package fault

import (
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Body says how [Rule.Body] changes the body of a response. It is the shape of an
// error, [Own], an encoding, or a value that [Text], [Append] or [Errors] returns.
type Body string

// These values are shapes of errors. Only Spec is the JSON that the spec defines.
// Registries, or proxies and storage services in front of them, are known to send the
// others.
const (
	Spec   Body = "spec"    // JSON as in the spec's section Error Codes
	NoCode Body = "no-code" // JSON as in the spec, without a code
	Bare   Body = "bare"    // one error as a JSON object, without the list of errors around it
	Plain  Body = "plain"   // plain text
	HTML   Body = "html"    // an HTML page
	Broken Body = "broken"  // JSON that is cut off
	Empty  Body = "empty"   // no body
)

// Own keeps the body and the header of the operation's response, so that the rule
// changes only the status. With AfterCommit, the response to an operation that fails
// keeps its status, too.
const Own Body = "own"

// These values are encodings. Each adds a Content-Encoding, whether or not the
// client accepts it.
const (
	Gzip       Body = "gzip"
	Deflate    Body = "deflate"
	RawDeflate Body = "raw-deflate" // like Deflate, without the zlib format around the data
	Zstd       Body = "zstd"
)

// Errors gives every error, including one of the operation itself, a shape other than
// [Spec], such as [HTML]. Other responses stay as they are.
func Errors(shape Body) Body { return "errors:" + shape }

// Text replaces the body with the text, and adjusts Content-Length. The other
// headers stay as they are.
func Text(text string) Body { return Body("text:" + text) }

// Append adds the text to the end of the body, and adjusts Content-Length. With
// ContentLength(-n), the last n bytes of the text come after the end of the response.
func Append(text string) Body { return Body("append:" + text) }

// Body changes the body of the response, in the order of the values. If one of them
// is the shape of an error, the rule responds with an error of this shape; its
// status is 500 if the rule has no Status and no Code. Without a shape, Body changes
// the response of the operation, or the response that the rule's other words give. In
// the text of the rule, each value has a word of its own:
//
//	get-blob status=503 body=html
//	get-blob body=text:other
//	get-blob body=append:more body=deflate body=gzip
//	patch-upload after-commit status=201 body=own
func (r Rule) Body(values ...Body) Rule {
	if len(values) == 0 {
		r, _ = r.addAgain("body", "")
		return r.refuse(errors.New("it needs a value"))
	}
	for _, b := range values {
		var p *part
		r, p = r.addAgain("body", b)
		r = r.refuse(p.changeBody(b))
	}
	return r
}

func (p *part) changeBody(b Body) error {
	kind, text, isText := strings.Cut(string(b), ":")
	switch {
	case isText && kind == "text":
		if p.response.shape != "" || slices.Contains(p.names, "body text") {
			return errors.New("a response has only one body")
		}
		p.names = append(p.names, "body text")
		p.do(func(p *plan, _ *hit) { p.replaceBody(text) })
	case isText && kind == "append":
		if text == "" {
			return errors.New("there is nothing to append")
		}
		p.do(func(p *plan, _ *hit) { p.appendToBody(text) })
	case isText && kind == "errors":
		shape := Body(text)
		if !slices.Contains(shapes[1:], shape) {
			return fmt.Errorf("no other shape of errors is called %q%s", text, didYouMean(text, bodyNames()[1:len(shapes)]))
		}
		p.try(func(p *plan, h *hit) { p.reshapeErrors(shape, h) })
	case encoders[b] != nil:
		p.do(func(p *plan, _ *hit) { p.encodeBody(b) })
	case b == Own, slices.Contains(shapes, b):
		if p.response.shape != "" || slices.Contains(p.names, "body text") {
			return errors.New("a response has only one body")
		}
		p.responds, p.response.shape = true, b
		if b == Own {
			p.try(func(p *plan, h *hit) { p.changeStatus(h) })
		}
	default:
		return fmt.Errorf("no body is called %q%s", b, didYouMean(string(b), bodyNames()))
	}
	return nil
}

// shapes lists the shapes of errors. Spec is the first.
var shapes = []Body{Spec, NoCode, Bare, Plain, HTML, Broken, Empty}

// encoders maps each encoding to a function that returns a writer that encodes.
var encoders = map[Body]func(io.Writer) io.WriteCloser{
	Gzip:       func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	Deflate:    func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }, // RFC 9110, section 8.4.1.2
	RawDeflate: newRawDeflate,
	Zstd:       func(w io.Writer) io.WriteCloser { return &zstdWriter{to: w} },
}

// newRawDeflate returns a writer that deflates without the zlib format. Some servers
// send this form, although RFC 9110, section 8.4.1.2, forbids it.
func newRawDeflate(w io.Writer) io.WriteCloser {
	// NewWriter fails only for a level that does not exist.
	f, _ := flate.NewWriter(w, flate.DefaultCompression)
	return f
}

// bodyNames returns the names of all values, for suggestions. If a value has a text,
// its name ends with a colon.
func bodyNames() (names []string) {
	for _, b := range shapes {
		names = append(names, string(b))
	}
	for b := range encoders {
		names = append(names, string(b))
	}
	return append(names, string(Own), "text:", "append:", "errors:")
}

// bodyWords has the words for the methods in this file.
var bodyWords = vocabulary{
	{"body", text(func(r Rule, b string) Rule { return r.Body(Body(b)) })},
}

// changeStatus replaces the status of the operation's response with that of the rule,
// for [Own].
func (p *plan) changeStatus(h *hit) {
	p.headers = append(p.headers, func(status int, _ http.Header) int {
		to := h.part.response.status
		if status >= 400 && h.part.afterCommit || status == to {
			return status
		}
		h.met()
		return to
	})
}

// rewriteBody makes the body of the response pass through the writer that rewrite
// returns. It changes a Content-Length of n to size(n). If the response has no
// Content-Length, n is -1; if size returns -1, the header is removed.
func (p *plan) rewriteBody(size func(int64) int64, rewrite func(w io.Writer) io.Writer) {
	p.changeHeader(func(h http.Header) {
		n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
		if err != nil {
			n = -1
		}
		if n = size(n); n >= 0 {
			h.Set("Content-Length", strconv.FormatInt(n, 10))
		} else {
			h.Del("Content-Length")
		}
	})
	p.wrapBody(rewrite)
}

// wrapBody makes the body of the response pass through the writer that wrap returns.
// It does nothing for a HEAD request, because the response has no body.
func (p *plan) wrapBody(wrap func(w io.Writer) io.Writer) {
	if p.request.Method != http.MethodHead {
		p.bodies = append(p.bodies, func(w io.Writer, _ int64) io.Writer { return wrap(w) })
	}
}

// replaceBody replaces the body of the response with the text.
func (p *plan) replaceBody(text string) {
	p.rewriteBody(func(int64) int64 { return int64(len(text)) }, func(w io.Writer) io.Writer { return &textWriter{to: w, through: io.Discard, text: text} })
}

// appendToBody adds the text to the end of the response's body.
func (p *plan) appendToBody(text string) {
	longer := func(size int64) int64 {
		if size < 0 {
			return size
		}
		return size + int64(len(text))
	}
	p.rewriteBody(longer, func(w io.Writer) io.Writer { return &textWriter{to: w, through: w, text: text} })
}

// encodeBody encodes the body of the response, and adds a Content-Encoding.
func (p *plan) encodeBody(encoding Body) {
	name := string(encoding)
	if encoding == RawDeflate {
		name = string(Deflate)
	}
	p.changeHeader(func(h http.Header) { h.Add("Content-Encoding", name) })
	p.rewriteBody(func(int64) int64 { return -1 }, func(w io.Writer) io.Writer { return &encodingWriter{encoders[encoding](w), w} })
}

// A textWriter adds a text at the end of a body, or replaces the body if through is
// io.Discard: Write writes to through, and Close writes the text to the field to.
type textWriter struct {
	to, through io.Writer
	text        string
}

func (w *textWriter) Write(b []byte) (int, error) { return w.through.Write(b) }

func (w *textWriter) Close() error {
	if _, err := io.WriteString(w.to, w.text); err != nil {
		return err
	}
	return closeWriter(w.to)
}

type encodingWriter struct {
	io.WriteCloser
	to io.Writer
}

func (w *encodingWriter) Close() error {
	if err := w.WriteCloser.Close(); err != nil {
		return err
	}
	return closeWriter(w.to)
}

// A zstdWriter writes one Zstandard frame (RFC 8878, section 3.1.1), whose blocks are
// not compressed.
type zstdWriter struct {
	to    io.Writer
	begun bool
}

// maxZstdBlock is the largest number of bytes that a Zstandard block may have.
const maxZstdBlock = 128 << 10

func (w *zstdWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		n := min(len(b), maxZstdBlock)
		if err := w.block(b[:n], 0); err != nil {
			return written, err
		}
		written, b = written+n, b[n:]
	}
	return written, nil
}

// Close writes an empty block, which is marked as the last.
func (w *zstdWriter) Close() error { return w.block(nil, 1) }

func (w *zstdWriter) block(b []byte, last int) error {
	var frame []byte
	if !w.begun {
		w.begun = true
		const window = 7 << 3 // a window of 128 KiB, the size of the largest block
		frame = append(frame, 0x28, 0xb5, 0x2f, 0xfd, 0, window)
	}
	header := len(b)<<3 | last
	frame = append(frame, byte(header), byte(header>>8), byte(header>>16))
	_, err := w.to.Write(append(frame, b...))
	return err
}
