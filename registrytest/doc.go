// Package registrytest helps to test with a registry, and to test what a
// registry is made of.
package registrytest
