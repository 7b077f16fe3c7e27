// Package upstream puts a registry for tests in front of another registry, such
// as that of a vendor or a cluster.
//
// [NewProxy] passes every request on to the other registry, so that faults, gates
// and the journal work with real responses:
//
//	reg := registrytest.NewServer(t, upstream.NewProxy("https://registry.example.com"))
//
// [Open] returns a store that fetches missing content from registries and keeps
// it in a local store, such as an image layout. Later it serves the same content
// without a network:
//
//	images, err := layout.Open("testdata/images")
//	if err != nil {
//		t.Fatal(err)
//	}
//	store, err := upstream.Open(images, upstream.Remote("docker.io"))
//	if err != nil {
//		t.Fatal(err)
//	}
//	reg := registrytest.NewServer(t, store)
package upstream
