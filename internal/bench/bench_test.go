package bench

import (
	"flag"
	"testing"
)

// BenchmarkAll runs every case with every registry. To compare registries, use the
// command in the directory compare, which runs them in turn and prints medians.
func BenchmarkAll(b *testing.B) {
	for _, c := range Cases(Full) {
		b.Run(c.Name, func(b *testing.B) { runAll(c, func(name string, run func(*testing.B)) { b.Run(name, run) }) })
	}
}

// runAll calls run with the benchmark of each limit and of each registry of the
// case.
func runAll(c Case, run func(name string, f func(*testing.B))) {
	for _, l := range c.Limits {
		run(l.Name, l.Run)
	}
	for _, r := range c.Registries() {
		run(r.Name, func(b *testing.B) {
			b.ReportAllocs()
			c.Run(b, r)
		})
	}
}

// TestCases runs every case once with every registry, with small amounts of
// content.
func TestCases(t *testing.T) {
	oneIteration(t)
	for _, c := range Cases(Small) {
		runAll(c, func(name string, f func(*testing.B)) {
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				if testing.Benchmark(f).N == 0 {
					t.Error("the benchmark failed")
				}
			})
		})
	}
}

// oneIteration sets -test.benchtime to one iteration, and resets it at the end of
// the test.
func oneIteration(t *testing.T) {
	const name = "test.benchtime"
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, "1x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(name, before) })
}
