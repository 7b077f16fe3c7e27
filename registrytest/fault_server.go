package registrytest

import "github.com/ocireg/registry/registrytest/fault"

// Fault has something go wrong with the registry until the end of the test, as
// [Faults.Fault] does:
//
//	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503))
func (s *Server) Fault(t TB, r fault.Rule) *fault.Fault {
	t.Helper()
	s.inProcess(t, "Fault")
	return s.faults.Set(t, r)
}

// Hold has requests wait until the test releases them, as [Faults.Hold] does.
func (s *Server) Hold(t TB, r fault.Rule) *fault.Gate {
	t.Helper()
	s.inProcess(t, "Hold")
	return s.faults.Hold(t, r)
}
