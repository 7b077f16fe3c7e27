package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/check.md lists the undisturbed run and exactly the scenarios of this package. Its
// example of a file that describes a client is valid.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "check.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(text), "| scenario | the registry | requirement |\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n\n")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			listed = append(listed, name[1])
		}
	}
	want := []string{"requests"} // the undisturbed run
	for _, s := range scenarios {
		want = append(want, s.name)
	}
	require.ElementsMatch(t, want, listed)

	_, file, ok := strings.Cut(string(text), "```\n# The words of a command")
	require.True(t, ok)
	file, _, _ = strings.Cut(file, "```\n")
	_, err = Parse("# The words of a command" + file)
	require.NoError(t, err)
}
