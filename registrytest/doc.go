// Package registrytest runs OCI registries in tests: it seeds content, injects
// faults, and inspects requests.
//
//	func TestPull(t *testing.T) {
//		reg := registrytest.NewServer(t)
//		app := reg.Push(t, "team/app:v1", content.Image())
//		reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503).RetryAfter(time.Second))
//
//		got, err := pull(reg.Ref("team/app:v1"))
//		require.NoError(t, err)
//		require.Equal(t, app.Digest, got)
//
//		require.Equal(t, 4, reg.Requests().Op(registry.GetBlob).Len())
//	}
//
// The image has a config and one layer, so pull sends two requests for blobs, and
// two more in place of those that got a 503.
//
// # Where to look
//
//   - A registry in this process: [NewServer] for a test, [StartServer] for TestMain
//     and programs, with the options of package registry and the With functions
//     of this package. [NewNetwork] serves registries by host name, in memory or
//     behind a proxy.
//   - Content: package content builds images, indexes and artifacts that are the
//     same on every machine. [Server.Push] and the other methods of
//     [content.State] put them into the store and inspect it.
//   - Failures: package fault has the rules for [Server.Fault] and
//     [Server.Hold]. [Server.Tamper] changes stored content; [Server.Refuse],
//     [Server.Silence] and [Server.Stop] make the server unreachable.
//   - Requests: [Server.Requests] returns those up to now, for the queries of
//     package journal. Package lint finds requests that break the spec.
//   - Users, rights and tokens: package auth.
//   - Another registry: package external runs the same test against it, and
//     package conformance tests it.
//   - Content on disk: package keep writes it if the test fails.
package registrytest
