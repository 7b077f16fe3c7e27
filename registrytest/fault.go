package registrytest

import (
	"fmt"
	"sync/atomic"

	"github.com/ocireg/registry/registrytest/fault"
)

// Fault sets a rule for failures until the end of the test t, as
// [fault.Rules.Set] does. The test fails if the rule matched too few requests.
//
//	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503))
func (s *Server) Fault(t TB, r fault.Rule) *fault.Fault {
	needTest(t, "Server.Fault")
	t.Helper()
	s.check(t, "Fault")
	return s.faults.Set(t, r)
}

// Faults returns the rules of Fault and Hold that are in force, in the order in
// which they were set, as [fault.Rules.All] does.
func (s *Server) Faults() []*fault.Fault { return s.faults.All() }

// Hold makes requests wait at a gate until the test t releases them, as
// [fault.Rules.Hold] does.
func (s *Server) Hold(t TB, r fault.Rule) *fault.Gate {
	needTest(t, "Server.Hold")
	t.Helper()
	s.check(t, "Hold")
	return s.faults.Hold(t, r)
}

// Refuse makes the server refuse new connections, until undo is called or the
// test t ends. Existing connections go on. As in an outage, the port is free
// meanwhile, see [Server.Start].
//
// The test fails if no client was refused. This is known in memory only: at a
// port, it is the operating system that refuses.
//
// With a number, Refuse is for the first connections from now on, and the test
// fails if there are fewer. At a port, where the operating system accepts them,
// they are reset before the server reads a byte, with TLS before the handshake.
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
// ends when undo is called or the test t ends; a connection made before stays
// silent.
//
// The test fails if no client connected meanwhile. With a number, Silence is for
// the first connections from now on, and the test fails if there are fewer. For
// silence after the handshake of TLS, a rule for requests has the number of the
// connection: any conn=1,2 delay=1h.
func (s *Server) Silence(t TB, first ...int) (undo func()) {
	needTest(t, "Server.Silence")
	t.Helper()
	s.check(t, "Silence")
	if len(first) > 0 {
		return until(t, "Silence", s.service.silence.first.begin(t, s.Host()+" met with silence", first))
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

// until returns a function that ends the effect of the method with the name. The
// effect ends once: when undo is called, or else when the test t ends. An error
// fails the test, or is logged if the test has failed already.
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
	prefix := fmt.Sprintf("%s, called at %s: ", name, userCode(1)) // In a bubble, go test knows no line for a cleanup.
	t.Cleanup(func() {
		t.Helper()
		finish(prefix)
	})
	return func() {
		t.Helper()
		finish("")
	}
}
