// Package conformance tests registries and stores.
//
//   - [Registry] tests that a registry, which is an [http.Handler] or has a URL,
//     meets the OCI Distribution Specification.
//   - [Store] tests that an implementation of [registry.Store] meets the
//     documentation of that interface.
//
// Both run one subtest for each requirement or rule. The package imports package
// testing, so only tests import it.
package conformance

// A TB is the part of [testing.TB] that [Requirement.Check] needs. Fatalf must not
// return.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}
