package cmdline

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/profile"
)

// startDistribution28 runs Debian's docker-registry with the storage until the end
// of the test, and returns its URL.
func startDistribution28(t *testing.T, storage string) string {
	t.Helper()
	need(t, "docker-registry")
	config := filepath.Join(t.TempDir(), "config.yml")
	require.NoError(t, os.WriteFile(config, []byte("version: 0.1\nlog: {level: info}\nhttp: {addr: '127.0.0.1:0'}\nstorage: {inmemory: {}"+storage+"}\n"), 0o600))
	out, in := io.Pipe()
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stdout, cmd.Stderr = in, in
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in.CloseWithError(cmd.Wait())
	}()
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(address)
		lines, found := bufio.NewScanner(out), false
		for lines.Scan() {
			if m := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`).FindStringSubmatch(lines.Text()); m != nil && !found {
				address <- m[1]
				found = true
			}
		}
		io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		<-read
	})
	host, ok := <-address
	require.True(t, ok, "docker-registry ends without listening")
	return "http://" + host
}

// diff returns the quirks of the profile that the registry does not have, and
// the content that the comparison left there.
func diff(t *testing.T, p *profile.Profile, url string) (differ []profile.Quirk, left []string) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	results, err := p.Diff(t.Context(), profile.Target{URL: url, Prefix: "probe", Transport: transport})
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

// Distribution 2.8 does not differ from its profile, and does from that of version
// 3.
func TestDistribution28(t *testing.T) {
	t.Parallel()
	url := startDistribution28(t, "")
	differ, left := diff(t, profile.Distribution28(), url)
	require.Empty(t, differ)
	require.NotEmpty(t, left, "the default configuration does not delete")
	differ, _ = diff(t, profile.Distribution3(), url)
	require.Equal(t, []profile.Quirk{"distribution-3.bad-n", "distribution-3.tags-1000"}, differ)
}

// Where deletion is enabled, nothing is left, and tags cannot be deleted
// nevertheless.
func TestDistribution28Deletes(t *testing.T) {
	t.Parallel()
	p := profile.Distribution28(profile.Except("distribution.delete-disabled"), profile.With("distribution-2.8.delete-tag-400"))
	differ, left := diff(t, p, startDistribution28(t, ", delete: {enabled: true}"))
	require.Empty(t, differ)
	require.Empty(t, left)
}
