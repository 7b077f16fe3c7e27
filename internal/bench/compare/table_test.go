package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func results(times ...time.Duration) []testing.BenchmarkResult {
	var all []testing.BenchmarkResult
	for _, t := range times {
		all = append(all, testing.BenchmarkResult{N: 1, T: t, Bytes: 1000})
	}
	return all
}

func TestRows(t *testing.T) {
	stub := results(2000, 1000, 3000)
	for _, test := range []struct {
		got  row
		want string
	}{
		{limitRow("c", "sha256", results(900)), "c|sha256|900 ns|900 ns||||1111 MB/s"},
		{registryRow("c", "memstore", results(4000, 8000), stub, 2), "c|memstore|6.00 us|4.00 us|3.00x|4.00x|0|167 MB/s"},
		{registryRow("c", "memstore", results(4e6), nil, 1), "c|memstore|4.00 ms|4.00 ms|-|-|0|0 MB/s"},
		{registryRow("c", "memstore", results(4000), stub, 3), "c|memstore|failed 2 of 3|||||"},
	} {
		if got := strings.Join(test.got, "|"); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	if !registryRow("c", "r", nil, stub, 1).failed() || registryRow("c", "r", stub, stub, 3).failed() {
		t.Error("a row does not tell whether a run failed")
	}
}

func TestUpdate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.md")
	order := []string{"push", "pull"}
	cells := func(name, registry, median string) row {
		return row{name, registry, median, "", "", "", "", ""}
	}
	for _, run := range []struct {
		day  string
		rows []row
	}{
		{"2026-01-01", []row{cells("pull", "a", "1 s"), cells("gone", "a", "1 s"), cells("pull", "b", "2 s")}},
		{"2026-01-02", []row{cells("push", "a", "3 s"), cells("pull", "b", "4 s")}},
	} {
		if err := update(file, run.rows, order, run.day, "go1"); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range parse(string(content)) {
		got = append(got, strings.Join([]string{r[0], r[1], r[2], r[8]}, " "))
	}
	want := "push a 3 s 2026-01-02, pull a 1 s 2026-01-01, pull b 4 s 2026-01-02"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}
