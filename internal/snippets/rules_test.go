package snippets

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// checksOf returns declarations that check the rules in a snippet: that each expression
// fault.On(…) with its words makes sense, alone or as the rule of a gate. Rules with
// variables that the snippet declares are left out.
func checksOf(s snippet, f *ast.File, source string, offset func(token.Pos) int) string {
	var checks strings.Builder
	inner := make(map[ast.Expr]bool) // parts of longer rules
	ast.Inspect(f, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && !inner[call] && isRule(call, inner) && isConstant(call) {
			at := fmt.Sprintf("%s:%d", s.file, s.line)
			fmt.Fprintf(&checks, "\nvar _ = checkRule(%q, %s)\n", at, source[offset(call.Pos()):offset(call.End())])
		}
		return true
	})
	return checks.String()
}

// isRule reports whether the expression is fault.On(…), or calls methods of that. It
// marks the calls within.
func isRule(e ast.Expr, inner map[ast.Expr]bool) bool {
	for {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return false
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if x, ok := method.X.(*ast.Ident); ok {
			return x.Name == "fault" && method.Sel.Name == "On"
		}
		inner[method.X] = true
		e = method.X
	}
}

// isConstant reports whether the rule has no variables but those of the prelude.
func isConstant(rule ast.Expr) bool {
	constant := true
	names := map[string]bool{"d": true, "layer": true} // in the prelude
	selected := make(map[*ast.Ident]bool)
	ast.Inspect(rule, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit:
			constant = false
		case *ast.SelectorExpr:
			selected[node.Sel] = true
		case *ast.Ident:
			constant = constant && (selected[node] || names[node.Name] || packages()[node.Name] != "")
		}
		return constant
	})
	return constant
}
