// Package explore lets package explore loose on real clients: on old versions
// with bugs that are known, which it has to find without being told where, and on
// the newest versions, for docs/clients.md.
package explore

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
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

// A bug is one that happened, with the versions before and after its fix.
type bug struct {
	text     string // a sentence about the old version
	client   string // a directory in testdata
	test     string // in its client_test.go
	old, new string
	source   string

	kind, fault string // of the violation that shows it; any fault if it is ""
	must        string // the promise that it breaks, or ""
	short       bool   // whether it is in the sample of -short
}

var bugs = []bug{
	{
		text: "takes a whole blob for a part of it", client: "containerd", test: "TestParallel", old: "v2.1.4", new: "v2.1.5",
		source: "https://github.com/containerd/containerd/pull/12291", kind: "wrong content", fault: "no ranges",
	},
	{
		text: "shows its credentials to the host of an upload", client: "oras", test: "TestPush", old: "v2.6.0", new: "v2.6.4",
		source: "CVE-2026-50151", kind: "credentials shown", fault: "upload at another host", short: true,
	},
	{
		text: "leaves bodies of responses open", client: "ggcr", test: "TestPull", old: "v0.14.0", new: "v0.22.1",
		source: "https://github.com/google/go-containerregistry", kind: "body left open",
	},
	{
		text: "leaves bodies of responses open", client: "ggcr", test: "TestPull", old: "v0.19.2", new: "v0.22.1",
		source: "https://github.com/google/go-containerregistry", kind: "body left open",
	},
	{
		text: "does not wait when there are too many requests", client: "ggcr", test: "TestPull", old: "v0.21.5", new: "v0.21.6",
		source: "https://github.com/google/go-containerregistry/issues/2111", kind: "promise", must: "429 once",
	},
	{
		text: "sends chunks for ever after a 416", client: "regclient", test: "TestPush", old: "v0.7.0", new: "v0.11.7",
		source: "https://github.com/regclient/regclient", kind: "request storm", fault: "503 once",
	},
}

func (b bug) String() string { return b.client + " " + b.old + ", " + b.text }

// EveryFault finds bugs that happened, in the old version and not in the one with
// the fix.
func TestRediscover(t *testing.T) {
	for _, b := range bugs {
		t.Run(b.String(), func(t *testing.T) {
			if testing.Short() && !b.short {
				t.Skip("not in the sample")
			}
			old, fixed := b.explore(t, b.old), b.explore(t, b.new)
			require.NotEmpty(t, b.in(old), "%s", old)
			require.Empty(t, b.in(fixed), "%s", fixed)
			t.Logf("%d runs in %v: %v", old.Runs, old.Time.Round(time.Millisecond), b.in(old)[0])
		})
	}
}

// in returns the violations that are the bug.
func (b bug) in(m *explore.Matrix) (found []explore.Violation) {
	return slices.DeleteFunc(slices.Clone(m.Violations), func(v explore.Violation) bool {
		return v.Kind != b.kind || v.Fault != cmp.Or(b.fault, b.must, v.Fault)
	})
}

// explore returns the matrix of a version of the client.
func (b bug) explore(t *testing.T, version string) *explore.Matrix {
	t.Helper()
	binary := build(t, b.client, version)
	out := filepath.Join(t.TempDir(), "matrix.json")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^"+b.test+"$", "-test.v")
	cmd.Env = append(os.Environ(), "EXPLORE_OUT="+out, "EXPLORE_MUST="+b.must)
	output, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	require.NoError(t, err, "%s %s:\n%s", b.client, version, strings.Join(lines[max(len(lines)-30, 0):], "\n"))
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	m := new(explore.Matrix)
	require.NoError(t, json.Unmarshal(text, m))
	return m
}
