package registrytest

// Fault has something go wrong with the registry until the end of the test, as
// [Faults.Fault] does:
//
//	reg.Fault(t, registrytest.On(registry.GetBlob).Times(2).Status(503))
func (s *Server) Fault(t TB, r FaultRule) *Injection {
	t.Helper()
	s.inProcess(t, "Fault")
	return s.faults.Fault(t, r)
}

// Hold has requests wait until the test releases them, as [Faults.Hold] does.
func (s *Server) Hold(t TB, r FaultRule) *Hold {
	t.Helper()
	s.inProcess(t, "Hold")
	return s.faults.Hold(t, r)
}
