package fault

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
)

// A filter is given bytes that go by, which begin at an offset, and returns
// what is to go on in place of the first ones of them; it is called again for
// those that are left. Once all have gone by, it is called with none.
type filter func(offset int64, b []byte) ([]byte, error)

// A position is where a filter is to do something, and how it waits there.
type position struct {
	at    func() int64 // the offset, or -1 for nowhere
	pause func(d time.Duration) error
}

type filterMaker func(position) filter

// corruptAt changes the byte there.
func corruptAt(m *mark) filterMaker {
	return func(p position) filter {
		return func(offset int64, b []byte) ([]byte, error) {
			i := p.at() - offset
			if i < 0 || i >= int64(len(b)) {
				return b, nil
			}
			m.meet()
			b = bytes.Clone(b)
			b[i] ^= 0xff
			return b, nil
		}
	}
}

// endAt ends the connection there.
func endAt(m *mark, end error) filterMaker {
	return func(p position) filter {
		return func(offset int64, b []byte) ([]byte, error) {
			i := p.at() - offset
			if i < 0 || i > int64(len(b)) {
				return b, nil
			}
			m.meet()
			return b[:i], end
		}
	}
}

// stallAt waits there, once.
func stallAt(m *mark, d time.Duration) filterMaker {
	return func(p position) filter {
		waited := false
		return func(offset int64, b []byte) ([]byte, error) {
			i := p.at() - offset
			switch {
			case waited || i < 0 || i > int64(len(b)):
				return b, nil
			case i > 0:
				return b[:i], nil
			}
			m.meet()
			waited = true
			if err := p.pause(d); err != nil {
				return nil, err
			}
			return b, nil
		}
	}
}

// throttleTo lets so many bytes through in a second, in a few pieces.
func throttleTo(rate int64) filterMaker {
	return func(p position) filter {
		return func(_ int64, b []byte) ([]byte, error) {
			b = b[:min(int64(len(b)), max(rate/20, 1))]
			if len(b) == 0 {
				return nil, nil
			}
			if err := p.pause(time.Duration(len(b)) * time.Second / time.Duration(rate)); err != nil {
				return nil, err
			}
			return b, nil
		}
	}
}

// sliceInto lets n bytes through at a time.
func sliceInto(n int64) filterMaker {
	return func(position) filter {
		return func(_ int64, b []byte) ([]byte, error) { return b[:min(int64(len(b)), n)], nil }
	}
}

// A filterWriter is a writer behind a filter.
type filterWriter struct {
	to     io.Writer
	filter filter
	offset int64
}

func newFilterWriter(to io.Writer, f filter) *filterWriter { return &filterWriter{to: to, filter: f} }

func (w *filterWriter) Write(b []byte) (written int, err error) {
	for written < len(b) {
		pass, end := w.filter(w.offset, b[written:])
		n, err := w.to.Write(pass)
		written += n
		w.offset += int64(n)
		if err != nil {
			return written, err
		}
		if end != nil {
			return written, end
		}
	}
	return written, nil
}

func (w *filterWriter) Close() error {
	if _, end := w.filter(w.offset, nil); end != nil {
		return end
	}
	return closeWriter(w.to)
}

// closeWriter closes what has an end.
func closeWriter(w io.Writer) error {
	if c, ok := w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// A filterReader is the body of a request behind a filter.
type filterReader struct {
	io.ReadCloser
	plan   *plan
	filter filter
	offset int64
	read   []byte // and not yet filtered
	err    error  // what the body ended with
	end    error  // what the filter ended with
}

func (r *filterReader) Read(b []byte) (int, error) {
	for len(b) > 0 && r.end == nil {
		if len(r.read) == 0 && r.err == nil {
			r.readAhead(len(b))
			continue
		}
		if len(r.read) == 0 {
			if _, r.end = r.filter(r.offset, nil); r.end == nil {
				r.end = r.err
			}
			break
		}
		var pass []byte
		pass, r.end = r.filter(r.offset, r.read[:min(len(r.read), len(b))])
		n := copy(b, pass)
		r.read = r.read[n:]
		r.offset += int64(n)
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.end
}

// readAhead reads up to n bytes more.
func (r *filterReader) readAhead(n int) {
	have := len(r.read)
	r.read = append(r.read, make([]byte, n)...)
	n, r.err = r.ReadCloser.Read(r.read[have:])
	r.read = r.read[:have+n]
}

// pause waits within the body.
func (r *filterReader) pause(d time.Duration) error {
	return wait{d: d}.wait(r.plan.request.Context(), func() error {
		if !r.plan.blind {
			return nil
		}
		for len(r.read) < maxAhead && r.err == nil {
			r.readAhead(32 << 10)
		}
		if r.err == io.EOF {
			return nil
		}
		return r.err
	})
}

// rewriteBody has the body of the answer go through a writer that need not be
// closed. HEAD has no body to rewrite.
func (p *plan) rewriteBody(rewrite func(w io.Writer) io.Writer) {
	if p.request.Method != http.MethodHead {
		p.bodies = append(p.bodies, func(w io.Writer, _ int64) io.Writer { return rewrite(w) })
	}
}

// replaceBody sends the text in place of the body.
func replaceBody(text string) effect {
	return func(p *plan, _ hit) {
		p.resize(func(int64) int64 { return int64(len(text)) })
		p.rewriteBody(func(w io.Writer) io.Writer { return &textWriter{to: w, through: io.Discard, text: text} })
	}
}

// appendBody sends the text after the body.
func appendBody(text string) effect {
	return func(p *plan, _ hit) {
		p.resize(func(size int64) int64 {
			if size < 0 {
				return size
			}
			return size + int64(len(text))
		})
		p.rewriteBody(func(w io.Writer) io.Writer { return &textWriter{to: w, through: w, text: text} })
	}
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

// encoders are the codings that a body can be sent in.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }, // RFC 9110, section 8.4.1.2
	"zstd":    func(w io.Writer) io.WriteCloser { return &zstdWriter{to: w} },
}

// A zstdWriter writes a frame of Zstandard (RFC 8878, section 3.1.1) that is
// not compressed.
type zstdWriter struct {
	to    io.Writer
	begun bool
}

// maxZstdBlock is how many bytes a block may have.
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
		const window = 7 << 3 // of 128 KiB, which is what a block may have
		frame = append(frame, 0x28, 0xb5, 0x2f, 0xfd, 0, window)
	}
	header := len(b)<<3 | last
	frame = append(frame, byte(header), byte(header>>8), byte(header>>16))
	_, err := w.to.Write(append(frame, b...))
	return err
}

// encodeBody sends the body in a coding.
func encodeBody(coding string, encoder func(io.Writer) io.WriteCloser) effect {
	return func(p *plan, _ hit) {
		p.resize(func(int64) int64 { return -1 })
		p.changeHeader(func(h http.Header) { h.Add("Content-Encoding", coding) })
		p.rewriteBody(func(w io.Writer) io.Writer { return &encodingWriter{encoder(w), w} })
	}
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

// acceptBytes has the body of the request end as if the client had gone away.
func acceptBytes(n int64, m *mark) effect {
	return func(p *plan, _ hit) { p.limit(n, m, io.ErrUnexpectedEOF) }
}

// limit has the body of the request end after n bytes. The others are read, so
// that the client is done with sending when it is answered.
func (p *plan) limit(n int64, m *mark, end error) {
	p.receive = append(p.receive, func(body io.ReadCloser) io.ReadCloser {
		return &limitedBody{body, n, m, end}
	})
}

type limitedBody struct {
	io.ReadCloser
	left int64
	mark *mark
	end  error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left > 0 {
		n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		return n, err
	}
	n, err := io.Copy(io.Discard, b.ReadCloser)
	switch {
	case err != nil:
		return 0, err
	case n > 0:
		b.mark.meet()
		return 0, b.end
	}
	return 0, io.EOF
}

// acknowledgeBytes has a chunk be shorter than it is.
func acknowledgeBytes(n int64, m *mark) effect {
	return func(p *plan, _ hit) {
		if p.request.Op != registry.PatchUpload {
			return
		}
		p.changeRequest(func(r *registry.Request) {
			if r.ContentLength > n {
				r.ContentLength = n
			}
			first, last, ok := field.ChunkRange(r.Header.Get("Content-Range"))
			if !ok || last-first < n {
				return
			}
			if n == 0 {
				r.Header.Del("Content-Range") // which has no way to say that
				return
			}
			r.Header.Set("Content-Range", number(first)+"-"+number(first+n-1))
		})
		p.limit(n, m, io.EOF)
	}
}
