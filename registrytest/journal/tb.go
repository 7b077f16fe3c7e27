package journal

// A TB is the part of a test that this package needs. Every [testing.TB] is
// one.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}
