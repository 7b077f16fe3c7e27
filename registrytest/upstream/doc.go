// Package upstream puts a registry for tests in front of another registry, such
// as one of a vendor or of a cluster.
//
// [Proxy] passes every request on and changes nothing, so that faults, gates and
// the journal work with the real registry:
//
//	reg := registrytest.NewServer(t, upstream.Proxy("https://registry.example.com"))
//
// [Open] makes a store over another, such as an image layout. It fetches
// missing content from registries and keeps it in the other store. Later it
// gives the same answers without a network:
//
//	images, err := layout.Open("testdata/images")
//	if err != nil {
//		t.Fatal(err)
//	}
//	store, err := upstream.Open(images, upstream.Remote("docker.io"))
//	if err != nil {
//		t.Fatal(err)
//	}
//	reg := registrytest.NewServer(t, registrytest.WithStore(store), store)
package upstream
