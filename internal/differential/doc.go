// Package differential runs random sequences of requests against a registry and
// a model of it, and compares every response.
//
// A sequence follows from its seed. If a response differs, the package looks for
// the shortest sequence that still shows the difference.
package differential
