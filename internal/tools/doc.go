// Package tools pins the versions of the tools that check the code:
//
//	go build -o bin/ tool
//
// in this directory builds staticcheck, govulncheck and actionlint. The packages
// crosscheck and released are tools of this project itself.
package tools
