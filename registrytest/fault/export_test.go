package fault

// The external tests need these limits.
const (
	MaxAhead     = maxAhead
	MaxZstdBlock = maxZstdBlock
)

// Known reports whether the name is a word of the language.
func Known(name string) bool {
	w, _ := find(name)
	return w != nil
}

// Samples returns the text of rules that together have every word of the language.
func Samples() (texts []string) {
	for _, r := range allRules {
		texts = append(texts, r.text)
	}
	return texts
}

// Problem returns the report that [Fault.Check] would make, or "" if it would not fail
// the test.
func (f *Fault) Problem() string { return f.problem() }

// Suspend removes all rules. Resume puts them back.
func (f *Rules) Suspend() (resume func()) {
	rules := f.rules.Swap(nil)
	return func() { f.rules.Store(rules) }
}
