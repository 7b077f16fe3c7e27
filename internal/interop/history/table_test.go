package history

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const document = "../../../docs/history.md"

// docs/history.md has the table of all pairs. TestPairs tests the pairs themselves.
func TestTable(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	rows.WriteString("| Client | Broken → fixed | Bug | Profile | Quirk | The old version says |\n|---|---|---|---|---|---|\n")
	for _, p := range pairs {
		client := modules[p.program]
		fmt.Fprintf(&rows, "| %s | %s → %s | [%s](%s) | %s | %s | `%s` |\n",
			client, short(p.old), short(p.new), p.bug, p.source, cmp.Or(p.profile, "–"), p.quirk, p.shows)
	}

	content, err := os.ReadFile(document)
	require.NoError(t, err)
	before, after, ok := strings.Cut(string(content), "<!-- pairs -->\n")
	_, after, ok2 := strings.Cut(after, "<!-- end -->\n")
	require.True(t, ok && ok2, "%s lacks the comments around the table", document)
	want := before + "<!-- pairs -->\n\n" + rows.String() + "\n<!-- end -->\n" + after
	if *update {
		require.NoError(t, os.WriteFile(document, []byte(want), 0o666))
		return
	}
	require.Equal(t, want, string(content), "run: go test -C internal/interop ./history -run TestTable -update")
}

// No two pairs have the same name, and each file in testdata belongs to a pair.
func TestFiles(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, p := range pairs {
		require.NotContains(t, used, p.name(), "two pairs have this name")
		used[p.name()] = true
		for _, file := range []string{"main.go", p.old + ".mod", p.old + ".sum", p.new + ".mod", p.new + ".sum"} {
			file = p.program + "/" + file
			used[file] = true
			if !*update {
				require.FileExists(t, "testdata/"+file)
			}
		}
	}
	programs, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, program := range programs {
		files, err := os.ReadDir("testdata/" + program.Name())
		require.NoError(t, err)
		for _, file := range files {
			require.Contains(t, used, program.Name()+"/"+file.Name(), "no pair needs this file")
		}
	}
}

// short returns the date and the abbreviated commit of a pseudo-version. It returns
// other versions unchanged.
func short(version string) string {
	if parts := strings.Split(version, "-"); len(parts) == 3 && len(parts[2]) == 12 {
		return parts[1][:8] + " " + parts[2][:7]
	}
	return version
}
