package registry

import (
	"io"
	"net/http"
	"strings"
)

// inject combines the faults of all injectors into that of the request. Each
// injector can ask whether an earlier one responds to it.
func (h *handler) inject(r *Request) {
	for _, inject := range h.injectors {
		r.fault = r.fault.over(inject(r))
	}
}

// FaultResponds reports whether a fault responds to the request in place of the
// operation. A function of [WithFaults] learns from it that an earlier function
// has returned such a fault, and that its own fault's Serve would not be called.
func (r *Request) FaultResponds() bool { return r.fault.responds() }

// responds reports whether the response is that of the fault.
func (f *Fault) responds() bool { return f != nil && (f.Serve != nil || f.AfterCommit) }

// servesPermitted reports whether Serve responds in place of the operation after
// the request has been authorized.
func (f *Fault) servesPermitted(r *Request) bool {
	return f != nil && f.Quirk && f.Serve != nil && !f.AfterCommit && r.Op.Action() != 0
}

// shown returns the fault for records: nil if all of it is a quirk.
func (f *Fault) shown() *Fault {
	if f == nil || f.Quirk && !f.mixed {
		return nil
	}
	return f
}

// over returns the fault that has the effects of other and then those of f, so
// that f has the last word. Either of them may be nil. If both respond in place
// of the operation, only f does.
func (f *Fault) over(other *Fault) *Fault {
	switch {
	case f == nil:
		return other
	case other == nil:
		return f
	}
	responder := f
	if !f.responds() {
		responder = other
	}
	both := &Fault{
		Name:        strings.Trim(other.Name+"; "+f.Name, "; "),
		Quirk:       responder.Quirk,
		mixed:       other.shown() != nil || f.shown() != nil,
		Before:      f.Before,
		LoseUpload:  f.LoseUpload || other.LoseUpload,
		Duplicate:   f.Duplicate || other.Duplicate,
		AfterCommit: responder.AfterCommit,
		Serve:       responder.Serve,
		Header:      f.Header,
		Body:        f.Body,
		Wire:        f.Wire,
	}
	if other.Before != nil {
		both.Before = func(r *Request) error {
			if err := other.Before(r); err != nil || f.Before == nil {
				return err
			}
			return f.Before(r)
		}
	}
	if other.Header != nil {
		both.Header = func(status int, header http.Header) int {
			status = other.Header(status, header)
			if f.Header != nil {
				status = f.Header(status, header)
			}
			return status
		}
	}
	if other.Body != nil {
		both.Body = func(w io.Writer, size int64) io.Writer {
			if f.Body == nil {
				return other.Body(w, size)
			}
			inner := &closedOnce{Writer: f.Body(w, size)}
			return &nested{other.Body(inner, size), inner}
		}
	}
	if other.Wire != nil {
		both.Wire = func(w io.Writer) io.Writer {
			if f.Wire != nil {
				w = f.Wire(w)
			}
			return other.Wire(w)
		}
	}
	return both
}

// A nested writer writes to the outer of two writers, and closes both.
type nested struct {
	io.Writer
	inner *closedOnce
}

func (w *nested) Close() error {
	if c, ok := w.Writer.(io.Closer); ok {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return w.inner.Close()
}

// A closedOnce closes its writer, if the writer is an [io.Closer], only once:
// the outer writer may have closed it already.
type closedOnce struct {
	io.Writer
	closed bool
}

func (w *closedOnce) Close() error {
	c, ok := w.Writer.(io.Closer)
	if w.closed || !ok {
		return nil
	}
	w.closed = true
	return c.Close()
}
