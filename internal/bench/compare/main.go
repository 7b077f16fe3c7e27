// Compare runs the benchmarks of this module interleaved, so that a change in
// what else the machine does hits all alike, and prints the medians and the
// fastest runs with their ratios to the stub's. On a machine that is busy with
// other things, the fastest say more.
//
//	go run ./compare -rounds 5 -case push
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/ocireg/registry/internal/bench"
)

func main() {
	testing.Init()
	rounds := flag.Int("rounds", 5, "how often each case is run")
	which := flag.String("case", ".", "run the cases that match the regular expression")
	who := flag.String("registry", ".", "run the registries that match the regular expression")
	markdown := flag.Bool("markdown", false, "print a table in Markdown")
	benchtime := flag.String("benchtime", "200ms", "how long each run takes, or how many iterations it has, as for go test")
	flag.Parse()
	if err := flag.Set("test.benchtime", *benchtime); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	cases, err := regexp.Compile(*which)
	registries, err2 := regexp.Compile(*who)
	if err != nil || err2 != nil {
		fmt.Fprintln(os.Stderr, "compare: not a regular expression:", err, err2)
		os.Exit(2)
	}
	failed := false
	out := newTable(*markdown)
	out.row("case", "registry", "median", "fastest", "of stub", "fastest of stub", "allocs", "more")
	if *markdown {
		out.row(slices.Repeat([]string{"---"}, 8)...)
	}
	for _, c := range bench.Cases(bench.Full) {
		if cases.MatchString(c.Name) {
			failed = compare(out, c, registries, *rounds) || failed
			out.flush()
		}
	}
	if failed {
		os.Exit(1)
	}
}

// A table is printed in columns, or in Markdown.
type table struct {
	columns  *tabwriter.Writer
	markdown bool
}

func newTable(markdown bool) *table {
	return &table{tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0), markdown}
}

func (t *table) row(cells ...string) {
	if t.markdown {
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	} else {
		fmt.Fprintln(t.columns, strings.Join(cells, "\t"))
	}
}

func (t *table) flush() { t.columns.Flush() }

// compare prints the rows of one case. It reports whether a run failed.
func compare(out *table, c bench.Case, who *regexp.Regexp, rounds int) (failed bool) {
	var registries []bench.Registry
	for _, r := range bench.Registries() {
		if (c.Only == nil || c.Only(r)) && (r.Stub || who.MatchString(r.Name)) {
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
	stub, fastestStub := map[bool]float64{}, map[bool]float64{}
	for _, r := range registries {
		if r.Stub {
			stub[r.Disk] = median(results[r.Name], nanoseconds)
			fastestStub[r.Disk] = fastest(results[r.Name])
		}
	}
	for _, l := range c.Limits {
		all := results[l.Name]
		out.row(c.Name, l.Name, duration(median(all, nanoseconds)), duration(fastest(all)), "", "", "", more(all))
	}
	for _, r := range registries {
		all := results[r.Name]
		if len(all) < rounds {
			failed = true
			out.row(c.Name, r.Name, fmt.Sprintf("failed %d of %d", rounds-len(all), rounds))
			continue
		}
		ns := median(all, nanoseconds)
		ratio, fastestRatio := "-", "-"
		if stub[r.Disk] > 0 {
			ratio = fmt.Sprintf("%.2fx", ns/stub[r.Disk])
			fastestRatio = fmt.Sprintf("%.2fx", fastest(all)/fastestStub[r.Disk])
		}
		allocs := median(all, func(r testing.BenchmarkResult) float64 { return float64(r.AllocsPerOp()) })
		out.row(c.Name, r.Name, duration(ns), duration(fastest(all)), ratio, fastestRatio, fmt.Sprintf("%.0f", allocs), more(all))
	}
	return failed
}

// more returns the other metrics of a case, and its throughput.
func more(all []testing.BenchmarkResult) string {
	var parts []string
	if b := all[0].Bytes; b > 0 {
		ns := median(all, nanoseconds)
		parts = append(parts, fmt.Sprintf("%.0f MB/s", float64(b)/ns*1000))
	}
	var names []string
	for name := range all[0].Extra {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%.2f %s", median(all, func(r testing.BenchmarkResult) float64 { return r.Extra[name] }), name))
	}
	return strings.Join(parts, ", ")
}

// fastest returns the time of the run that was disturbed least.
func fastest(all []testing.BenchmarkResult) float64 {
	least := math.Inf(1)
	for _, r := range all {
		least = min(least, nanoseconds(r))
	}
	return least
}

func nanoseconds(r testing.BenchmarkResult) float64 {
	return float64(r.T.Nanoseconds()) / float64(r.N)
}

func median(all []testing.BenchmarkResult, of func(testing.BenchmarkResult) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	values := make([]float64, len(all))
	for i, r := range all {
		values[i] = of(r)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func duration(ns float64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%.2f s", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.2f us", ns/1e3)
	}
	return fmt.Sprintf("%.0f ns", ns)
}
