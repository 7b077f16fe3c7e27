package explore

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/exploring.md lists exactly the faults, violations and outcomes of this package.
func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/exploring.md")
	require.NoError(t, err)
	table := func(heading string) (names []string) {
		_, rest, ok := strings.Cut(string(text), "\n### "+heading+"\n")
		require.True(t, ok, heading)
		section, _, _ := strings.Cut(rest, "\n### ")
		for line := range strings.Lines(section) {
			if first, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| `") {
				for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
					names = append(names, m[1])
				}
				_, more, _ := strings.Cut(first, " and so on, for ")
				for _, status := range regexp.MustCompile(`\d+`).FindAllString(more, -1) {
					names = append(names, status+" once", status+" twice", status+forGood)
				}
			}
		}
		return names
	}
	require.ElementsMatch(t, kinds, table("Violations"))
	want := []string{cancelling}
	for _, tr := range troubles() {
		want = append(want, tr.name)
	}
	require.ElementsMatch(t, want, table("Faults"))
	require.Equal(t, []string{string(Unaffected), string(Retried), string(Resumed), string(Failed), string(Violated), string(NotFired), string(NoEffect)}, table("Outcomes"))
}
