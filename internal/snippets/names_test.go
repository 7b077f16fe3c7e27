package snippets

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The documents name tests that exist.
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

// docs/protocol.md lists all options of the handler, and the documents all flags.
func TestDocumentsListOptions(t *testing.T) {
	t.Parallel()
	read := func(pattern string) (text string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(root(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += string(content)
		}
		return text
	}
	help := helper(t)
	protocol, all := read("docs/protocol.md"), read("docs/*.md")
	for _, option := range regexp.MustCompile(`func (With\w+)\(`).FindAllStringSubmatch(help("doc", "-short", "."), -1) {
		if !strings.Contains(protocol, option[1]) {
			t.Errorf("docs/protocol.md does not list the option %s", option[1])
		}
	}
	for _, flag := range regexp.MustCompile(`(?m)^  -([\w-]+)`).FindAllStringSubmatch(help("run", "./cmd/ocireg", "help", "flags"), -1) {
		if !strings.Contains(all, "-"+flag[1]) {
			t.Errorf("no document lists the flag -%s", flag[1])
		}
	}
}
