package registrytest

// TB is what this package needs of a test. Every [testing.TB] is one, and test
// frameworks of other kinds have, or can easily be given, a value that is.
// Fatalf must not return.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}
