package main

import (
	"go/parser"
	"go/token"
	"testing"
	"time"
)

func TestSources(t *testing.T) {
	for _, s := range subjects {
		if _, err := parser.ParseFile(token.NewFileSet(), s.name, s.source(), parser.AllErrors); err != nil {
			t.Error(err)
		}
	}
}

func TestPackageOf(t *testing.T) {
	for symbol, want := range map[string]string{
		"runtime.mallocgc":                             "runtime",
		"net/http.(*Server).Serve":                     "net/http",
		"github.com/a/b/c.F.func1":                     "github.com/a/b/c",
		"gopkg.in/yaml%2ev3.Unmarshal":                 "gopkg.in/yaml.v3",
		"slices.SortFunc[go.shape.[]github.com/a/b.T]": "slices",
		"type:.eq.github.com/a/b.T":                    "(types and tables)",
		"go:itab.*os.File,io.Reader":                   "(types and tables)",
		"_cgo_init":                                    "(other)",
	} {
		if got := packageOf(symbol); got != want {
			t.Errorf("packageOf(%q) = %q, want %q", symbol, got, want)
		}
	}
}

func TestActions(t *testing.T) {
	r := result{cpu: make(map[string]time.Duration), packages: make(map[string]time.Duration)}
	err := r.add([]byte(`[
		{"Mode": "build", "Package": "a", "CmdUser": 3, "CmdSys": 2},
		{"Mode": "build", "Package": "fmt"},
		{"Mode": "build", "Package": "b", "CmdUser": 1},
		{"Mode": "link", "Package": "a.test", "CmdUser": 7}]`))
	if err != nil {
		t.Fatal(err)
	}
	if r.compile() != 6 || r.cpu["link"] != 7 || len(r.packages) != 2 || r.packages["a"] != 5 {
		t.Errorf("got %+v", r)
	}
}

func TestMedian(t *testing.T) {
	all := []result{{wall: 9}, {wall: 1}, {wall: 4}, {wall: 2}}
	wall := func(r result) time.Duration { return r.wall }
	if got := median(all, wall); got != 3 {
		t.Errorf("median = %d, want 3", got)
	}
	if got := least(all, wall); got != 1 {
		t.Errorf("least = %d, want 1", got)
	}
}
