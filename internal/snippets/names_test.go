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

// docs/protocol.md lists each option of the handler. The flags in docs/ocireg.md
// are compared by a test of the command.
func TestDocumentListsOptions(t *testing.T) {
	t.Parallel()
	protocol, err := os.ReadFile(filepath.Join(root(t), "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root(t), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`(?m)^func (With\w+)\(`)
	var options [][]string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			options = append(options, pattern.FindAllStringSubmatch(string(content), -1)...)
		}
	}
	if len(options) == 0 {
		t.Error("the package has no options")
	}
	for _, option := range options {
		if !strings.Contains(string(protocol), option[1]) {
			t.Errorf("docs/protocol.md does not list the option %s", option[1])
		}
	}
}
