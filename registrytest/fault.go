package registrytest

import (
	"fmt"
	"sync/atomic"

	"github.com/ocireg/registry/registrytest/inject"
)

// Fault sets a rule for failures until the end of the test t, as
// [inject.Rules.Set] does. The test fails if the rule matched too few requests.
//
//	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503))
func (s *Server) Fault(t TB, r inject.Rule) *inject.Fault {
	needTest(t, "Server.Fault")
	t.Helper()
	s.check(t, "Fault")
	return s.faults.Set(t, r)
}

// Faults returns the rules that Fault and Hold have set and that were not removed, in
// the order in which they were set, as [inject.Rules.Faults] does.
func (s *Server) Faults() []*inject.Fault { return s.faults.Faults() }

// Hold makes requests wait at a gate until the test t releases them, as
// [inject.Rules.Hold] does.
func (s *Server) Hold(t TB, r inject.Rule) *inject.Gate {
	needTest(t, "Server.Hold")
	t.Helper()
	s.check(t, "Hold")
	return s.faults.Hold(t, r)
}

// Refuse makes the server refuse new connections, until undo is called or the
// test t ends. Existing connections go on. While a server refuses connections, its
// port is free, as after [Server.Stop]; see [Server.Start].
//
// If the server is in memory, the test fails if no client was refused. At a port,
// the operating system refuses clients, and the server cannot tell.
//
// With a number, Refuse affects only that many connections, the next ones, and the
// test fails if there are fewer. At a port, the operating system accepts these
// connections, and the server resets them before it reads a byte, so before a TLS
// handshake.
func (s *Server) Refuse(t TB, first ...int) (undo func()) {
	needTest(t, "Server.Refuse")
	t.Helper()
	s.check(t, "Refuse")
	if len(first) > 0 {
		return until(t, "Refuse", s.service.refuseFirst.begin(t, s.Host()+" refused", first))
	}
	before := s.service.refusals.Load()
	s.report(s.service.refuse())
	return until(t, "Refuse", func() error {
		if err := s.service.admit(); err != nil {
			return fmt.Errorf("listening at %s again: %w", s.Host(), err)
		}
		if s.inMemory && s.service.refusals.Load() == before {
			return fmt.Errorf("no client connected to %s while it refused connections", s.Host())
		}
		return nil
	})
}

// Silence makes the server accept new connections and then neither read nor
// write: with TLS, a handshake never ends. Existing connections go on. Silence
// ends when undo is called or the test t ends, but a connection that is silent
// stays silent.
//
// The test fails if no client connected to the silent server. With a number, Silence
// affects only that many connections, the next ones, and the test fails if there are
// fewer. For silence after a TLS handshake, set a rule that matches the connections
// by number instead, such as "any conn=1,2 delay=1h".
func (s *Server) Silence(t TB, first ...int) (undo func()) {
	needTest(t, "Server.Silence")
	t.Helper()
	s.check(t, "Silence")
	if len(first) > 0 {
		return until(t, "Silence", s.service.silence.first.begin(t, s.Host()+" was silent on", first))
	}
	silence := &s.service.silence
	before := silence.heard.Load()
	silence.wanted.Add(1)
	return until(t, "Silence", func() error {
		silence.wanted.Add(-1)
		if silence.heard.Load() == before {
			return fmt.Errorf("no client connected to %s while it was silent", s.Host())
		}
		return nil
	})
}

// until returns a function that calls end. If the caller does not call it, until
// calls end when the test t ends; end runs only once. An error of end fails the
// test, or is logged if the test has failed already. At the end of the test, the
// message starts with name, the method that the user called, and the line of the call.
func until(t TB, name string, end func() error) (undo func()) {
	t.Helper()
	var done atomic.Bool
	finish := func(prefix string) {
		t.Helper()
		if done.Swap(true) {
			return
		}
		err := end()
		switch {
		case err == nil:
		case t.Failed():
			t.Logf("registrytest: %s%v", prefix, err)
		default:
			t.Errorf("registrytest: %s%v", prefix, err)
		}
	}
	// In a bubble, go test prints no line of the user's test for a cleanup.
	prefix := fmt.Sprintf("%s, called at %s: ", name, userCode(1))
	t.Cleanup(func() {
		t.Helper()
		finish(prefix)
	})
	return func() {
		t.Helper()
		finish("")
	}
}
