package fault

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
)

// A plan collects the effects of one rule on one request.
type plan struct {
	request *registry.Request // the request as it arrived

	blind bool // whether a wait has to read the body ahead, see the function blind

	waits       []func(r *registry.Request) error
	lateWaits   []func() // come after the operation
	changes     []func(r *registry.Request)
	receive     []func(body io.ReadCloser) io.ReadCloser
	loseUpload  bool
	duplicate   bool
	afterCommit bool
	serve       registry.Handler // responds instead of the operation, or is nil
	headers     []func(status int, header http.Header) int
	last        []func(header http.Header) error // come after the headers of all rules
	bodies      []func(w io.Writer, size int64) io.Writer
	wires       []func(w io.Writer) io.Writer
}

// A hit is the data that the effects of a rule get about a request that the rule hits.
type hit struct {
	part   *part
	of     *injector
	random *rand.Rand // the random numbers for Probability and the effects, or nil if none needs them
	met    func()     // to be called by an effect of part.try when it changes anything
}

// between returns a random time that is at least the first duration and less than the
// second.
func (h *hit) between(from, to time.Duration) time.Duration {
	return from + time.Duration(h.random.Int64N(int64(to-from)))
}

func newPlan(r *registry.Request) *plan {
	return &plan{request: r, blind: blind(r.Request)}
}

// plan returns the plan of a stage for a request that it hits.
func (in *injector) plan(st *stage, h *hit, r *registry.Request) *plan {
	p := newPlan(r)
	if st.part.replaces() {
		p.serve = func(w http.ResponseWriter, r *registry.Request) error { return st.part.response.serve(in.name, w, r) }
		if end := st.part.endInstead; end != 0 {
			p.serve = func(http.ResponseWriter, *registry.Request) error {
				// The late waits usually run before the header is sent. Here no header is
				// sent, so run them now.
				for _, wait := range p.lateWaits {
					wait()
				}
				return end
			}
		}
		p.afterCommit = st.part.afterCommit
	}
	for i, e := range st.part.effects {
		one := *h
		one.met = func() { st.met[i].Store(true) }
		e.do(p, &one)
	}
	if st.part.firstBytes > 0 {
		p.count(&st.bytes)
	}
	return p
}

// fault returns the plan in the form that the handler carries out.
func (p *plan) fault(name string) *registry.Fault {
	f := &registry.Fault{
		Name:        name,
		LoseUpload:  p.loseUpload,
		Duplicate:   p.duplicate,
		AfterCommit: p.afterCommit,
		Serve:       p.serve,
	}
	if len(p.waits)+len(p.changes)+len(p.receive) > 0 {
		f.Before = p.before
	}
	if len(p.headers) > 0 {
		f.Header = func(status int, header http.Header) int {
			for _, change := range p.headers {
				status = change(status, header)
			}
			return status
		}
	}
	if len(p.last) > 0 {
		f.LastHeader = func(header http.Header) error {
			for _, change := range p.last {
				if err := change(header); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if len(p.bodies) > 0 {
		f.Body = func(w io.Writer, size int64) io.Writer {
			for i := len(p.bodies) - 1; i >= 0; i-- {
				w = p.bodies[i](w, size)
			}
			return w
		}
	}
	if len(p.wires) > 0 {
		f.Wire = func(w io.Writer) io.Writer {
			for i := len(p.wires) - 1; i >= 0; i-- {
				w = p.wires[i](w)
			}
			return w
		}
	}
	return f
}

func (p *plan) before(r *registry.Request) error {
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

func (p *plan) changeHeader(change func(http.Header)) {
	p.headers = append(p.headers, func(status int, header http.Header) int {
		change(header)
		return status
	})
}

func (p *plan) changeRequest(change func(*registry.Request)) {
	p.changes = append(p.changes, change)
}

// wait adds a wait before the operation or, with AfterCommit, before the response.
func (p *plan) wait(afterCommit bool, w wait) {
	if !afterCommit {
		p.waits = append(p.waits, func(r *registry.Request) error { return w.before(r, p.blind) })
		return
	}
	// The error does not matter: if the client went away, writing the response fails.
	late := func() { w.wait(p.request.Context(), nil) }
	p.lateWaits = append(p.lateWaits, late)
	p.headers = append(p.headers, func(status int, _ http.Header) int {
		late()
		return status
	})
}

// lieOfLength adds delta to the Content-Length. If delta is negative, the body is
// longer than the header says. That takes a Wire of [registry.Fault], whose bytes do
// not go through net/http.
func (p *plan) lieOfLength(delta int64, h *hit) {
	p.last = append(p.last, func(header http.Header) error {
		if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
			h.met()
			header.Set("Content-Length", strconv.FormatInt(max(n+delta, 0), 10))
		}
		return nil
	})
	if delta < 0 && p.request.Method != http.MethodHead {
		p.wires = append(p.wires, func(w io.Writer) io.Writer { return w })
	}
}

// count adds the bytes of the bodies of the request and the response to n.
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
