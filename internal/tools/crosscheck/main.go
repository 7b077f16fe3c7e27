// Crosscheck type-checks the packages of a module and their tests for other
// systems:
//
//	crosscheck darwin/arm64 windows/amd64
//
// It reads the source of everything that they import. Go vet would compile that
// first, the standard library included, which takes 30 times longer when nothing
// is in the build cache.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	failed := false
	for _, target := range os.Args[1:] {
		n, errs := check(target)
		for _, err := range errs {
			fmt.Fprintf(os.Stderr, "%s: %v\n", target, err)
		}
		if len(errs) > 0 {
			failed = true
			continue
		}
		fmt.Printf("%s: %d packages and tests\n", target, n)
	}
	if failed {
		os.Exit(1)
	}
}

// check returns the number of packages that it checked for a system and
// architecture, and the errors that it found.
func check(target string) (n int, errs []error) {
	system, architecture, _ := strings.Cut(target, "/")
	pkgs, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax,
		Tests: true,
		Env:   append(os.Environ(), "GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0"),
	}, "./...")
	if err != nil {
		return 0, []error{err}
	}
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		for _, err := range p.Errors {
			errs = append(errs, err)
		}
	})
	if len(pkgs) == 0 {
		errs = append(errs, fmt.Errorf("no packages in this directory"))
	}
	return len(pkgs), errs
}
