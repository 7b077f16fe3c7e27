// Package inject applies rules for failures to the requests of a registry. Package
// fault has the rules:
//
//	var rules inject.Rules
//	handler := registry.New(store, registry.WithFaults(rules.Inject))
//	rules.Set(t, fault.On(registry.GetBlob).Times(2).Status(503))
//
// [Rules] has the rules of one registry. A [Fault] is a rule that was added to them,
// and a [Gate] stops requests until a test releases them. A server of package
// registrytest has Rules, which its methods Fault and Hold add to.
//
// This package is separate from package fault, so that tests without faults need not
// compile the words of rules.
package inject
