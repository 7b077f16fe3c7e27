package registrytest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry/internal/conn"
)

// pipeBuffer is the number of bytes that a connection in memory holds in each
// direction before a write waits for a read.
const pipeBuffer = 64 << 10

// A pipeListener is a [net.Listener] in memory. It waits only on channels and
// condition variables, never in a system call, so it can be used in a bubble of
// package testing/synctest.
type pipeListener struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	close func()
}

// newPipeListener returns a listener that calls onEnd when it is closed.
func newPipeListener(addr net.Addr, onEnd func()) *pipeListener {
	l := &pipeListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		onEnd()
		close(l.done)
	})
	return l
}

func (l *pipeListener) Addr() net.Addr { return l.addr }

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
}

func (l *pipeListener) Close() error {
	l.close()
	return nil
}

// dial connects to the listener. It returns errors like those of [net.Dialer].
func (l *pipeListener) dial(ctx context.Context, from net.Addr) (net.Conn, error) {
	client, server := newPipe(from, l.addr)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, errRefused(l.addr)
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: ctx.Err()}
	}
}

// errRefused returns the error for an address without a listener.
func errRefused(addr net.Addr) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", conn.Refused)}
}

// newPipe returns the two ends of a connection in memory.
func newPipe(clientAddr, serverAddr net.Addr) (client, server *pipeConn) {
	up, down := newStream(), newStream()
	client = &pipeConn{in: down, out: up, local: clientAddr, remote: serverAddr}
	server = &pipeConn{in: up, out: down, local: serverAddr, remote: clientAddr}
	return client, server
}

// A pipeConn is an end of a connection in memory. It behaves like a
// [net.TCPConn].
type pipeConn struct {
	in, out       *stream
	local, remote net.Addr
	abort         atomic.Bool // whether Close resets the connection
	closed        atomic.Bool
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.opError("write", err)
}

func (c *pipeConn) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// SetLinger with 0 makes Close reset the connection.
func (c *pipeConn) SetLinger(sec int) error {
	c.abort.Store(sec == 0)
	return nil
}

// CloseWrite makes the other end read io.EOF after the bytes written so far.
func (c *pipeConn) CloseWrite() error {
	c.out.end(io.EOF, conn.Broken)
	return nil
}

// Close ends both directions. The other end can still read the bytes written so
// far, even after a reset, as on Linux.
func (c *pipeConn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	theirRead, theirWrite := io.EOF, error(conn.Broken)
	if c.abort.Load() {
		theirRead, theirWrite = conn.Reset, conn.Reset
	}
	c.in.end(net.ErrClosed, theirWrite)
	c.out.end(theirRead, net.ErrClosed)
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readDeadline, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeDeadline, t)
	return nil
}

// A stream is one direction of a connection in memory.
type stream struct {
	mu     sync.Mutex
	change sync.Cond // signals that a field below has changed

	ring        []byte
	start, size int // the unread bytes in the ring begin at start; size is their number

	// readErr is the error that read returns when no bytes are left. writeErr is the
	// error that write returns. Both are nil while the stream is open.
	readErr, writeErr error

	// void is the number of bytes that write still accepts after the other end has
	// closed. On a real network, too, a client that writes to a closed connection does
	// not learn of it at once, and so has time to read the response.
	void int

	readDeadline, writeDeadline deadline
}

type deadline struct {
	timer  *time.Timer
	passed bool
}

func newStream() *stream {
	s := &stream{}
	s.change.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.size == 0 || s.readDeadline.passed || len(p) == 0 {
		switch {
		case s.readErr == net.ErrClosed:
			return 0, s.readErr
		case s.readDeadline.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case s.readErr != nil:
			return 0, s.readErr
		}
		s.change.Wait()
	}
	for n < len(p) && s.size > 0 {
		k := copy(p[n:], s.ring[s.start:min(s.start+s.size, len(s.ring))])
		n += k
		s.size -= k
		s.start = (s.start + k) % len(s.ring)
	}
	s.change.Broadcast()
	return n, nil
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr == conn.Broken && len(p) <= s.void && !s.writeDeadline.passed {
		s.void -= len(p)
		return len(p), nil
	}
	for {
		switch {
		case s.writeErr != nil:
			return n, s.writeErr
		case s.writeDeadline.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		k := s.append(p[n:])
		if n += k; k > 0 {
			s.change.Broadcast()
		} else {
			s.change.Wait()
		}
	}
}

// append copies as much of p into the ring as fits, and returns the number of bytes.
// The ring grows up to pipeBuffer.
func (s *stream) append(p []byte) (n int) {
	if need := s.size + len(p); need > len(s.ring) && len(s.ring) < pipeBuffer {
		ring := make([]byte, min(max(need, 2*len(s.ring), 4<<10), pipeBuffer))
		k := copy(ring, s.ring[s.start:min(s.start+s.size, len(s.ring))])
		copy(ring[k:], s.ring[:s.size-k])
		s.ring, s.start = ring, 0
	}
	for n < len(p) && s.size < len(s.ring) {
		end := (s.start + s.size) % len(s.ring)
		k := copy(s.ring[end:min(end+len(s.ring)-s.size, len(s.ring))], p[n:])
		n += k
		s.size += k
	}
	return n
}

// end sets the errors that read and write return from now on. An earlier error
// stays, unless the new one is [net.ErrClosed], which an end of a connection gets
// after its own Close.
func (s *stream) end(readErr, writeErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readErr == nil || readErr == net.ErrClosed {
		s.readErr = readErr
	}
	if s.writeErr == nil || writeErr == net.ErrClosed {
		s.writeErr = writeErr
		if readErr == net.ErrClosed {
			s.void = pipeBuffer
		}
	}
	if readErr == net.ErrClosed {
		s.size = 0
	}
	s.stopTimer(&s.readDeadline)
	s.stopTimer(&s.writeDeadline)
	s.change.Broadcast()
}

func (s *stream) stopTimer(d *deadline) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopTimer(d)
	wait := time.Until(t)
	d.passed = !t.IsZero() && wait <= 0
	if d.passed {
		s.change.Broadcast()
	}
	if t.IsZero() || d.passed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			s.change.Broadcast()
		}
	})
	d.timer = timer
}
