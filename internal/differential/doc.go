// Package differential sends random sequences of requests to a registry and to a
// model, and compares every response.
//
// A sequence is determined by its seed. If a response differs, the package leaves
// out all steps without which the sequence still shows a difference.
package differential
