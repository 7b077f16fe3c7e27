// Package upstream puts a registry for tests in front of another registry, such
// as one of a vendor or of a cluster.
package upstream
