package snippets

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each test that a document names exists.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	declared := make(map[string]bool)
	pattern := regexp.MustCompile(`(?m)^func (\w+)\(`)
	err := filepath.WalkDir(root(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, match := range pattern.FindAllSubmatch(content, -1) {
			declared[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^(Test|Example)[A-Z]\w*$|^\w+ByHand$`)
	for _, s := range all(t) {
		if s.kind == "inline" && name.MatchString(s.code) && !declared[s.code] {
			t.Errorf("%s:%d: there is no test %s", s.file, s.line, s.code)
		}
	}
}

// docs/protocol.md lists each operation, each option of the handler and each feature. The
// flags in docs/ocireg.md are compared by a test of the command.
func TestDocumentListsOptions(t *testing.T) {
	t.Parallel()
	protocol, err := os.ReadFile(filepath.Join(root(t), "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	for file, pattern := range map[string]string{
		"options.go": `(?m)^func (With\w+)\(`,
		"limits.go":  `(?m)^func (With\w+)\(`,
		"feature.go": `(?m)^\t([A-Z]\w+) .*//`,
		"op.go":      `(?m)^\t([A-Z]\w+) .*//`,
	} {
		content, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(pattern).FindAllStringSubmatch(string(content), -1)
		if len(names) == 0 {
			t.Errorf("%s: no declaration matches %s; update the pattern in this test", file, pattern)
		}
		for _, name := range names {
			if !regexp.MustCompile(`\b` + name[1] + `\b`).Match(protocol) {
				t.Errorf("docs/protocol.md does not list %s, of %s", name[1], file)
			}
		}
	}
}
