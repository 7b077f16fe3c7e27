package cmdline

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/profile"
)

// startZot runs zot, with zotUser as its only user, until the end of the test. It
// returns the URL of zot.
func startZot(t *testing.T) string {
	t.Helper()
	need(t, "zot")
	dir := t.TempDir()
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config.json")
	require.NoError(t, os.WriteFile(users, []byte("user:$2a$05$qsyhsvhzG/ZeZPHs5vEA2eGMk/fJycOJbmn602/gBN7v7zhn.D8Va\n"), 0o600))
	text, err := json.Marshal(map[string]any{
		"storage": map[string]any{"rootDirectory": filepath.Join(dir, "root"), "gc": false},
		"http":    map[string]any{"address": "127.0.0.1", "port": "0", "auth": map[string]any{"htpasswd": map[string]any{"path": users}}},
		"log":     map[string]any{"level": "info"},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, text, 0o600))
	return matrix.StartServer(t, `kernel chosen port","port":(\d+)`, "zot", "serve", config)
}

// zotUser is the user of the registry that startZot starts.
var zotUser = auth.Credentials{Username: "user", Password: "secret"}

// diff compares a registry with a profile. It returns the quirks of the profile that
// the registry does not have, and the content that the comparison left in the registry.
func diff(t *testing.T, p *profile.Profile, url string, user auth.Credentials) (differ []profile.Quirk, left []string) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	results, err := p.Diff(t.Context(), profile.Target{URL: url, Prefix: "probe", Credentials: user, Transport: transport})
	require.NoError(t, err)
	for r := range results {
		require.NoError(t, r.Err, r.Quirk)
		if !r.Holds() {
			t.Logf("%s: want %s, got %s", r.Quirk, r.Want, r.Got)
			differ = append(differ, r.Quirk)
		}
		left = append(left, r.Left...)
	}
	return differ, left
}

var anonymous auth.Credentials

// Distribution 2.8 behaves like its profile, and differs from the profile
// of Distribution 3.
func TestDistribution28(t *testing.T) {
	t.Parallel()
	url := matrix.StartDistribution(t, "inmemory: {}")
	differ, left := diff(t, profile.Distribution28(), url, anonymous)
	require.Empty(t, differ)
	require.NotEmpty(t, left, "the default configuration does not permit deletion")
	differ, _ = diff(t, profile.Distribution3(), url, anonymous)
	require.Equal(t, []profile.Quirk{"distribution-3.bad-n", "distribution-3.upload-state", "distribution-3.tags-1000"}, differ)
}

// With deletion enabled in Distribution 2.8, the comparison with its profile
// leaves no content behind. Tags still cannot be deleted.
func TestDistribution28Deletes(t *testing.T) {
	t.Parallel()
	p := profile.Distribution28(profile.Except("distribution.delete-disabled"), profile.With("distribution-2.8.delete-tag-400", "distribution-2.8.null-tags"))
	differ, left := diff(t, p, matrix.StartDistribution(t, "inmemory: {}, delete: {enabled: true}"), anonymous)
	require.Empty(t, differ)
	require.Empty(t, left)
}

// Zot behaves like its profile, and the comparison leaves no content behind.
func TestZot(t *testing.T) {
	t.Parallel()
	url := startZot(t)
	differ, left := diff(t, profile.Zot(), url, zotUser)
	require.Empty(t, differ)
	require.Empty(t, left)
	differ, _ = diff(t, profile.Distribution3(), url, zotUser)
	require.Contains(t, differ, profile.Quirk("distribution.absolute-locations"))
}
