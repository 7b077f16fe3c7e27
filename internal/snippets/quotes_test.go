package snippets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A snippet whose fence names files, such as
// "```go adapters/ggcr/migrate_test.go", occurs in each of these files, word for
// word. The tests of the modules with these files compile and run it, because it
// may need other modules or languages.
func TestQuotes(t *testing.T) {
	t.Parallel()
	count := 0
	for _, s := range all(t) {
		_, files, ok := strings.Cut(s.kind, " ")
		if !ok {
			continue
		}
		count++
		for _, file := range strings.Fields(files) {
			content, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(file)))
			if err != nil {
				t.Errorf("%s:%d: %v", s.file, s.line, err)
			} else if !strings.Contains(string(content), s.code) {
				t.Errorf("%s:%d: %s does not have this code:\n%s", s.file, s.line, file, s.code)
			}
		}
	}
	if count == 0 {
		t.Error("no snippet names a file")
	}
}
