package explore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// updateVariable is the environment variable that makes Golden write the files,
// as in package journal.
const updateVariable = "REGISTRYTEST_UPDATE"

// maxGolden is the largest number of differences from the golden file that an error lists.
const maxGolden = 20

// compareGolden returns an error unless the outcomes equal those in the golden
// file, which may have more if the matrix is a sample. It writes the file instead
// if updateVariable is set.
func (m *Matrix) compareGolden(file string) error {
	got := m.Markdown()
	if os.Getenv(updateVariable) != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return fmt.Errorf("golden file: %w", err)
		}
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			return fmt.Errorf("golden file: %w", err)
		}
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("golden file: %w; set %s=1 to write it", err, updateVariable)
	}
	want := outcomes(string(text))
	have := outcomes(got)
	var list []string
	for _, key := range have.keys {
		switch w, ok := want.cells[key]; {
		case !ok:
			list = append(list, fmt.Sprintf("%s: %s, which the file does not have", key, have.cells[key]))
		case w != have.cells[key]:
			list = append(list, fmt.Sprintf("%s: %s, not %s", key, have.cells[key], w))
		}
	}
	var gone []string // the faults of the file that no run has
	for _, key := range want.keys {
		if _, ok := have.cells[key]; ok {
			continue
		}
		switch {
		case slices.Contains(have.faults, key.fault) && !slices.Contains(m.Requests, key.request):
			list = append(list, fmt.Sprintf("%s: there is no such request", key))
		case m.sampled: // A run that the options left out proves nothing.
		case slices.Contains(have.faults, key.fault):
			list = append(list, fmt.Sprintf("%s: no run, but the file has %s", key, want.cells[key]))
		case !slices.Contains(gone, key.fault):
			gone = append(gone, key.fault)
			list = append(list, fmt.Sprintf("%s: no run has this fault, which the file has", key.fault))
		}
	}
	if len(list) == 0 {
		return nil
	}
	if n := len(list) - maxGolden; n > 0 {
		list = append(list[:maxGolden], fmt.Sprintf("and %d more", n))
	}
	return fmt.Errorf("the outcomes differ from those in %s; to accept them, set %s=1:\n\t%s", file, updateVariable, strings.Join(list, "\n\t"))
}

// A place names a cell of the matrix by its row and its column.
type place struct{ fault, request string }

func (p place) String() string {
	if p.request == "" {
		return p.fault
	}
	return p.fault + " at " + p.request
}

// A table holds the outcomes of a matrix, read from its Markdown.
type table struct {
	keys   []place
	cells  map[place]string
	faults []string
}

// outcomes parses the text of [Matrix.Markdown]. It ignores lines of any other form.
func outcomes(text string) table {
	t := table{cells: make(map[place]string)}
	var requests []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if _, quoted, ok := strings.Cut(line, ". `"); ok && !strings.HasPrefix(line, "|") {
			requests = append(requests, strings.TrimSuffix(quoted, "`"))
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.TrimSpace(cells[0]) == "fault" {
			continue
		}
		fault := strings.TrimSpace(cells[0])
		t.faults = append(t.faults, fault)
		for i, cell := range cells[1:] {
			cell = strings.TrimSpace(cell)
			if cell == "" || i >= len(requests) {
				continue
			}
			key := place{fault, requests[i]}
			t.keys = append(t.keys, key)
			t.cells[key] = cell
		}
	}
	return t
}
