// Compare runs the benchmarks of this module for all registries in turn. It prints
// the median of each, and its ratio to the median of the stub.
//
//	go run ./compare -rounds 5 -case push
//	go run ./compare -results results.md
//
// A round runs a case once for every registry, so that a change in the load of
// the machine affects all of them. On a busy machine, the fastest run says more
// than the median. With -results, the measured rows also replace the same rows
// in a file.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/ocireg/registry/internal/bench"
)

func main() {
	testing.Init()
	rounds := flag.Int("rounds", 5, "run each case this many `times`")
	which := flag.String("case", ".", "run the cases that match the regular `expression`")
	subjects := flag.String("registry", ".", "run the registries that match the regular `expression`")
	benchtime := flag.String("benchtime", "200ms", "the `time` or the number of iterations of a run, as for go test")
	file := flag.String("results", "", "replace the rows in the `file`")
	flag.Parse()
	failed, err := run(*rounds, *which, *subjects, *benchtime, *file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// run measures the selected cases and prints their rows. It reports whether a
// benchmark failed.
func run(rounds int, which, subjects, benchtime, file string) (failed bool, err error) {
	if err := flag.Set("test.benchtime", benchtime); err != nil {
		return false, err
	}
	wanted, err1 := regexp.Compile(which)
	registries, err2 := regexp.Compile(subjects)
	if err := cmp.Or(err1, err2); err != nil {
		return false, err
	}
	var rows []row
	var order []string
	for _, c := range bench.Cases(bench.Full) {
		order = append(order, c.Name)
		if !wanted.MatchString(c.Name) {
			continue
		}
		measured := compare(c, registries, rounds)
		printRows(os.Stdout, measured)
		for _, r := range measured {
			failed = failed || r.failed()
		}
		rows = append(rows, measured...)
	}
	if file == "" {
		return failed, nil
	}
	system := fmt.Sprintf("%s %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	return failed, update(file, rows, order, time.Now().Format(time.DateOnly), system)
}

// compare measures one case. It returns a row for each limit, and then one for
// each registry.
func compare(c bench.Case, wanted *regexp.Regexp, rounds int) []row {
	var registries []bench.Registry
	for _, r := range c.Registries() {
		if r.Stub || wanted.MatchString(r.Name) {
			registries = append(registries, r)
		}
	}
	results := make(map[string][]testing.BenchmarkResult)
	for range rounds {
		for _, l := range c.Limits {
			results[l.Name] = append(results[l.Name], testing.Benchmark(l.Run))
		}
		for _, r := range registries {
			if result := testing.Benchmark(func(b *testing.B) { b.ReportAllocs(); c.Run(b, r) }); result.N > 0 {
				results[r.Name] = append(results[r.Name], result)
			}
		}
	}
	stubs := make(map[bool][]testing.BenchmarkResult) // by whether the stub keeps content on disk
	for _, r := range registries {
		if r.Stub {
			stubs[r.Disk] = results[r.Name]
		}
	}
	var rows []row
	for _, l := range c.Limits {
		rows = append(rows, limitRow(c.Name, l.Name, results[l.Name]))
	}
	for _, r := range registries {
		rows = append(rows, registryRow(c.Name, r.Name, results[r.Name], stubs[r.Disk], rounds))
	}
	return rows
}
