// Package typecheck lets tests check whether an expression compiles.
package typecheck

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
)

// TB is the part of [testing.TB] that this package needs.
type TB interface {
	Helper()
	Skip(args ...any)
	Fatalf(format string, args ...any)
}

// New returns a function that type-checks an expression and returns the first
// error. The expression may use the packages with the given import paths, and the
// variables, which are declared as in "store registry.Store". New skips the test if
// the go command is not installed.
func New(t TB, packages []string, variables ...string) func(expr string) error {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed")
	}
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}, packages...)
	list, err := exec.Command(tool, args...).Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	exports := make(map[string]string)
	for line := range strings.Lines(string(list)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	var header strings.Builder
	header.WriteString("package p\n")
	for _, p := range packages {
		header.WriteString("import \"" + p + "\"\n")
	}
	fset := token.NewFileSet()
	load := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return func(expr string) error {
		source := header.String()
		for _, v := range variables {
			source += "var " + v + "\n"
		}
		source += "var _ = " + expr + "\n"
		file, err := parser.ParseFile(fset, "p.go", source, 0)
		if err != nil {
			return err
		}
		var first error
		config := types.Config{Importer: load, Error: func(err error) {
			// An expression does not use all of the imported packages,
			// which is no error here.
			if first == nil && !strings.Contains(err.Error(), "imported and not used") {
				first = err
			}
		}}
		config.Check("p", fset, []*ast.File{file}, nil)
		return first
	}
}
