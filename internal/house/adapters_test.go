package house

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each adapter module builds from the checkout, uses only packages that users
// see, and does not import package testing. Its documentation is short.
func TestAdapters(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "adapters", "*", "go.mod"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no adapters: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			mod, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"module " + module + "/adapters/" + name + "\n", "replace " + module + " => ../..\n"} {
				if !bytes.Contains(mod, []byte(line)) {
					t.Errorf("adapters/%s/go.mod lacks the line %s", name, line)
				}
			}
			if lines := checkAdapter(t, dir); lines > maxDocLines {
				t.Errorf("go doc -short of adapters/%s has %d lines, more than %d", name, lines, maxDocLines)
			}
		})
	}
}

// checkAdapter checks the imports of the files in a directory that are not tests,
// and that the package comment says how to build the module. It returns the
// number of lines that go doc -short prints.
func checkAdapter(t *testing.T, dir string) (lines int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
	documented := false
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		documented = documented || strings.Contains(f.Doc.Text(), "replaces")
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if path == "testing" || strings.HasPrefix(path, "testing/") || ours(path) && internal(rel(path)) {
				t.Errorf("%s imports %s, which users cannot or should not import", file, path)
			}
		}
	}
	if !documented {
		t.Errorf("the package comment in %s does not say that go.mod replaces the main module", dir)
	}
	return docLines(t, files)
}
