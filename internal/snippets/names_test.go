package snippets

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// The README lists all options of the handler and all flags that set one.
func TestReadmeListsOptions(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	help := helper(t)
	for _, option := range regexp.MustCompile(`func (With\w+)\(`).FindAllStringSubmatch(help("doc", "-short", "."), -1) {
		if !strings.Contains(string(readme), option[1]) {
			t.Errorf("README.md does not list the option %s", option[1])
		}
	}
	notOfHandler := []string{"addr", "tls", "tls-dir", "repository", "tag"}
	for _, flag := range regexp.MustCompile(`(?m)^  -([\w-]+)`).FindAllStringSubmatch(help("run", "./cmd/ocireg", "help", "flags"), -1) {
		if !strings.Contains(string(readme), "`-"+flag[1]+"`") && !slices.Contains(notOfHandler, flag[1]) {
			t.Errorf("README.md does not list the flag -%s", flag[1])
		}
	}
}
