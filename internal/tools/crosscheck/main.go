// Crosscheck type-checks the packages of a module and their tests for other
// systems:
//
//	crosscheck darwin/arm64 windows/amd64
//
// It reads the source of all packages that they import, without the bodies of
// functions. Go vet would compile these packages, with the standard library, which
// takes 30 times longer if the build cache is empty.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	root, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	failed := false
	for _, target := range os.Args[1:] {
		n, errs := check(target, root)
		for _, err := range errs {
			fmt.Fprintf(os.Stderr, "%s: %v\n", target, err)
		}
		if len(errs) > 0 {
			failed = true
			continue
		}
		fmt.Printf("%s: %d packages and tests\n", target, n)
	}
	if failed {
		os.Exit(1)
	}
}

// check type-checks, for a target such as darwin/arm64, the packages below the
// current directory, which is root. It returns their number and the errors in them.
func check(target, root string) (n int, errs []error) {
	system, architecture, _ := strings.Cut(target, "/")
	pkgs, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax,
		Tests: true,
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0"),
		ParseFile: func(fset *token.FileSet, name string, src []byte) (*ast.File, error) {
			return parse(fset, name, src, !checked(name, root))
		},
	}, "./...")
	if err != nil {
		return 0, []error{err}
	}
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		for _, err := range p.Errors {
			// In packages parsed without the bodies of functions, unused imports are
			// not errors.
			if err.Kind != packages.TypeError || len(p.GoFiles) == 0 || checked(p.GoFiles[0], root) {
				errs = append(errs, err)
			}
		}
	})
	if len(pkgs) == 0 {
		errs = append(errs, fmt.Errorf("no packages in this directory"))
	}
	return len(pkgs), errs
}

// checked reports whether the file belongs to the checked packages: it is below
// the root, or was generated for a test.
func checked(file, root string) bool {
	return strings.HasPrefix(file, root+string(filepath.Separator)) || filepath.Ext(file) != ".go"
}

// parse parses a file. If declarations is set, it leaves out the bodies of functions.
func parse(fset *token.FileSet, name string, src []byte, declarations bool) (*ast.File, error) {
	mode := parser.AllErrors | parser.SkipObjectResolution
	if !declarations {
		mode |= parser.ParseComments
	}
	file, err := parser.ParseFile(fset, name, src, mode)
	if file == nil || !declarations {
		return file, err
	}
	for _, d := range file.Decls {
		// The type checker requires init to have a body.
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			if f.Recv == nil && f.Name.Name == "init" {
				f.Body.List = nil
			} else {
				f.Body = nil
			}
		}
	}
	return file, err
}
