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

// docs/protocol.md lists all options of the handler, and docs/ocireg.md all flags.
func TestDocumentsListOptions(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	help := helper(t)
	protocol, command := read("docs/protocol.md"), read("docs/ocireg.md")
	for _, option := range regexp.MustCompile(`func (With\w+)\(`).FindAllStringSubmatch(help("doc", "-short", "."), -1) {
		if !strings.Contains(protocol, option[1]) {
			t.Errorf("docs/protocol.md does not list the option %s", option[1])
		}
	}
	listed := regexp.MustCompile(`(?m)^  -[\w-]+`).FindAllString(help("run", "./cmd/ocireg", "help", "flags"), -1)
	if len(listed) == 0 {
		t.Error("ocireg help flags lists no flags")
	}
	for _, flag := range listed {
		if !regexp.MustCompile("(?m)^" + flag + "( |$)").MatchString(command) {
			t.Errorf("docs/ocireg.md does not list the flag %s", flag)
		}
	}
}
