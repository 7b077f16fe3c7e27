package fault

// The limits for tests.
const (
	MaxAhead     = maxAhead
	MaxZstdBlock = maxZstdBlock
)

// Known reports whether the name is a word of the language.
func Known(name string) bool {
	w, _ := find(name)
	return w != nil
}

// Samples returns rules that together have every word.
func Samples() (texts []string) {
	for _, r := range allRules {
		texts = append(texts, r.text)
	}
	return texts
}

// Problem returns the report that the rule did not happen as it says, or "".
func (f *Fault) Problem() string { return f.problem() }

// Suspend takes the rules away until resume is called.
func (f *Rules) Suspend() (resume func()) {
	rules := f.rules.Swap(nil)
	return func() { f.rules.Store(rules) }
}
