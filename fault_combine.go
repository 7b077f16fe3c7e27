package registry

import (
	"io"
	"net/http"
)

// inject combines the faults that all injectors return for the request, and
// stores the result in r.fault. An injector can ask whether the fault of an
// earlier one responds to the request.
func (h *handler) inject(r *Request) {
	for _, inject := range h.injectors {
		r.fault = r.fault.Over(inject(r))
	}
}

// FaultResponds reports whether a fault responds to the request in place of the
// operation. With it, a function of [WithFaults] learns that an earlier function
// returned such a fault, and that the Serve of its own fault would not be
// called.
func (r *Request) FaultResponds() bool { return r.fault.Responds() }

// Responds reports whether the fault responds to a request in place of the
// operation: it has Serve or AfterCommit. A nil Fault does not.
func (f *Fault) Responds() bool { return f != nil && (f.Serve != nil || f.AfterCommit) }

// servesPermitted reports whether the fault is a quirk whose Serve responds in
// place of the operation, but only after the request has been authorized.
func (f *Fault) servesPermitted(r *Request) bool {
	return f != nil && f.Quirk && f.Serve != nil && !f.AfterCommit && r.action() != 0
}

// shown returns the fault to show in records: nil if the fault is a quirk or a
// combination of quirks.
func (f *Fault) shown() *Fault {
	if f == nil || f.Quirk && !f.mixed {
		return nil
	}
	return f
}

// Over returns a fault with the effects of both faults. Those of other take effect
// first, so f overrides other, except that the LastHeader of both come after the
// Header of both. If both faults respond in place of the operation, only f does.
// Either fault may be nil, which has no effect. Over modifies neither.
func (f *Fault) Over(other *Fault) *Fault {
	switch {
	case f == nil:
		return other
	case other == nil:
		return f
	}
	responder := f
	if !f.Responds() {
		responder = other
	}
	both := &Fault{
		Name:        other.Name,
		Quirk:       responder.Quirk,
		mixed:       other.shown() != nil || f.shown() != nil,
		Before:      f.Before,
		LoseUpload:  f.LoseUpload || other.LoseUpload,
		Duplicate:   f.Duplicate || other.Duplicate,
		AfterCommit: responder.AfterCommit,
		Serve:       responder.Serve,
		Header:      f.Header,
		LastHeader:  f.LastHeader,
		Body:        f.Body,
		Wire:        f.Wire,
	}
	if both.Name != "" && f.Name != "" {
		both.Name += "; "
	}
	both.Name += f.Name
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
	if other.LastHeader != nil {
		both.LastHeader = func(header http.Header) error {
			if err := other.LastHeader(header); err != nil || f.LastHeader == nil {
				return err
			}
			return f.LastHeader(header)
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

// A nested writer writes to an outer writer, which writes to the inner one.
// Close closes both.
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

// A closedOnce passes only the first Close to its writer, because the outer
// writer may already have closed it.
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
