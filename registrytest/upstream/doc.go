// Package upstream puts a registry for tests in front of another registry, such
// as one of a vendor or of a cluster.
//
// [Proxy] passes every request on and changes nothing, so that faults, gates and
// the journal work with the real registry:
//
//	reg := registrytest.NewServer(t, upstream.Proxy("https://registry.example.com"))
package upstream
