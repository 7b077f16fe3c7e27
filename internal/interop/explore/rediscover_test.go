// Package explore runs registrytest/explore on real clients: on old versions
// with known bugs, which it must find without a hint, and on the newest
// versions, for docs/clients.md.
package explore

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/explore"
)

var update = flag.Bool("update", false, "pin the versions of clients, and write the tables in docs")

// A bug is a known bug of a client, with the versions before and after its fix.
type bug struct {
	text     string // completes the sentence "The old version …"
	client   string // the directory of the client's tests in testdata
	test     string // the name of the test in client_test.go
	old, new string // versions of the client; new is "" if no release has a fix
	source   string // the URL of the report, or "" if package explore found the bug

	// kind and fault are those of the violation. If fault is "", the fault is that in
	// must or, without must, any fault.
	kind, fault string

	// must is the fault of the promise of MustSucceed that the bug breaks, or "".
	// After a semicolon it has other faults, with which the old version succeeds.
	must  string
	short bool // set if go test -short tries this bug
}

var bugs = []bug{
	{
		text: "takes a whole blob for a part of it", client: "containerd", test: "TestParallel", old: "v2.1.4", new: "v2.1.5",
		source: "https://github.com/containerd/containerd/pull/12291", kind: "wrong content", fault: "no ranges",
	},
	{
		text: "shows its credentials to the host of an upload", client: "oras", test: "TestPush", old: "v2.6.0", new: "v2.6.4",
		source: "https://nvd.nist.gov/vuln/detail/CVE-2026-50151", kind: "credentials shown", fault: "upload at another host", short: true,
	},
	{
		text: "leaves bodies of responses open", client: "ggcr", test: "TestPull", old: "v0.14.0", new: "v0.22.1",
		kind: "body left open",
	},
	{
		text: "leaves bodies of responses open", client: "ggcr", test: "TestPull", old: "v0.19.2", new: "v0.22.1",
		kind: "body left open",
	},
	{
		text: "does not wait when there are too many requests", client: "ggcr", test: "TestPull", old: "v0.21.5", new: "v0.21.6",
		source: "https://github.com/google/go-containerregistry/issues/2111", kind: "promise", must: "429 once",
	},
	{
		text: "sends chunks for ever after a 416", client: "regclient", test: "TestPush", old: "v0.7.0", new: "v0.11.7",
		kind: "request storm", fault: "503 once",
	},
	{
		text: "does not turn to the registry when its mirror sends no body", client: "containerd", test: "TestMirror", old: "v2.4.2",
		source: "https://github.com/containerd/containerd/issues/9552", kind: "promise", must: "closed at the first byte for good;503 for good;closed for good",
	},
}

func (b bug) String() string { return b.client + " " + b.old + ", " + b.text }

// EveryFault finds each of the known bugs in the old version, and does not find
// it in the version with the fix.
func TestRediscover(t *testing.T) {
	if !*update {
		checkRows(t)
	}
	var rows []string
	for _, b := range bugs {
		t.Run(b.String(), func(t *testing.T) {
			if testing.Short() && !b.short {
				t.Skip("not in the sample")
			}
			old := b.explore(t, b.old)
			require.NotEmpty(t, b.in(old), "%s", old)
			if b.new != "" {
				fixed := b.explore(t, b.new)
				require.Empty(t, b.in(fixed), "%s", fixed)
			}
			_, kept, _ := strings.Cut(b.must, ";")
			for _, v := range old.Violations {
				for _, fault := range strings.Split(kept, ";") {
					require.NotContains(t, v.Faults, fault, "%s", old)
				}
			}
			t.Logf("%d runs in %v: %v", old.Runs, old.Time.Round(time.Millisecond), b.in(old)[0])
			begin := b.row(b.in(old)[0])
			if *update {
				rows = append(rows, fmt.Sprintf("%s %d | %v |", begin, old.Runs, old.Time.Round(time.Millisecond)))
				return
			}
			text, err := os.ReadFile(exploring)
			require.NoError(t, err)
			require.Contains(t, string(text), begin, "%s is out of date; run this test with -update", exploring)
		})
	}
	if *update && len(rows) == len(bugs) {
		writeRows(t, rows)
	}
}

const (
	exploring = "../../../docs/exploring.md"
	mark      = "<!-- rediscovered -->\n\n"
)

// row returns the first cells of the bug's row in docs/exploring.md, without the
// runs and the time that finding it took.
func (b bug) row(v explore.Violation) string { return fmt.Sprintf("%s `%s` |", b.begin(), v.Rule) }

// begin returns the cells before that of the rule.
func (b bug) begin() string {
	text := b.text
	if b.source != "" {
		text = fmt.Sprintf("[%s](%s)", b.text, b.source)
	}
	return fmt.Sprintf("| %s %s → %s | %s | %s |", modules[b.client], b.old, cmp.Or(b.new, "no release"), text, b.kind)
}

// checkRows checks that the table has a row for each bug, and no others.
func checkRows(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(exploring)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), mark)
	require.True(t, ok)
	table, _, _ := strings.Cut(rest, "\n\n")
	rows := strings.Split(table, "\n")[2:]
	require.Len(t, rows, len(bugs), "%s does not have one row for each bug", exploring)
	for i, b := range bugs {
		require.True(t, strings.HasPrefix(rows[i], b.begin()), "%s has %q instead of the row of %s", exploring, rows[i], b)
	}
}

// writeRows replaces the rows of the table in docs/exploring.md.
func writeRows(t *testing.T, rows []string) {
	text, err := os.ReadFile(exploring)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), mark)
	require.True(t, ok)
	table, after, _ := strings.Cut(rest, "\n\n")
	head := strings.Join(strings.Split(table, "\n")[:2], "\n")
	require.NoError(t, os.WriteFile(exploring, []byte(before+mark+head+"\n"+strings.Join(rows, "\n")+"\n\n"+after), 0o666))
}

// in returns the violations in the matrix that the bug explains.
func (b bug) in(m *explore.Matrix) (found []explore.Violation) {
	must, _, _ := strings.Cut(b.must, ";")
	return slices.DeleteFunc(slices.Clone(m.Violations), func(v explore.Violation) bool {
		return v.Kind != b.kind || !slices.Contains(v.Faults, cmp.Or(b.fault, must, v.Fault))
	})
}

// explore runs EveryFault on a version of the client and returns the matrix.
func (b bug) explore(t *testing.T, version string) *explore.Matrix {
	t.Helper()
	return exploreBinary(t, build(t, b.client, version), b.test, b.must)
}

// exploreBinary runs a test of the binary, which calls explore.EveryFault, and
// returns the matrix.
func exploreBinary(t *testing.T, binary, test, must string) *explore.Matrix {
	t.Helper()
	out := filepath.Join(t.TempDir(), "matrix.json")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), "EXPLORE_OUT="+out, "EXPLORE_MUST="+must)
	output, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	require.NoError(t, err, "%s:\n%s", test, strings.Join(lines[max(len(lines)-30, 0):], "\n"))
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	m := new(explore.Matrix)
	require.NoError(t, json.Unmarshal(text, m))
	return m
}
