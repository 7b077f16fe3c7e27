package fault_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/documents"
	"github.com/ocireg/registry/registrytest/fault"
)

// refusedInDocuments lists the rules that docs/faults.md names because they make no
// sense.
var refusedInDocuments = []string{"get-blob tag=v1", "get-blob keep=100"}

// Rules in the text of all documents are valid, unless the text says that they are not.
func TestRulesInDocuments(t *testing.T) {
	t.Parallel()
	ops := []string{"any"}
	for op := registry.UnknownOp; op <= registry.GetToken; op++ {
		ops = append(ops, op.String())
	}
	isOp := func(word string) bool { return slices.Contains(ops, word) }
	isRule := func(text string) bool {
		words := strings.Fields(text)
		return len(words) > 1 && !strings.Contains(text, "…") && !slices.ContainsFunc(strings.Split(words[0], ","), func(op string) bool { return !isOp(op) }) &&
			slices.ContainsFunc(words[1:], func(word string) bool {
				name, _, hasValue := strings.Cut(word, "=")
				return hasValue || fault.Known(name)
			})
	}
	var refused []string
	checked := 0
	for file, text := range documents.All(t, filepath.Join("..", "..")) {
		for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
			rule := strings.ReplaceAll(m[1], `\|`, "|")
			if !isRule(rule) {
				continue
			}
			checked++
			if _, err := fault.Parse(rule); err == nil {
				continue
			} else if !slices.Contains(refusedInDocuments, rule) {
				t.Errorf("%s: %v", file, err)
			}
			refused = append(refused, rule)
		}
	}
	require.ElementsMatch(t, refusedInDocuments, refused)
	require.Greater(t, checked, 200)
}
