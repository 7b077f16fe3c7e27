package registrytest

import (
	"fmt"
	"net"
	"sync"
)

// Refuse makes a name of the network refuse new connections, until undo is called
// or the test t ends. The name may be that of a registry, of a handler or of
// nothing: a host that is known and dead. It is for all ports, unless it has one,
// as in "registry.example.com:443".
//
// The test fails if no client was refused. With a number, Refuse is for the first
// connections from now on, and the test fails if there are fewer.
func (n *Network) Refuse(t TB, host string, first ...int) (undo func()) {
	needTest(t, "Network.Refuse")
	t.Helper()
	return until(t, "Refuse", n.begin(t, &outage{host: host}, first))
}

// Silence makes a name of the network accept new connections and then neither
// read nor write, as [Network.Refuse] makes it refuse them. Connections stay
// silent until the test t ends.
func (n *Network) Silence(t TB, host string, first ...int) (undo func()) {
	needTest(t, "Network.Silence")
	t.Helper()
	return until(t, "Silence", n.begin(t, &outage{host: host, silent: true}, first))
}

// An outage is a name that refuses connections, or does not read from them.
type outage struct {
	host, port string // the port is "" for all of them
	silent     bool

	// guarded by the lock of the network
	limit, hits int // the limit is 0 if there is none
	ended       bool
	conns       []net.Conn
}

// begin adds an outage, and returns a function that ends it.
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
		out.ended = true
		verb := " refused"
		if out.silent {
			verb = " met with silence"
		}
		return tooFew(name+verb, max(out.limit, 1), out.hits)
	}
}

// outageAt returns the outage that a new connection to the host and port meets,
// or nil. The caller holds the lock.
func (n *Network) outageAt(host, port string) *outage {
	for _, out := range n.outages {
		if !out.ended && out.host == host && (out.port == "" || out.port == port) && (out.limit == 0 || out.hits < out.limit) {
			out.hits++
			return out
		}
	}
	return nil
}

// silent returns the client's end of a connection that nothing reads from.
func (n *Network) silent(out *outage, from, to net.Addr) net.Conn {
	client, server := newPipe(from, to)
	n.mu.Lock()
	defer n.mu.Unlock()
	out.conns = append(out.conns, server)
	return client
}

// A countdown counts the first connections of a server, which an outage
// affects. If several countdowns are active, the earliest comes first.
type countdown struct {
	mu    sync.Mutex
	begun []*tally // with connections left
}

// A tally is the number of connections of one countdown.
type tally struct{ left, taken int }

// take reports whether a connection is one of them.
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

// begin counts down from a number, and returns a function that ends that.
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

// number returns the number of connections that a caller gave.
func number(t TB, first []int) int {
	t.Helper()
	if len(first) > 1 || first[0] < 1 {
		t.Fatalf("registrytest: %v is not a number of connections; give one number, from 1", first)
	}
	return first[0]
}

// tooFew returns an error if fewer connections were made than something was to
// happen to.
func tooFew(happens string, want, got int) error {
	if got >= want {
		return nil
	}
	noun := "connections"
	if got == 1 {
		noun = "connection"
	}
	return fmt.Errorf("%s %d %s, not %d", happens, got, noun, want)
}
