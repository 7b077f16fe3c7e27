package fault

import (
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
)

// A plan is what is going to happen to one request, as one rule after the
// other adds to it.
type plan struct {
	request *registry.Request // as it arrived

	blind bool // see blind

	names       []string
	waits       []func(r *registry.Request) error
	changes     []func(r *registry.Request)
	receive     []func(body io.ReadCloser) io.ReadCloser
	loseUpload  bool
	afterCommit bool
	serve       registry.Handler
	headers     []func(status int, header http.Header) int
	lies        []func(header http.Header) // after all other changes of it
	lie         int64                      // the bytes that lies add to the Content-Length
	bodies      []func(w io.Writer, size int64) io.Writer
	wires       []func(w io.Writer) io.Writer
}

// A hit is what the effects of a rule know of a request that it hits.
type hit struct {
	random *rand.Rand
}

// upTo returns a time from 0 to less than d.
func (h hit) upTo(d time.Duration) time.Duration {
	return time.Duration(h.random.Int64N(int64(d)))
}

func newPlan(r *registry.Request) *plan {
	return &plan{request: r, blind: blind(r.Request)}
}

// fault returns the plan as the handler takes it.
func (p *plan) fault() *registry.Fault {
	f := &registry.Fault{
		Name:        strings.Join(p.names, "; "),
		LoseUpload:  p.loseUpload,
		AfterCommit: p.afterCommit,
		Serve:       p.serve,
	}
	if len(p.waits)+len(p.changes)+len(p.receive) > 0 {
		f.Before = func(r *registry.Request) error {
			for _, wait := range p.waits {
				if err := wait(r); err != nil {
					return err
				}
			}
			for _, change := range p.changes {
				change(r)
			}
			for _, wrap := range p.receive {
				r.Body = wrap(r.Body)
			}
			return nil
		}
	}
	if len(p.headers)+len(p.lies) > 0 {
		f.Header = func(status int, header http.Header) int {
			for _, change := range p.headers {
				status = change(status, header)
			}
			for _, lie := range p.lies {
				lie(header)
			}
			return status
		}
	}
	if len(p.bodies) > 0 {
		f.Body = func(w io.Writer, size int64) io.Writer {
			if size >= 0 {
				size -= p.lie
			}
			for _, wrap := range slices.Backward(p.bodies) {
				w = wrap(w, size)
			}
			return w
		}
	}
	if len(p.wires) > 0 {
		f.Wire = func(w io.Writer) io.Writer {
			for _, wrap := range slices.Backward(p.wires) {
				w = wrap(w)
			}
			return w
		}
	}
	return f
}

func (p *plan) changeHeader(change func(http.Header)) {
	p.headers = append(p.headers, func(status int, header http.Header) int {
		change(header)
		return status
	})
}

func (p *plan) changeRequest(change func(*registry.Request)) {
	p.changes = append(p.changes, change)
}

// resize sets the length of the answer's body to what it is going to be.
func (p *plan) resize(size func(int64) int64) {
	p.changeHeader(func(h http.Header) {
		n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
		if err != nil {
			n = -1
		}
		if n = size(n); n >= 0 {
			h.Set("Content-Length", number(n))
		} else {
			h.Del("Content-Length")
		}
	})
}

// wait waits before the operation or, after the commit, before its answer.
func (p *plan) wait(afterCommit bool, w wait) {
	if !afterCommit {
		p.waits = append(p.waits, w.before)
		return
	}
	p.headers = append(p.headers, func(status int, _ http.Header) int {
		w.wait(p.request.Context(), nil) // If nobody is there any more, that is found out by writing.
		return status
	})
}

// endInHeader ends the connection after n bytes of the answer on the wire.
// There is no part of a header in HTTP/2: what comes to the client is nothing.
func (p *plan) endInHeader(n int64, end error, m *mark) {
	if p.request.ProtoMajor >= 2 {
		m.meet()
		p.afterCommit = p.afterCommit || p.serve == nil
		p.serve = func(http.ResponseWriter, *registry.Request) error { return end }
		return
	}
	p.wires = append(p.wires, func(w io.Writer) io.Writer {
		return newFilterWriter(w, endAt(m, end)(position{at: func() int64 { return n }}))
	})
}

// lieOfLength changes the Content-Length. Only the wire itself takes more than
// was announced.
func (p *plan) lieOfLength(delta int64, m *mark) {
	p.lie += delta
	p.lies = append(p.lies, func(h http.Header) {
		if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
			m.meet()
			h.Set("Content-Length", number(max(n+delta, 0)))
		}
	})
	if delta < 0 && p.request.Method != http.MethodHead {
		p.wires = append(p.wires, func(w io.Writer) io.Writer { return w })
	}
}

// pushes reports whether what the operation transfers is in the request.
func pushes(op registry.Op) bool {
	switch op {
	case registry.PutManifest, registry.PostBlob, registry.PatchUpload, registry.PutUpload:
		return true
	}
	return false
}

// filter has what the operation transfers go through a filter, with byte n as
// its position.
func (p *plan) filter(n int64, maker filterMaker, answered bool) {
	if pushes(p.request.Op) && !answered {
		at := func() int64 { return fromStart(n, p.request.ContentLength) }
		p.receive = append(p.receive, func(body io.ReadCloser) io.ReadCloser {
			r := &filterReader{ReadCloser: body, plan: p}
			r.filter = maker(position{at, r.pause})
			return r
		})
		return
	}
	pause := func(d time.Duration) error { return wait{d: d}.wait(p.request.Context(), nil) }
	p.bodies = append(p.bodies, func(w io.Writer, size int64) io.Writer {
		at := func() int64 { return fromStart(n, size) }
		return newFilterWriter(w, maker(position{at, pause}))
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

// count counts the bytes of the bodies.
func (p *plan) count(n *atomic.Int64) {
	counting := func(_ int64, b []byte) ([]byte, error) {
		n.Add(int64(len(b)))
		return b, nil
	}
	p.receive = append(p.receive, func(body io.ReadCloser) io.ReadCloser {
		return &filterReader{ReadCloser: body, plan: p, filter: counting}
	})
	p.bodies = append(p.bodies, func(w io.Writer, _ int64) io.Writer { return newFilterWriter(w, counting) })
}
