package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const maxDocLines = 45 // the lines of go doc -short that fit on a screen

// longDocs lists the packages whose documentation may be longer.
var longDocs = []string{}

// The list of names that go doc -short prints for each package fits on a screen.
func TestDocumentationIsShort(t *testing.T) {
	_, all := list(t)
	for _, room := range rooms {
		p, ok := all[filepath.ToSlash(filepath.Join(module, room.path))]
		if !ok {
			t.Errorf("%s is in rooms, but is not a package", room.path)
			continue
		}
		if p.Name == "main" {
			continue // go doc lists no names for a command.
		}
		var files []string
		for _, name := range p.GoFiles {
			files = append(files, filepath.Join(p.Dir, name))
		}
		if lines := docLines(t, files); lines > maxDocLines && !slices.Contains(longDocs, room.path) {
			t.Errorf("go doc -short ./%s has %d lines, more than %d: export less, or make two packages of it", room.path, lines, maxDocLines)
		}
	}
}

// docLines returns the number of lines that go doc -short prints for a package:
// one for each exported function and type, and for each declaration with exported
// constants or variables. To run go doc for each package would take six seconds.
func docLines(t *testing.T, files []string) (lines int) {
	t.Helper()
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.IsExported() {
					lines++
				}
			case *ast.GenDecl:
				exported := 0
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() {
							lines++
						}
					case *ast.ValueSpec:
						if slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
							exported = 1
						}
					}
				}
				lines += exported
			}
		}
	}
	return lines
}

// docLines counts the lines that the go command prints.
func TestDocumentationIsCounted(t *testing.T) {
	_, all := list(t)
	p := all[module]
	var files []string
	for _, name := range p.GoFiles {
		files = append(files, filepath.Join(p.Dir, name))
	}
	out, err := command("doc", "-short", ".")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := docLines(t, files), bytes.Count(out, []byte("\n")); got != want {
		t.Errorf("docLines counts %d lines, go doc -short has %d", got, want)
	}
}

// The documentation of each package that users see has an Example.
func TestPackagesHaveExamples(t *testing.T) {
	for _, room := range rooms {
		if internal(room.path) || strings.HasPrefix(room.path, "cmd/") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(root(t), room.path, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			content, err := os.ReadFile(file)
			return err == nil && bytes.Contains(content, []byte("\nfunc Example"))
		}) {
			t.Errorf("%s has no Example", room.path)
		}
	}
}
