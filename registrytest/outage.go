package registrytest

import (
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/ocireg/registry/internal/hint"
)

// Refuse makes a host of the network refuse new connections, until undo is called
// or the test t ends. The host is usually that of a registry or of a handler. Any other
// host is like a machine without a server during the outage: DNS knows its name, and it
// refuses connections. Refuse affects all ports of the host, unless host has a port, as
// in "registry.example.com:443".
//
// The test fails if no client was refused. With a number, Refuse affects only that
// many connections, the next ones, and the test fails if there are fewer.
func (n *Network) Refuse(t TB, host string, first ...int) (undo func()) {
	needTest(t, "Network.Refuse")
	t.Helper()
	return until(t, "Refuse", n.begin(t, &outage{host: host}, first))
}

// Silence makes a host of the network accept new connections and then neither read
// nor write. The arguments are those of [Network.Refuse], and the test fails under
// the same conditions. A silent connection stays silent until the test t ends.
func (n *Network) Silence(t TB, host string, first ...int) (undo func()) {
	needTest(t, "Network.Silence")
	t.Helper()
	return until(t, "Silence", n.begin(t, &outage{host: host, silent: true}, first))
}

// An outage is one call of [Network.Refuse] or [Network.Silence].
type outage struct {
	host, port string // if port is "", the outage is for all ports of the host
	silent     bool

	// The lock of the network guards the fields below.
	limit, hits int // hits counts connections in the outage, up to limit if that is not 0
	conns       []net.Conn
}

// begin adds an outage to the network. It returns a function that ends the outage,
// with an error if the outage affected too few connections.
func (n *Network) begin(t TB, out *outage, first []int) (end func() error) {
	t.Helper()
	name := out.host
	if host, port, err := net.SplitHostPort(name); err == nil {
		out.host, out.port = host, port
	}
	out.host = canonical(out.host)
	if len(first) > 0 {
		out.limit = number(t, first)
	}
	n.mu.Lock()
	n.outages = append(n.outages, out)
	n.mu.Unlock()
	t.Cleanup(func() {
		n.mu.Lock()
		conns := out.conns
		n.mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	return func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.outages = slices.DeleteFunc(n.outages, func(o *outage) bool { return o == out })
		verb := " refused"
		if out.silent {
			verb = " was silent on"
		}
		return tooFew(name+verb, max(out.limit, 1), out.hits)
	}
}

// outageAt returns the outage that affects a new connection to the host and port, or
// nil, and counts the connection. The caller holds the lock.
func (n *Network) outageAt(host, port string) *outage {
	for _, out := range n.outages {
		if out.host == host && (out.port == "" || out.port == port) && (out.limit == 0 || out.hits < out.limit) {
			out.hits++
			return out
		}
	}
	return nil
}

// silent returns the client's end of a new connection. Nothing reads from or writes to
// the other end, which begin closes at the end of the test.
func (n *Network) silent(out *outage, from, to net.Addr) net.Conn {
	client, server := newPipe(from, to)
	n.mu.Lock()
	defer n.mu.Unlock()
	out.conns = append(out.conns, server)
	return client
}

// A countdown picks connections of a server for calls of [Server.Refuse], or of
// [Server.Silence], with a number. Each call affects as many connections as its number
// says. Of several calls, the earliest has the first connections.
type countdown struct {
	mu    sync.Mutex
	begun []*tally // the calls in force, in their order
}

// A tally counts the connections of one call of Refuse or Silence. The field taken is
// the number of connections that the call has affected so far, and left is the number
// of those that it is still to affect.
type tally struct{ left, taken int }

// take reports whether a call affects the new connection, and counts it.
func (c *countdown) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.begun) > 0 {
		first := c.begun[0]
		if first.left > 0 {
			first.left--
			first.taken++
			return true
		}
		c.begun = c.begun[1:]
	}
	return false
}

// begin makes the countdown pick the next n connections. The parameter first has n as
// its only element. The function end makes the countdown pick no more of them, and
// returns an error if there were fewer.
func (c *countdown) begin(t TB, happens string, first []int) (end func() error) {
	t.Helper()
	n := number(t, first)
	own := &tally{left: n}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = append(c.begun, own)
	return func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		own.left = 0
		return tooFew(happens, n, own.taken)
	}
}

// number returns the only element of first, the number of connections that a caller
// gave. It fails the test if first has several elements, or if the number is below 1.
func number(t TB, first []int) int {
	t.Helper()
	if len(first) > 1 || first[0] < 1 {
		t.Fatalf("registrytest: %v is not a number of connections; give one number, from 1", first)
	}
	return first[0]
}

// tooFew returns an error if got is less than want. The parameter happens is the
// beginning of its text, as "reg.test refused" in "reg.test refused 1 connection, not 3".
func tooFew(happens string, want, got int) error {
	if got >= want {
		return nil
	}
	return fmt.Errorf("%s %s, not %d", happens, hint.Count(got, "connection"), want)
}
