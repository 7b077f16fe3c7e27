package fault

import (
	"strings"
	"testing"

	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest/inject"
)

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

// Problem checks the rule, and returns the failure, or "" if there is none.
func Problem(t testing.TB, f *inject.Fault) string {
	tb := faketb.New(t)
	f.Check(tb)
	return strings.Join(tb.Errors(), "\n")
}
