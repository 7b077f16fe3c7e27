// Package conformance tests registries and stores: [Registry] tests that a
// registry, in Go or behind a URL, does what the OCI Distribution Specification
// demands, and [Store] tests that an implementation of [registry.Store] does
// what that interface promises.
package conformance

// TB is the part of [testing.TB] that [Requirement.Check] calls. Fatalf must
// not return.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}
