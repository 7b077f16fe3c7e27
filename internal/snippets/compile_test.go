package snippets

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ocireg/registry"

// packages maps the name of each package that snippets use to its import path.
func packages() map[string]string {
	paths := map[string]string{
		"registry": module,
		"digest":   "github.com/opencontainers/go-digest",
		"ocispec":  "github.com/opencontainers/image-spec/specs-go/v1",
		"require":  "github.com/stretchr/testify/require",

		// The test makes these packages, which stand for packages of the reader.
		"mystore":    "snippets/mystore",
		"myregistry": "snippets/myregistry",
	}
	for _, path := range []string{
		module + "/layout", module + "/memstore", module + "/registrytest",
		module + "/registrytest/auth", module + "/registrytest/conformance", module + "/registrytest/content", module + "/registrytest/content/archive", module + "/registrytest/content/referrer", module + "/registrytest/control",
		module + "/registrytest/explore", module + "/registrytest/external", module + "/registrytest/fault", module + "/registrytest/flatpak", module + "/registrytest/inject", module + "/registrytest/journal", module + "/registrytest/journal/export", module + "/registrytest/keep", module + "/registrytest/lint", module + "/registrytest/overlay", module + "/registrytest/profile", module + "/registrytest/upstream",
		"context", "errors", "fmt", "io", "log", "net/http", "net/http/httptest", "os", "path/filepath", "strings", "sync",
		"testing", "testing/synctest", "time", "log/slog",
	} {
		paths[path[strings.LastIndexByte(path, '/')+1:]] = path
	}
	return paths
}

// isGo matches code, in a comment or a line of text, that is Go and uses this module: it
// names an exported identifier of a package, or a field or method of the variable reg.
var isGo = regexp.MustCompile(`\b(registry|registrytest|archive|auth|conformance|content|control|explore|external|fault|flatpak|journal|keep|layout|lint|memstore|overlay|profile|referrer|upstream|reg)\.[A-Z]\w+`)

// fileOf returns a Go file of package snippets with the code of the snippet, and
// the names of the tests and examples in it.
func fileOf(t *testing.T, s snippet, n int, types map[string]bool) (source string, runs []string) {
	t.Helper()
	source, err := complete(s, types)
	if err != nil && s.kind == "inline" {
		return "package snippets\n", nil // The snippet is only a piece of code, such as a signature.
	}
	if err != nil {
		t.Errorf("%s:%d: the snippet is not Go: %v\n%s", s.file, s.line, err, s.code)
		return "package snippets\n", nil
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}

	// All snippets are in one package, so a number is appended to the names
	// that they declare.
	suffix := fmt.Sprintf("_%d", n)
	renamed := make(map[string]bool)
	for _, d := range f.Decls {
		for _, name := range declared(d) {
			renamed[name] = name != "_"
			if strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Example") {
				runs = append(runs, name+suffix)
			}
		}
	}
	edits := map[int]string{} // the text to insert, by offset
	offset := func(pos token.Pos) int { return fset.File(pos).Offset(pos) }
	roots := make(map[string]bool)
	kept := make(map[*ast.Ident]bool) // names of fields and methods
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.SelectorExpr:
			kept[node.Sel] = true
			if x, ok := node.X.(*ast.Ident); ok {
				roots[x.Name] = true
			}
		case *ast.KeyValueExpr:
			if key, ok := node.Key.(*ast.Ident); ok {
				kept[key] = true
			}
		case *ast.FuncDecl:
			kept[node.Name] = node.Recv != nil
		case *ast.Ident:
			if renamed[node.Name] && !kept[node] {
				edits[offset(node.End())] = suffix
			}
		}
		return true
	})
	if len(f.Imports) == 0 {
		var imports strings.Builder
		for name, path := range packages() {
			if roots[name] && !renamed[name] {
				fmt.Fprintf(&imports, "; import %s %q", name, path)
			}
		}
		edits[offset(f.Name.End())] = imports.String()
	}
	edits[len(source)] = checksOf(s, f, source, offset)
	for _, at := range slices.Backward(slices.Sorted(maps.Keys(edits))) {
		source = source[:at] + edits[at] + source[at:]
	}
	return source, runs
}

// declared returns the names that a top-level declaration declares.
func declared(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// types returns the types of the module's packages, as "registry.Store".
func types(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for name, path := range packages() {
		rel, ok := strings.CutPrefix(path, module)
		if !ok {
			continue
		}
		files, err := filepath.Glob(filepath.Join(root(t), filepath.FromSlash(rel), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
					for _, typ := range declared(g) {
						all[name+"."+typ] = true
					}
				}
			}
		}
	}
	return all
}

var packageClause = regexp.MustCompile(`(?m)^package \w+$`)

// complete returns the text of a Go file with the code of the snippet, which may
// be a file, declarations, statements or an expression. Line numbers in the file
// refer to the documentation.
func complete(s snippet, types map[string]bool) (string, error) {
	line := fmt.Sprintf("//line %s:%d\n", s.file, s.line)
	if source := line + packageClause.ReplaceAllString(s.code, "package snippets"); parses(source) {
		return source, nil
	}
	if source := "package snippets\n" + line + s.code; parses(source) {
		return source, nil
	}
	if types[strings.TrimSpace(s.code)] {
		return "package snippets\n" + line + "type _ = " + s.code, nil
	}
	if expr, err := parser.ParseExpr(s.code); err == nil {
		if _, ok := expr.(*ast.CallExpr); !ok {
			return "package snippets\nfunc _(t *testing.T) {\n" + line + "_ = " + s.code + "\n}\n", nil
		}
		return "package snippets\nfunc TestSnippet(t *testing.T) {\nbegin(t)\n" + line + s.code + "\n}\n", nil
	}
	const begin = "func TestSnippet(t *testing.T) {\nbegin(t)\nif err := snippet(t); err != nil {\nt.Error(err)\n}\n}\n"
	source := "package snippets\n" + begin + "func snippet(t *testing.T) error {\n" + line + strings.TrimRight(s.code, "\n")
	f, err := parser.ParseFile(token.NewFileSet(), "", source+"\n}\n", parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	// Statements in documentation may leave variables unused.
	for _, stmt := range f.Decls[1].(*ast.FuncDecl).Body.List {
		if assign, ok := stmt.(*ast.AssignStmt); ok && assign.Tok == token.DEFINE {
			for _, v := range assign.Lhs {
				if name := v.(*ast.Ident).Name; name != "_" {
					source += "; _ = " + name
				}
			}
		}
	}
	return source + "\nreturn nil\n}\n", nil
}

func parses(source string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	return err == nil
}
