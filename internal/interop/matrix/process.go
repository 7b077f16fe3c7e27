package matrix

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// StartDistribution runs Debian's docker-registry, which is Distribution 2.8,
// until the end of the test. It returns the URL of the registry. The argument
// storage is the content of the section storage in its configuration file.
func StartDistribution(t *testing.T, storage string) string {
	t.Helper()
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip("docker-registry is not installed")
	}
	config := filepath.Join(t.TempDir(), "config.yml")
	require.NoError(t, os.WriteFile(config, []byte("version: 0.1\nlog: {level: info}\nhttp: {addr: '127.0.0.1:0'}\nstorage: {"+storage+"}\n"), 0o600))
	return StartServer(t, `listening on 127\.0\.0\.1:(\d+)`, "docker-registry", "serve", config)
}

// StartServer runs a server program until the end of the test, and returns its URL.
// The pattern matches the log line with the server's port. The first group of the
// pattern matches the port.
func StartServer(t *testing.T, pattern, name string, args ...string) string {
	t.Helper()
	out, in := io.Pipe()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = in, in
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in.CloseWithError(cmd.Wait())
	}()
	port := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(port)
		lines, found := bufio.NewScanner(out), false
		for lines.Scan() {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(lines.Text()); m != nil && !found {
				port <- m[1]
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
	p, ok := <-port
	require.True(t, ok, "%s ends without listening", name)
	return "http://127.0.0.1:" + p
}
