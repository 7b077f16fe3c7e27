package fault

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"
)

// Corrupt changes byte n.
func (r Rule) Corrupt(n int64) Rule {
	r, p := r.repeat("corrupt", n)
	p.filter(n, corruptAt)
	p.needsBytes()
	if slices.Contains(p.words[:len(p.words)-1], p.word()) {
		return r.refuse(errors.New("a byte that is corrupted twice is as it was"))
	}
	return r
}

// byteWords are the words of this file.
var byteWords = vocabulary{{"corrupt", byteNumber(Rule.Corrupt)}}

// corruptAt changes a byte.
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

// A filter gets bytes of a body, which begin at an offset, and returns the ones
// that replace the first of them. It is called again for the rest and, after
// the last byte, with none.
type filter func(offset int64, b []byte) ([]byte, error)

// A position tells a filter where to act.
type position struct {
	at    func() int64 // the offset, or -1 for nowhere
	pause func(d time.Duration) error
	met   func() // to be called when the filter acts
}

type filterMaker func(position) filter

// filter sends the body that the operation transfers through a filter that acts
// at byte n.
func (p *part) filter(n int64, maker filterMaker) {
	p.try(func(p *plan, h *hit) { p.filter(n, maker, h) })
}

// always sends the body that the operation transfers through a filter that acts
// everywhere.
func (p *part) always(maker filterMaker) {
	p.do(func(p *plan, h *hit) { p.filter(0, maker, h) })
}

// filter sends the body that the operation transfers through a filter that acts
// at byte n.
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

// fromStart returns a position as counted from the start.
func fromStart(n, length int64) int64 {
	switch {
	case n >= 0:
		return n
	case length < 0:
		return -1 // nowhere
	}
	return max(length+n, 0)
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

// closeWriter closes the writer if it can be closed.
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
	err    error  // of the body
	end    error  // of the filter
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
