// Package house checks the rules that keep the code easy to find one's way in:
// which package may import which, what the module depends on, and how long
// files and documentation are.
//
// The package has only tests. After a change of imports, update the picture in
// docs/architecture.md:
//
//	go test ./internal/house -update
package house
