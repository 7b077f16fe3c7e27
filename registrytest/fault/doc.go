// Package fault makes requests to a registry fail on purpose. One line of a test
// says which requests fail, when, and how.
//
//	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503).RetryAfter(time.Second))
//
// A [Rule] describes a fault. It has a text form, which [Rule.String] returns and
// [Parse] reads. Package inject holds the rules of a registry, and applies them to its
// requests.
//
// Each word of the text form is a method of Rule.
package fault
