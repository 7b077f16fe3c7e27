package fault

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"
)

// Corrupt inverts the bits of byte n in the body that the operation transfers, see
// [Rule].
func (r Rule) Corrupt(n int64) Rule {
	r, p := r.addAgain("corrupt", n)
	p.filter(n, corruptAt)
	p.needsBytes()
	if slices.Contains(p.words[:len(p.words)-1], p.word()) {
		return r.refuse(errors.New("corrupting a byte twice restores it"))
	}
	return r
}

// byteWords has the words for the methods in this file.
var byteWords = vocabulary{{"corrupt", byteNumber(Rule.Corrupt)}}

// corruptAt returns a filter that inverts the bits of the byte at the position.
func corruptAt(p position) filter {
	return func(offset int64, b []byte) ([]byte, error) {
		i := p.at() - offset
		if i < 0 || i >= int64(len(b)) {
			return b, nil
		}
		p.met()
		b = bytes.Clone(b)
		b[i] ^= 0xff
		return b, nil
	}
}

// A filter changes a body. Its arguments are the next bytes of the body and the offset
// of the first of them. It returns replacements for all of these bytes or for the first
// few. It is called again with the rest, and with no bytes at the end of the body. An
// error ends the body.
type filter func(offset int64, b []byte) ([]byte, error)

// A position tells a filter where to act.
type position struct {
	at    func() int64 // returns the offset of the byte, or -1 if it is not known
	pause func(d time.Duration) error
	met   func() // to be called by the filter when it acts
}

type filterMaker func(position) filter

// filter adds an effect: the body that the operation transfers passes through a
// filter that acts at byte n. The test fails if the filter never acts.
func (p *part) filter(n int64, maker filterMaker) {
	p.try(func(p *plan, h *hit) { p.filter(n, maker, h) })
}

// always adds an effect: the body that the operation transfers passes through a
// filter that acts on all of its bytes.
func (p *part) always(maker filterMaker) {
	p.do(func(p *plan, h *hit) { p.filter(0, maker, h) })
}

// filter makes the body that the operation transfers pass through a filter that acts
// at byte n: the body of the request or, for most operations, of the response.
func (p *plan) filter(n int64, maker filterMaker, h *hit) {
	if p.request.Op.HasBody() && !h.part.replaces() {
		at := func() int64 { return fromStart(n, p.request.ContentLength) }
		p.receive = append(p.receive, func(body io.ReadCloser) io.ReadCloser {
			r := &filterReader{ReadCloser: body, plan: p}
			r.filter = maker(position{at, r.pause, h.met})
			return r
		})
		return
	}
	pause := func(d time.Duration) error { return wait{d: d}.wait(p.request.Context(), nil) }
	p.bodies = append(p.bodies, func(w io.Writer, size int64) io.Writer {
		at := func() int64 { return fromStart(n, size) }
		return newFilterWriter(w, maker(position{at, pause, h.met}))
	})
}

// fromStart returns the offset of byte n of a body with this length. A negative n
// counts from the end, at most to byte 0; its offset is -1 if the length is unknown.
func fromStart(n, length int64) int64 {
	switch {
	case n >= 0:
		return n
	case length < 0:
		return -1
	}
	return max(length+n, 0)
}

// A filterWriter passes the body of a response through a filter to a writer.
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

// closeWriter closes the writer if it is an [io.Closer].
func closeWriter(w io.Writer) error {
	if c, ok := w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// A filterReader is the body of a request after a filter.
type filterReader struct {
	io.ReadCloser
	plan   *plan
	filter filter
	offset int64
	read   []byte // bytes that were read and are not filtered yet
	err    error  // the error of reading the body
	end    error  // the error that ends the filtered body
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

// readAhead adds up to n more bytes of the body to r.read.
func (r *filterReader) readAhead(n int) {
	have := len(r.read)
	r.read = append(r.read, make([]byte, n)...)
	n, r.err = r.ReadCloser.Read(r.read[have:])
	r.read = r.read[:have+n]
}

// pause waits in the middle of the request's body. If net/http would not notice that
// the client goes away, pause reads more of the body meanwhile.
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
