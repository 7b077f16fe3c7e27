// Package tools pins the versions of the tools that check the code:
//
//	go build -o bin/ tool
//
// in this directory builds staticcheck and govulncheck. The package crosscheck is a
// tool of this module's own.
package tools
