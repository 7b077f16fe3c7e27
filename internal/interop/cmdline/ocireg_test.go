// Package cmdline drives command-line tools against the command ocireg. A tool
// that is not installed is skipped; install.sh installs those that it can.
package cmdline

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// ocireg is the path of the command. home is a directory without any
// configuration, for the tools.
var ocireg, home string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cmdline")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		ocireg, home = filepath.Join(dir, "ocireg"), dir
		build := exec.Command("go", "build", "-o", ocireg, "./cmd/ocireg")
		build.Dir = filepath.Join("..", "..", "..")
		// The test also runs this program in containers that have no shared libraries.
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building ocireg:", err)
			return 1
		}
		return m.Run()
	}())
}

// A server is a running ocireg, with a directory of layouts.
type server struct {
	host string
	dir  string

	// banner is the text that the server printed at its start.
	banner string

	// log is the file with a line of JSON for each request.
	log  string
	stop func()
}

// serve starts ocireg on new layouts with the content of seed. The server runs
// until the end of the test.
func serve(t *testing.T, seed map[string]content.Content, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	store, err := layout.Open(dir)
	require.NoError(t, err)
	defer store.Close()
	for ref, c := range seed {
		require.NoError(t, content.Put(t.Context(), store, ref, c))
	}
	return serveDir(t, dir, args...)
}

// serveDir starts ocireg with the layouts in the directory, or in memory if dir is "".
func serveDir(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	require.NoError(t, err)
	defer log.Close()
	args = append([]string{"-addr", "127.0.0.1:0", "-log", "json"}, args...)
	if dir != "" {
		args = append(args, dir)
	}
	cmd := exec.Command(ocireg, args...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s := &server{dir: dir, log: log.Name(), stop: sync.OnceFunc(func() {
		assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		assert.NoError(t, cmd.Wait())
	})}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			text, _ := os.ReadFile(s.log)
			t.Logf("ocireg says:\n%s", text)
		}
	})
	reader := bufio.NewReader(out)
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	rest, err := reader.Peek(reader.Buffered()) // The command prints the banner in a single write.
	require.NoError(t, err)
	s.banner = line + string(rest)
	url, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	_, s.host, _ = strings.Cut(url, "://")
	return s
}

func (s *server) ref(name string) string { return s.host + "/" + name }

// state returns the content of the server, read from its directory.
func (s *server) state(t *testing.T) content.State {
	t.Helper()
	store, err := layout.Open(s.dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return content.State{Store: store}
}

// A request is a line of ocireg's request log.
type request struct {
	Op         string
	Path       string
	Repository string
	Reference  string
	Status     int
	In, Out    int64
	Errors     []string

	// Fault is the text of the rule that hit the request, or "".
	Fault string
}

// requests ends the server and returns the requests that it logged.
func (s *server) requests(t *testing.T) (rs []request) {
	t.Helper()
	// ocireg logs a request after its response, so the log is complete after ocireg
	// exits.
	s.stop()
	text, err := os.ReadFile(s.log)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var r struct {
			Msg string
			request
		}
		require.NoError(t, json.Unmarshal([]byte(line), &r), "%s", line)
		if r.Msg == "request" {
			rs = append(rs, r.request)
		}
	}
	return rs
}

// count returns the number of requests for the operations with a status whose first
// digit is the parameter hundred.
func count(rs []request, hundred int, ops ...string) (n int) {
	for _, r := range rs {
		for _, op := range ops {
			if r.Op == op && r.Status/100 == hundred {
				n++
			}
		}
	}
	return n
}
