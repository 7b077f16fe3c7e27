package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A test closes each layout that it opens: Windows does not remove a directory
// that is open, so the cleanup of t.TempDir fails there. The function that opens a
// layout contains the call of Close, or returns the result of Open as it is.
func TestLayoutsAreClosed(t *testing.T) {
	checked := 0
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != dir {
			return fs.SkipDir
		}
		test := strings.HasSuffix(path, "_test.go") || filepath.Base(filepath.Dir(path)) == "matrix"
		if e.IsDir() || !test || !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(src, []byte("layout.Open(")) && filepath.Base(filepath.Dir(path)) != "layout" {
			return err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, call := range openedLayouts(f) {
			checked++
			if !call.closed {
				t.Errorf("%s: the layout is never closed", files.Position(call.at))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 40 {
		t.Errorf("found %d calls of layout.Open in tests, want 40 or more", checked)
	}
}

func TestOpenLayoutsAreFound(t *testing.T) {
	const src = `package p
var stores = map[string]func(){"layout": func() { s, err := layout.Open("a"); use(s, err) }}
func f() {
	a, err := layout.Open("a")
	defer a.Close()
	b, err := layout.Open("b")
	t.Cleanup(func() { b.Close() })
	_, err = layout.Open("c")
	func() { d, err := layout.Open("d"); use(d, err) }()
	d.Close()
}
func g() (*layout.Store, error) { return layout.Open("e") }`
	f, err := parser.ParseFile(token.NewFileSet(), "", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var closed []bool
	for _, call := range openedLayouts(f) {
		closed = append(closed, call.closed)
	}
	want := []bool{false, true, true, true, false, true}
	if len(closed) != len(want) {
		t.Fatalf("found %d calls of Open, want %d", len(closed), len(want))
	}
	for i := range want {
		if closed[i] != want[i] {
			t.Errorf("call %d: closed = %t, want %t", i, closed[i], want[i])
		}
	}
}

// An opened is a call of layout.Open in a test file.
type opened struct {
	at     token.Pos
	closed bool
}

// openedLayouts returns the calls of layout.Open in a file, in the order of the file.
func openedLayouts(f *ast.File) (calls []opened) {
	var stack []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		stack = append(stack, n)
		if call, ok := n.(*ast.CallExpr); ok && opensLayout(f.Name.Name, call.Fun) {
			calls = append(calls, opened{call.Pos(), isClosed(stack)})
		}
		return true
	})
	return calls
}

func opensLayout(pkg string, fun ast.Expr) bool {
	switch fun := fun.(type) {
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		return ok && x.Name == "layout" && fun.Sel.Name == "Open"
	case *ast.Ident:
		return pkg == "layout" && fun.Name == "Open"
	}
	return false
}

// isClosed reports whether the store of the call at the end of the stack is
// closed by the innermost function, or returned to its caller.
func isClosed(stack []ast.Node) bool {
	name := ""
	for i := len(stack) - 1; i >= 0; i-- {
		switch n := stack[i].(type) {
		case *ast.ReturnStmt:
			if name == "" {
				return true
			}
		case *ast.AssignStmt:
			if v, ok := n.Lhs[0].(*ast.Ident); ok && name == "" {
				name = v.Name
			}
		case *ast.FuncDecl:
			return name == "_" || closes(n.Body, name)
		case *ast.FuncLit:
			return name == "_" || closes(n.Body, name)
		}
	}
	return false
}

// closes reports whether the body mentions the method Close of the variable.
func closes(body *ast.BlockStmt, name string) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Close" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
				found = true
			}
		}
		return !found
	})
	return found
}
