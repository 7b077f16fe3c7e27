// Package house checks the rules that keep the code easy to navigate: the imports of
// packages, the dependencies of the module, the length of files and documentation, and
// the links and names in the documents.
//
// The package has only tests. After a change of imports, update the picture in
// docs/architecture.md:
//
//	go test ./internal/house -update
package house
