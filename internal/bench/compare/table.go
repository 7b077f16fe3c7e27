package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// A row is a line of the table, with a cell for each column.
type row []string

var columns = row{"case", "registry", "median", "fastest", "of stub", "fastest of stub", "allocs", "more"}

// failed reports whether the row is for a registry with a failed run.
func (r row) failed() bool { return strings.HasPrefix(r[2], "failed") }

// limitRow returns the row for a limit of a case.
func limitRow(name, limit string, all []testing.BenchmarkResult) row {
	return row{name, limit, duration(median(all, nanoseconds)), duration(fastest(all)), "", "", "", more(all)}
}

// registryRow returns the row for a registry. Without results of a stub, the row
// has no ratios.
func registryRow(name, registry string, all, stub []testing.BenchmarkResult, rounds int) row {
	if len(all) < rounds {
		return row{name, registry, fmt.Sprintf("failed %d of %d", rounds-len(all), rounds), "", "", "", "", ""}
	}
	ns := median(all, nanoseconds)
	ratio, fastestRatio := "-", "-"
	if len(stub) > 0 {
		ratio = fmt.Sprintf("%.2fx", ns/median(stub, nanoseconds))
		fastestRatio = fmt.Sprintf("%.2fx", fastest(all)/fastest(stub))
	}
	allocs := median(all, func(r testing.BenchmarkResult) float64 { return float64(r.AllocsPerOp()) })
	return row{name, registry, duration(ns), duration(fastest(all)), ratio, fastestRatio, fmt.Sprintf("%.0f", allocs), more(all)}
}

// printRows prints the rows as a table with aligned columns.
func printRows(out io.Writer, rows []row) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range slices.Concat([]row{columns}, rows) {
		fmt.Fprintln(table, strings.Join(r, "\t"))
	}
	table.Flush()
}

// update writes rows to a file of results. They replace the rows for the same
// case and registry, and rows for cases that no longer exist are removed. The
// cases are in the given order. The last column is the day of the measurement.
func update(file string, rows []row, order []string, day, system string) error {
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all := parse(string(content))
	for _, r := range rows {
		r = append(slices.Clone(r), day)
		if i := slices.IndexFunc(all, func(o row) bool { return o[0] == r[0] && o[1] == r[1] }); i >= 0 {
			all[i] = r
		} else {
			all = append(all, r)
		}
	}
	all = slices.DeleteFunc(all, func(r row) bool { return !slices.Contains(order, r[0]) })
	slices.SortStableFunc(all, func(a, b row) int { return slices.Index(order, a[0]) - slices.Index(order, b[0]) })

	var b strings.Builder
	b.WriteString("# Results\n\nWritten by `go run ./compare -results results.md`; [docs/benchmarks.md](../../docs/benchmarks.md) says what the\n")
	fmt.Fprintf(&b, "rows mean. The last run: %s.\n\n", system)
	for _, r := range slices.Concat([]row{append(slices.Clone(columns), "measured"), slices.Repeat(row{"---"}, len(columns)+1)}, all) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	return os.WriteFile(file, []byte(b.String()), 0o666)
}

// parse returns the rows of a file that update wrote.
func parse(content string) []row {
	var rows []row
	for line := range strings.Lines(content) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != len(columns)+3 {
			continue
		}
		r := make(row, 0, len(columns)+1)
		for _, cell := range cells[1 : len(cells)-1] {
			r = append(r, strings.TrimSpace(cell))
		}
		if r[0] != columns[0] && r[0] != "---" {
			rows = append(rows, r)
		}
	}
	return rows
}

// more returns the throughput and the reported metrics of a case, for the last
// column.
func more(all []testing.BenchmarkResult) string {
	var parts []string
	if b := all[0].Bytes; b > 0 {
		parts = append(parts, fmt.Sprintf("%.0f MB/s", float64(b)/median(all, nanoseconds)*1000))
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

// fastest returns the time of the fastest run, which other processes disturbed
// least.
func fastest(all []testing.BenchmarkResult) float64 {
	least := nanoseconds(all[0])
	for _, r := range all {
		least = min(least, nanoseconds(r))
	}
	return least
}

func nanoseconds(r testing.BenchmarkResult) float64 {
	return float64(r.T.Nanoseconds()) / float64(r.N)
}

func median(all []testing.BenchmarkResult, of func(testing.BenchmarkResult) float64) float64 {
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
