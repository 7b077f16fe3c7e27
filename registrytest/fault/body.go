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

// A Body is a change of the body of a response, see [Rule.Body]: the shape of an
// error, an encoding, or a value that [Text], [Append] or [Errors] returns.
type Body string

// The shapes of errors. Except for Spec, they are those that registries, or the
// proxies and the storage in front of them, are known to send against the spec.
const (
	Spec   Body = "spec"    // JSON as in the spec's section Error Codes
	NoCode Body = "no-code" // the same without a code
	Bare   Body = "bare"    // one error in JSON, without the list around it
	Plain  Body = "plain"   // plain text
	HTML   Body = "html"    // a page
	Broken Body = "broken"  // JSON that is cut off
	Empty  Body = "empty"   // no body
)

// Own is the body of the operation's response, which keeps its header as well: of
// the response, only the status is another. With AfterCommit, the response to an
// operation that fails keeps its status, too.
const Own Body = "own"

// The encodings. Each adds a Content-Encoding that the client did not ask for.
const (
	Gzip       Body = "gzip"
	Deflate    Body = "deflate"
	RawDeflate Body = "raw-deflate" // as deflate, without the format of zlib around it
	Zstd       Body = "zstd"
)

// Errors gives the errors of the operation itself a shape that differs from the
// spec, such as [HTML]. Other responses stay as they are.
func Errors(shape Body) Body { return "errors:" + shape }

// Text replaces the body. Content-Length is true, and all other headers stay as
// they were.
func Text(text string) Body { return Body("text:" + text) }

// Append adds the text after the body, with a Content-Length that is true. With
// ContentLength(-n), n bytes of it come after the end of the response.
func Append(text string) Body { return Body("append:" + text) }

// Body changes the body of the response, in the order of the values. With the
// shape of an error the rule responds with such an error, with 500 if the rule has
// no Status and no Code. Without a shape it changes the response of the operation,
// or the one that the rule gives. In text there is one word for each value:
//
//	get-blob status=503 body=html
//	get-blob body=text:other
//	get-blob body=append:more body=deflate body=gzip
//	patch-upload after-commit status=201 body=own
func (r Rule) Body(values ...Body) Rule {
	if len(values) == 0 {
		r, _ = r.repeat("body", "")
		return r.refuse(errors.New("it needs a value"))
	}
	for _, b := range values {
		var p *part
		r, p = r.repeat("body", b)
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

// shapes are the shapes of errors, Spec first.
var shapes = []Body{Spec, NoCode, Bare, Plain, HTML, Broken, Empty}

// encoders are the encodings.
var encoders = map[Body]func(io.Writer) io.WriteCloser{
	Gzip:       func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	Deflate:    func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }, // RFC 9110, section 8.4.1.2
	RawDeflate: newRawDeflate,
	Zstd:       func(w io.Writer) io.WriteCloser { return &zstdWriter{to: w} },
}

// newRawDeflate writes the form of deflate that some servers send against RFC 9110,
// section 8.4.1.2.
func newRawDeflate(w io.Writer) io.WriteCloser {
	f, _ := flate.NewWriter(w, flate.DefaultCompression) // Every named level is valid.
	return f
}

// bodyNames returns the beginnings of all values.
func bodyNames() (names []string) {
	for _, b := range shapes {
		names = append(names, string(b))
	}
	for b := range encoders {
		names = append(names, string(b))
	}
	return append(names, string(Own), "text:", "append:", "errors:")
}

// bodyWords are the words of this file.
var bodyWords = vocabulary{
	{"body", text(func(r Rule, b string) Rule { return r.Body(Body(b)) })},
}

// changeStatus gives the response of the operation the status of the rule.
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

// rewriteBody sends the body of the response through a writer, and changes
// Content-Length from n to size(n). An unknown length, which has no header, is -1.
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

// wrapBody sends the body of the response through a writer that need not be closed.
// A response to HEAD has no body.
func (p *plan) wrapBody(wrap func(w io.Writer) io.Writer) {
	if p.request.Method != http.MethodHead {
		p.bodies = append(p.bodies, func(w io.Writer, _ int64) io.Writer { return wrap(w) })
	}
}

// replaceBody sends the text in place of the body.
func (p *plan) replaceBody(text string) {
	p.rewriteBody(func(int64) int64 { return int64(len(text)) }, func(w io.Writer) io.Writer { return &textWriter{to: w, through: io.Discard, text: text} })
}

// appendToBody sends the text after the body.
func (p *plan) appendToBody(text string) {
	longer := func(size int64) int64 {
		if size < 0 {
			return size
		}
		return size + int64(len(text))
	}
	p.rewriteBody(longer, func(w io.Writer) io.Writer { return &textWriter{to: w, through: w, text: text} })
}

// encodeBody sends the body in an encoding.
func (p *plan) encodeBody(encoding Body) {
	name := string(encoding)
	if encoding == RawDeflate {
		name = string(Deflate)
	}
	p.changeHeader(func(h http.Header) { h.Add("Content-Encoding", name) })
	p.rewriteBody(func(int64) int64 { return -1 }, func(w io.Writer) io.Writer { return &encodingWriter{encoders[encoding](w), w} })
}

// A textWriter writes a text at the end.
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

// A zstdWriter writes a frame of Zstandard (RFC 8878, section 3.1.1) that is
// not compressed.
type zstdWriter struct {
	to    io.Writer
	begun bool
}

// maxZstdBlock is the number of bytes that a block may have.
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

// Close writes the last block.
func (w *zstdWriter) Close() error { return w.block(nil, 1) }

func (w *zstdWriter) block(b []byte, last int) error {
	var frame []byte
	if !w.begun {
		w.begun = true
		const window = 7 << 3 // of 128 KiB, the largest block
		frame = append(frame, 0x28, 0xb5, 0x2f, 0xfd, 0, window)
	}
	header := len(b)<<3 | last
	frame = append(frame, byte(header), byte(header>>8), byte(header>>16))
	_, err := w.to.Write(append(frame, b...))
	return err
}
