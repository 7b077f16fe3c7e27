package profile

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A profile of an earlier date violates the requirements that its quirks of that
// date claim, and no others.
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
		for day := range days {
			name := s.name + "@" + day
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := Get(name, Repositories("probe/**"))
				require.NoError(t, p.Err())
				var claimed []string
				for _, q := range p.Quirks() {
					claimed = append(claimed, q.Fact().Breaks...)
				}
				failures := violated(p, p.Without(), nil)
				require.Equal(t, slices.Sorted(maps.Keys(applicable(claimed, p.Without()))), slices.Sorted(maps.Keys(failures)))
			})
		}
	}
}
