// Package differential sends random sequences of requests to a registry and to a
// model, and compares every response.
//
// A sequence is determined by its seed. If a response differs, the package looks
// for the shortest sequence that still shows the difference.
package differential
