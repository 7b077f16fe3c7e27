package registrytest

import (
	"net"
	"sync"
	"sync/atomic"
)

// Refuse has the server refuse new connections, while those that are there go
// on. It ends by the function that is returned, and at the end of the test.
// What is said of the port in [Server.Start] is true here as well.
func (s *Server) Refuse(t TB) (undo func()) {
	t.Helper()
	s.inProcess(t, "Refuse")
	s.service.refuse()
	undo = func() {
		t.Helper()
		if err := s.service.admit(); err != nil {
			t.Errorf("registrytest: listening at %s again: %v", s.Host(), err)
		}
	}
	t.Cleanup(undo)
	return undo
}

// Silence has the server accept new connections, and then neither read what
// clients send nor answer: over TLS, a handshake never ends. Connections that
// are there go on. It ends by the function that is returned, and at the end of
// the test; connections that were made meanwhile stay as they are.
//
// The test fails if there were none.
func (s *Server) Silence(t TB) (undo func()) {
	t.Helper()
	s.inProcess(t, "Silence")
	d := &s.service.door
	before := d.silent.Load()
	d.silence.Add(1)
	undo = sync.OnceFunc(func() {
		t.Helper()
		d.silence.Add(-1)
		if d.silent.Load() == before && !t.Failed() {
			t.Errorf("registrytest: nobody connected to %s while it was silent", s.Host())
		}
	})
	t.Cleanup(undo)
	return undo
}

// refuse stops to listen.
func (s *service) refuse() {
	s.t.Helper()
	s.mu.Lock()
	s.closePorts()
	ended := s.wait(func() bool { return s.accepting == 0 })
	s.mu.Unlock()
	s.await(ended)
}

// admit listens again, unless the service was stopped or started meanwhile.
func (s *service) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || len(s.listeners) > 0 {
		return nil
	}
	return s.open()
}

// A door is what happens to those who connect.
type door struct {
	silence atomic.Int64 // how many want it to be silent
	silent  atomic.Int64 // how many connections it has been to
}

// A doorListener is a listener behind a door.
type doorListener struct {
	net.Listener
	door *door
}

func (l *doorListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.door.silence.Load() > 0 {
		l.door.silent.Add(1)
		c = &silentConn{Conn: c, done: make(chan struct{})}
	}
	return c, err
}

// A silentConn is a connection on which nothing is read.
type silentConn struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *silentConn) Read([]byte) (int, error) {
	<-c.done
	return 0, net.ErrClosed
}

func (c *silentConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

// SetLinger is that of a [net.TCPConn].
func (c *silentConn) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return nil
}
