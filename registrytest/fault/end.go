package fault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ocireg/registry"
)

// The methods in this file end the connection: instead of a response, or at a place
// within the request or the response. Under HTTP/2 they reset the stream, and the
// connection goes on.

// A Place is a place where a connection ends: at a byte of the body or in the header.
type Place struct {
	header bool
	n      int64
}

// AtByte is the place before byte n of the body that the operation transfers,
// see [Rule].
func AtByte(n int64) Place { return Place{n: n} }

// InHeader is the place after n bytes of the status line and the header of the
// response. Under HTTP/2 it is the place before the header, because a header cannot
// be cut there.
func InHeader(n int64) Place { return Place{true, n} }

// String returns the place in the language that [Parse] reads, such as "1000" or
// "header:10".
func (p Place) String() string {
	if p.header {
		return fmt.Sprintf("header:%d", p.n)
	}
	return fmt.Sprint(p.n)
}

// Close closes the connection at the place or, without one, instead of a response.
func (r Rule) Close(at ...Place) Rule { return r.ending("close", registry.CloseConnection, at) }

// Reset resets the connection with a TCP RST, at the place or, without one, instead
// of a response. The client's operating system decides how many of the bytes before
// the reset the client can read.
func (r Rule) Reset(at ...Place) Rule { return r.ending("reset", registry.ResetConnection, at) }

// HalfClose closes the connection for writing, at the place or, without one, instead
// of a response. The server then reads on until the client closes the connection.
func (r Rule) HalfClose(at ...Place) Rule {
	return r.ending("half-close", registry.HalfCloseConnection, at)
}

// endWords has the words for the methods in this file.
var endWords = vocabulary{
	{"close", place(Rule.Close)},
	{"reset", place(Rule.Reset)},
	{"half-close", place(Rule.HalfClose)},
}

// A place is a word whose argument is an optional [Place].
type place func(Rule, ...Place) Rule

func (method place) add(r Rule, a argument) (Rule, error) {
	if !a.given {
		return method(r), nil
	}
	var at Place
	a.text, at.header = strings.CutPrefix(a.text, "header:")
	n, err := parseInteger(a)
	if err != nil {
		return r, errors.New("not a place: want the number of a byte, or header: and a number of bytes")
	}
	at.n = n
	return method(r, at), nil
}

func (r Rule) ending(name string, end registry.ConnectionEnd, at []Place) Rule {
	var p *part
	if len(at) == 0 {
		r, p = r.addFlag(name)
	} else {
		r, p = r.addArg(name, at[0])
	}
	switch {
	case p.endsConn:
		return r.refuse(errors.New("a connection ends only once"))
	case len(at) > 1:
		return r.refuse(errors.New("it has more than one place"))
	}
	p.endsConn = true
	switch {
	case len(at) == 0:
		p.responds, p.endInstead = true, end
	case at[0].header && at[0].n < 0:
		return r.refuse(errors.New("a place in the header cannot count from its end, which is not known in advance; want a number from 0"))
	case at[0].header:
		n := at[0].n
		p.try(func(p *plan, h *hit) { p.endInHeader(n, end, h) })
	default:
		p.filter(at[0].n, endAt(end))
		if at[0].n != 0 {
			p.needsBytes()
		}
	}
	return r
}

// endAt returns a maker of filters that end the connection before the byte at the
// position.
func endAt(end error) filterMaker {
	return func(p position) filter {
		return func(offset int64, b []byte) ([]byte, error) {
			i := p.at() - offset
			if i < 0 || i > int64(len(b)) {
				return b, nil
			}
			p.met()
			return b[:i], end
		}
	}
}

// endInHeader ends the connection after n bytes of the response's status line and
// header. Under HTTP/2 the client gets none of them.
func (p *plan) endInHeader(n int64, end error, h *hit) {
	if p.request.ProtoMajor >= 2 {
		p.last = append(p.last, func(http.Header) error {
			h.met()
			return end
		})
		return
	}
	p.wires = append(p.wires, func(w io.Writer) io.Writer {
		return newFilterWriter(w, endAt(end)(position{at: func() int64 { return n }, met: h.met}))
	})
}
