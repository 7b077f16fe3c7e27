// Package documents reads the documents of the module for tests.
package documents

import (
	"os"
	"path/filepath"
	"testing"
)

// All returns the contents of the Markdown files outside of internal packages and test
// data, by their paths, which are relative to root and have slashes. Root is the
// directory of the module.
func All(t testing.TB, root string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = string(content)
		}
	}
	return texts
}
