package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The packages that every test compiles do not sort with package slices: each
// package that does compiles some 10 KB of code again, for each type that it sorts, which takes
// as long as 200 lines of the package itself. Package sort is compiled once.
func TestSortingIsCompiledOnce(t *testing.T) {
	_, all := list(t)
	sorts := regexp.MustCompile(`\bslices\.(Sort|Sorted)\w*\(`)
	for _, path := range append(all[module+"/registrytest"].Deps, module+"/registrytest") {
		if !ours(path) {
			continue
		}
		p := all[path]
		for _, name := range p.GoFiles {
			content, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if call := sorts.Find(content); call != nil {
				t.Errorf("%s/%s calls %s…): use a function of package sort", p.path(), name, call)
			}
		}
	}
}
