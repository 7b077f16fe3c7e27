package explore

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/explore"
)

// A trapped is a client that stepped into a trap of package explore, with its
// versions before and after the fix.
type trapped struct {
	client, test string
	old, new     string
	trap, source string

	outcome explore.TrapOutcome // the outcome with the old version
	short   bool                // set if go test -short tries this client
}

var trappedClients = []trapped{
	{client: "hostile-oras", test: "TestPush", old: "v2.6.0", new: "v2.6.4", trap: "Location of an upload at another host",
		source: "CVE-2026-50151", outcome: explore.Caught, short: true},
	{client: "hostile-oras", test: "TestPull", old: "v2.6.0", new: "v2.6.4", trap: "redirect of manifests to another port",
		source: "GHSA-vh4v-2xq2-g5cg", outcome: explore.Caught},
	{client: "hostile-oras", test: "TestPull", old: "v2.6.0", new: "v2.6.4", trap: "redirect from HTTPS to HTTP",
		source: "GHSA-vh4v-2xq2-g5cg", outcome: explore.Caught},
	{client: "hostile-oras", test: "TestTags", old: "v2.6.0", new: "v2.6.4", trap: "Bearer realm at a link-local address",
		source: "CVE-2026-48978", outcome: explore.Caught},
	{client: "hostile-ggcr", test: "TestTags", old: "v0.21.3", new: "v0.21.6", trap: "Bearer realm at a link-local address",
		source: "https://github.com/google/go-containerregistry/issues/2193", outcome: explore.Caught},
	{client: "hostile-ggcr", test: "TestTags", old: "v0.21.5", new: "v0.21.6", trap: "Bearer realm at a link-local address",
		source: "https://github.com/google/go-containerregistry/issues/2302", outcome: explore.TwinFails},
}

// Hostile finds the trap of each client in its old version, and does not find it
// in the version with the fix.
func TestHostile(t *testing.T) {
	reports, binaries := make(map[string]*explore.TrapReport), make(map[string]string)
	dir := t // build keeps binaries in the directory of this test, because several subtests run them
	for _, c := range trappedClients {
		t.Run(fmt.Sprintf("%s %s %s", c.client, c.old, c.trap), func(t *testing.T) {
			if testing.Short() && !c.short {
				t.Skip("not in the sample")
			}
			meet := func(version string) *explore.TrapReport {
				key := c.client + version + c.test
				if binaries[c.client+version] == "" {
					binaries[c.client+version] = build(dir, c.client, version)
				}
				if reports[key] == nil {
					reports[key] = meetHostile(t, binaries[c.client+version], c.test)
				}
				return reports[key]
			}
			old, fixed := meet(c.old), meet(c.new)
			require.Contains(t, old.With(c.outcome), c.trap, "%s", old.Markdown())
			require.Contains(t, fixed.With(explore.Withstood), c.trap, "%s", fixed.Markdown())
			t.Logf("%s: %d runs in %v", c.source, old.Runs, old.Time.Round(time.Millisecond))
		})
	}
}

// meetHostile runs a test of the binary, which calls explore.Hostile, and
// returns the report.
func meetHostile(t *testing.T, binary, test string) *explore.TrapReport {
	t.Helper()
	out := filepath.Join(t.TempDir(), "traps.json")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "EXPLORE_OUT="+out)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	z := new(explore.TrapReport)
	require.NoError(t, json.Unmarshal(text, z))
	return z
}
