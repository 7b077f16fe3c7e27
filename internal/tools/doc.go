// Package tools pins the versions of the tools that check the code:
//
//	go build -o bin/ tool
//
// in this directory builds staticcheck and govulncheck.
package tools
