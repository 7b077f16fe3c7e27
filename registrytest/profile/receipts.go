package profile

import (
	"slices"
	"strings"

	"github.com/ocireg/registry/registrytest/journal"
)

// receipt returns the note for the record of a request whose response the quirk
// affected.
func (q *quirk) receipt() string { return "quirk=" + string(q.Name) + " (" + q.Source + ")" }

// QuirksIn returns the quirks that affected responses to the requests, without
// duplicates, in the order of the first response that each affected.
func QuirksIn(r journal.Requests) []Quirk {
	var all []Quirk
	for _, record := range r.Records() {
		for _, note := range record.Notes {
			name, ok := strings.CutPrefix(note, "quirk=")
			if !ok {
				continue
			}
			name, _, _ = strings.Cut(name, " ")
			if !slices.Contains(all, Quirk(name)) {
				all = append(all, Quirk(name))
			}
		}
	}
	return all
}

// logReceipts logs which of the quirks affected a response.
func logReceipts(t journal.TB, name string, quirks []Quirk, r journal.Requests) {
	t.Helper()
	if _, ok := t.(interface{ ReportAllocs() }); ok {
		return // The log of a benchmark always appears.
	}
	var met, unmet []string
	seen := QuirksIn(r)
	for _, q := range quirks {
		if slices.Contains(seen, q) {
			met = append(met, string(q))
		} else {
			unmet = append(unmet, string(q))
		}
	}
	t.Logf("profile: of the quirks of %s, these shaped a response: %s; these did not: %s", name, list(met), list(unmet))
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
