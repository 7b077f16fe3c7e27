package profile

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/conformance"
)

// A registry with a profile of an earlier date violates the requirements that its
// quirks at that date list in their field Breaks, and no others. Requirements that
// do not apply to the registry, and those with slow checks, are left out. So are those
// with manifests of megabytes that no quirk claims; TestConformance has them.
func TestConformanceOverTime(t *testing.T) {
	t.Parallel()
	for _, s := range sites {
		days := make(map[string]bool)
		for _, q := range s.quirks {
			for _, date := range []string{q.From, q.Until} {
				if date != "" {
					first, err := time.Parse(time.DateOnly, firstDay(date))
					require.NoError(t, err)
					days[first.Format(time.DateOnly)] = true
					days[first.AddDate(0, 0, -1).Format(time.DateOnly)] = true
				}
			}
		}
		// A profile is the same on all days between two changes of its quirks.
		// TestConformance checks the present profiles.
		tested := [][]Quirk{s.profile(s.name, nil).Quirks()}
		for _, day := range slices.Sorted(maps.Keys(days)) {
			name := s.name + "@" + day
			p := Get(name, Repositories("probe/**"))
			require.NoError(t, p.Err())
			if slices.ContainsFunc(tested, func(same []Quirk) bool { return slices.Equal(same, p.Quirks()) }) {
				continue
			}
			tested = append(tested, p.Quirks())
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var claimed []string
				for _, q := range p.Quirks() {
					claimed = append(claimed, q.Fact().Breaks...)
				}
				var only []string
				for _, r := range conformance.Requirements() {
					if !large(r) || slices.Contains(claimed, r.Name) {
						only = append(only, r.Name)
					}
				}
				failures := violated(p, p.Without(), only)
				require.Equal(t, slices.Sorted(maps.Keys(applicable(claimed, p.Without()))), slices.Sorted(maps.Keys(failures)))
			})
		}
	}
}
