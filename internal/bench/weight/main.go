// Weight measures the cost that a registry adds to a test before the test runs:
// the CPU time to compile packages outside of the standard library, and the size
// of the test binary. The test starts one server and pings it.
//
//	go run ./weight
//	go run ./weight -checkout ../../../older -packages 20
//
// Each round compiles every subject with a build cache that holds only the
// standard library. The table gives medians. CPU time grows when other processes
// share the cores: on a busy machine, read the ratio to ggcr.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	checkout := flag.String("checkout", "", "measure the registry in this `directory`; by default, in this repository")
	rounds := flag.Int("rounds", 5, "compile each subject this many `times`")
	packages := flag.Int("packages", 0, "print the `number` of packages that cost most, for each subject")
	flag.Parse()
	if err := run(os.Stdout, *checkout, *rounds, *packages); err != nil {
		fmt.Fprintln(os.Stderr, "weight:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, checkout string, rounds, packages int) error {
	w, err := newWorkspace(checkout)
	if err != nil {
		return err
	}
	defer w.remove()
	if err := w.prime(); err != nil {
		return err
	}
	results := make([][]result, len(subjects))
	for range rounds {
		for i, s := range subjects {
			r, err := w.measure(s)
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
		}
	}
	printSummary(out, results)
	if packages > 0 {
		for i := range subjects[1:] {
			if err := printPackages(out, w, i+1, results[i+1], packages); err != nil {
				return err
			}
		}
	}
	return nil
}

// printSummary prints a table with a row for each subject.
func printSummary(out io.Writer, results [][]result) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "subject\tcompile (CPU)\tleast\tof ggcr\tvet (CPU)\tlink (CPU)\twall\tpackages\tbinary\tabove httptest")
	base, peer := results[0][0].size, median(results[1], result.compile)
	for i, all := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1fx\t%s\t%s\t%s\t%d\t%s\t%s\n", subjects[i].name,
			seconds(median(all, result.compile)), seconds(least(all, result.compile)),
			median(all, result.compile).Seconds()/peer.Seconds(),
			seconds(median(all, func(r result) time.Duration { return r.cpu["vet"] })),
			seconds(median(all, func(r result) time.Duration { return r.cpu["link"] })),
			seconds(median(all, func(r result) time.Duration { return r.wall })),
			len(all[0].packages), megabytes(all[0].size), megabytes(all[0].size-base))
	}
	table.Flush()
}

// printPackages prints the packages of a subject that take longest to compile,
// and those that add most to its binary compared with the binary of subject
// httptest.
func printPackages(out io.Writer, w *workspace, subject int, all []result, number int) error {
	var names []string
	for name := range all[0].packages {
		names = append(names, name)
	}
	cpu := func(name string) time.Duration {
		return median(all, func(r result) time.Duration { return r.packages[name] })
	}
	slices.SortFunc(names, func(a, b string) int { return int(cpu(b) - cpu(a)) })
	fmt.Fprintf(out, "\n%s: CPU time to compile each package\n", subjects[subject].name)
	for _, name := range names[:min(number, len(names))] {
		fmt.Fprintf(out, "%8s  %s\n", seconds(cpu(name)), name)
	}

	sizes, err := w.symbols(subjects[subject])
	if err != nil {
		return err
	}
	base, err := w.symbols(subjects[0])
	if err != nil {
		return err
	}
	names = names[:0]
	for name := range sizes {
		sizes[name] -= base[name]
		if sizes[name] > 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(sizes[b] - sizes[a]) })
	fmt.Fprintf(out, "\n%s: symbols beyond httptest's, by package (code and data, without line tables and debugging information)\n", subjects[subject].name)
	for _, name := range names[:min(number, len(names))] {
		fmt.Fprintf(out, "%8.1f KB  %s\n", float64(sizes[name])/1e3, name)
	}
	return nil
}

func median(all []result, of func(result) time.Duration) time.Duration {
	values := make([]time.Duration, len(all))
	for i, r := range all {
		values[i] = of(r)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// least returns the smallest value of all runs: that of the run that other processes
// disturbed least.
func least(all []result, of func(result) time.Duration) time.Duration {
	value := of(all[0])
	for _, r := range all {
		value = min(value, of(r))
	}
	return value
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
