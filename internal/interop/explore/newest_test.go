package explore

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

const docs = "../../../docs/clients.md"

// TestNewest explores the newest clients, for the tables of outcomes and findings
// in docs/clients.md. With -short it explores one.
func TestNewest(t *testing.T) {
	table := matrix.OpenTable(t, docs, "explored")
	list := &findings{}
	if os.Getenv("REGISTRYTEST_UPDATE") != "" {
		t.Cleanup(func() { list.write(t) })
	}
	rows := []string{"requests", "runs"}
	names := slices.Sorted(maps.Keys(operations))
	matrices := make(map[string]*explore.Matrix)
	for _, name := range names {
		if testing.Short() && name != "go-containerregistry pull" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			opts := []explore.Option{explore.ReportOnly(), explore.Announce(os.Stderr), explore.Budget(1<<30, 0)}
			if !testing.Verbose() {
				opts = append(opts[:1], opts[2:]...)
			}
			var setup func(*explore.T, *registrytest.Server)
			if strings.HasSuffix(name, "pull") {
				setup = func(t *explore.T, reg *registrytest.Server) { reg.Push(t, "team/app:v1", image()) }
			}
			m := explore.EveryFault(t, setup, operations[name], opts...)
			matrices[name] = m
			for _, fault := range m.Faults {
				if !slices.Contains(rows, fault) {
					rows = append(rows, fault)
				}
			}
			list.check(t, name, m.Violations)
		})
	}
	for _, row := range rows {
		table.Declare(row)
		for _, name := range names {
			if m := matrices[name]; m != nil {
				table.Check(t, row, name, summary(m, row))
			}
		}
	}
}

// summary returns the outcomes of a fault at all requests.
func summary(m *explore.Matrix, fault string) string {
	switch fault {
	case "requests":
		return fmt.Sprint(len(m.Requests))
	case "runs":
		return fmt.Sprint(len(m.Cells) + 1)
	}
	counts := make(map[explore.Outcome]int)
	for _, c := range m.Cells {
		if c.Fault == fault {
			counts[c.Outcome]++
		}
	}
	var words []string
	for _, o := range []explore.Outcome{explore.Unaffected, explore.Retried, explore.Resumed, explore.Failed, explore.NotFired, explore.NoEffect, explore.Violated} {
		if n := counts[o]; n > 0 && len(counts) == 1 {
			words = append(words, string(o))
		} else if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, o))
		}
	}
	if len(words) == 0 {
		return "–"
	}
	return strings.Join(words, ", ")
}

// findings are the violations, in the list of docs/clients.md.
type findings struct {
	mu    sync.Mutex
	lines []string
}

const findingsMark = "<!-- explored findings -->\n\n"

// split returns the text around the list, and its lines.
func (*findings) split(t *testing.T) (before string, lines []string, after string) {
	text, err := os.ReadFile(docs)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), findingsMark)
	require.True(t, ok, "%s has no %q", docs, findingsMark)
	list, after, _ := strings.Cut(rest, "\n\n")
	return before + findingsMark, strings.Split(strings.TrimSpace(list), "\n"), "\n\n" + after
}

// check compares the findings about an operation with those in the list.
func (f *findings) check(t *testing.T, operation string, violations []explore.Violation) {
	type key struct{ kind, words, faults string }
	ops := make(map[key][]string)
	for _, v := range violations {
		_, words, _ := strings.Cut(v.Rule, " ")
		faults := v.Faults[0]
		if n := len(v.Faults) - 1; n > 0 {
			faults += fmt.Sprintf("; %d more", n)
		}
		k := key{v.Kind, words, faults}
		for _, request := range v.Requests {
			op, _, _ := strings.Cut(request, " ")
			ops[k] = append(ops[k], op)
		}
	}
	var seen []string
	for k, ops := range ops {
		slices.Sort(ops)
		seen = append(seen, fmt.Sprintf("| %s | %s | `%s %s` | %s |", operation, k.kind, strings.Join(slices.Compact(ops), ","), k.words, k.faults))
	}
	slices.Sort(seen)
	f.mu.Lock()
	f.lines = append(f.lines, seen...)
	f.mu.Unlock()
	if os.Getenv("REGISTRYTEST_UPDATE") != "" {
		return
	}
	_, lines, _ := f.split(t)
	listed := slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "| "+operation+" |") })
	require.ElementsMatch(t, listed, seen, "%s does not say what was seen; set REGISTRYTEST_UPDATE=1", docs)
}

func (f *findings) write(t *testing.T) {
	before, lines, after := f.split(t)
	text := strings.Join(append(lines[:2:2], f.lines...), "\n")
	require.NoError(t, os.WriteFile(docs, []byte(before+text+after), 0o666))
}
