package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The packages that every test compiles do not sort with package slices, which is
// generic: about 10 KB of code are compiled again for each type that a package sorts.
// That takes as long as 200 lines of other code. Package sort is compiled once.
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
