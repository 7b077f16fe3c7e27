package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// setByLinker is the only variable of a package that may change: the flag -X sets it.
const setByLinker = "release"

// No package has an init function or a variable that changes: nothing assigns to a
// variable of a package, to its fields or to its elements, and each has a value. Each
// exported name has a comment.
func TestGlobalsAndComments(t *testing.T) {
	product, _ := list(t)
	for _, p := range product {
		if testOnly(p, product) && internal(p.path()) && p.Name != "main" {
			continue // Packages that only tests import may have such variables.
		}
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		report := func(at token.Pos, problem string) {
			t.Errorf("%s: %s", fset.Position(at), problem)
		}
		variables := make(map[string]bool)
		for _, f := range files {
			for _, spec := range variablesOf(f) {
				for _, name := range spec.Names {
					variables[name.Name] = name.Name != "_"
				}
			}
		}
		for _, f := range files {
			checkState(f, variables, report)
			if !internal(p.path()) && p.Name != "main" {
				checkComments(f, report)
			}
		}
	}
}

// variablesOf returns the declarations of variables of the package in a file.
func variablesOf(f *ast.File) (specs []*ast.ValueSpec) {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				specs = append(specs, spec.(*ast.ValueSpec))
			}
		}
	}
	return specs
}

// checkState reports init functions and changes of variables of the package in a file.
func checkState(f *ast.File, variables map[string]bool, report func(token.Pos, string)) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				report(d.Pos(), "init functions are not allowed")
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				embedded := d.Doc != nil && strings.Contains(d.Doc.List[len(d.Doc.List)-1].Text, "go:embed")
				if ok && d.Tok == token.VAR && len(v.Values) == 0 && !embedded && v.Names[0].Name != setByLinker {
					report(v.Pos(), "the variable has no value, so something sets it later")
				}
			}
		}
	}
	for _, d := range f.Decls {
		function, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		local := locals(function)
		change := func(e ast.Expr) {
			if name := changed(e); variables[name] && !local[name] {
				report(e.Pos(), "the variable "+name+" of the package is changed")
			}
		}
		ast.Inspect(function, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					change(e)
				}
			case *ast.IncDecStmt:
				change(n.X)
			}
			return true
		})
	}
}

// changed returns the name of the variable that an assignment to the expression changes.
func changed(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// locals returns the names that a function declares.
func locals(f *ast.FuncDecl) map[string]bool {
	names := make(map[string]bool)
	add := func(e ast.Expr) {
		if name, ok := e.(*ast.Ident); ok {
			names[name.Name] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				add(name)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			add(n.Key)
			add(n.Value)
		case *ast.ValueSpec:
			for _, name := range n.Names {
				add(name)
			}
		}
		return true
	})
	return names
}

// checkComments reports exported names of a file without a comment.
func checkComments(f *ast.File, report func(token.Pos, string)) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) {
				report(d.Pos(), d.Name.Name+" has no comment")
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
						report(spec.Pos(), spec.Name.Name+" has no comment")
					}
				case *ast.ValueSpec:
					if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						report(spec.Pos(), spec.Names[0].Name+" has no comment")
					}
				}
			}
		}
	}
}

// exportedReceiver reports whether the type of a method's receiver is exported.
func exportedReceiver(recv *ast.FieldList) bool {
	e := recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if index, ok := e.(*ast.IndexExpr); ok {
		e = index.X
	}
	name, ok := e.(*ast.Ident)
	return ok && name.IsExported()
}
