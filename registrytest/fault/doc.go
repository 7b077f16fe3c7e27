// Package fault makes requests to a registry fail, on purpose and in one line
// of a test: which requests, when, and how.
//
//	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503).RetryAfter(time.Second))
//
// A [Rule] describes a fault. [Rules] are the rules of one registry, a [Fault]
// is one of them in force, and a [Gate] stops requests until a test releases
// them. A rule prints itself in a language that [Parse] reads.
//
// Each word of the language is a method of Rule. To add one, write the method
// and its row in the table at the end of the same file.
package fault
