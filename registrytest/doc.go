// Package registrytest starts OCI registries for tests, gives them content,
// has them fail, and tells what they were asked.
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
//		require.Equal(t, 3, reg.Requests().Op(registry.GetBlob).Len())
//	}
//
// # Where to look
//
//   - A registry: [NewServer], with the options of package registry and the
//     With functions of this one. By name, in memory, or behind a proxy:
//     [NewNetwork].
//   - Content: [Image], [Index], [Artifact], [SPDX] and others build a
//     [Content] that is the same on every machine; [State], which every
//     [Server] has, puts it into the store and looks at what is there.
//   - Failures: [On] begins a [FaultRule]; [Server.Hold] stops requests until
//     the test releases them; [Server.Tamper] changes what is stored.
//   - What was asked: [Server.Requests]; package lint finds clients that break
//     the spec.
//   - Who may ask: package auth.
//   - Other registries and stores: package conformance tests them.
package registrytest
