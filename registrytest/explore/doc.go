// Package explore looks for the bugs of a client: it runs one operation of the
// client again and again, each time with a different fault or at a different
// request, and judges how the client copes.
//
//	explore.EveryFault(t, setup, func(t *explore.T, reg *registrytest.Server) error {
//		layer, err := download(t.Context(), reg.Client(), reg.Ref("team/app:v1"))
//		t.Result("layer", layer)
//		return err
//	}, explore.MustSucceed("503 once"))
//
// The client may fail, and it may succeed, but it must not succeed with other
// content, hang, panic, leave goroutines or connections behind, flood the
// registry, retry before Retry-After, or show its credentials to another host.
// [EveryFault] reports each of these as a violation, with a rule of package fault
// that reproduces it.
//
// A run has a registry of its own, in memory and in a bubble of
// testing/synctest: a client that waits for minutes takes no time. See
// [OverLoopback] for clients that cannot be in a bubble.
//
// [Hostile] runs the operation against registries with traps from security
// advisories: redirects that take credentials to other hosts, lists without an
// end, content under the wrong digest.
//
// docs/exploring.md describes the faults, the violations, and the choices left to clients.
package explore
