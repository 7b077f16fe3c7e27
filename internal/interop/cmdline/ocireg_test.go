// Package cmdline drives command-line tools against the command ocireg. A tool
// that is not installed is skipped; install.sh installs what can be installed.
package cmdline

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
)

// ocireg is the path of the command.
var ocireg string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cmdline")
	if err == nil {
		ocireg = filepath.Join(dir, "ocireg")
		build := exec.Command("go", "build", "-o", ocireg, "./cmd/ocireg")
		build.Dir = filepath.Join("..", "..", "..")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building ocireg:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A server is a running ocireg, with a directory of layouts.
type server struct {
	host string
	dir  string
}

// serve starts ocireg with content in it until the end of the test.
func serve(t *testing.T, content map[string]registrytest.Content, args ...string) server {
	t.Helper()
	s := server{dir: t.TempDir()}
	store := s.open(t)
	for ref, c := range content {
		require.NoError(t, registrytest.Put(t.Context(), store, ref, c))
	}
	cmd := exec.Command(ocireg, append(append([]string{"-addr", "127.0.0.1:0"}, args...), s.dir)...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	log := &strings.Builder{}
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("ocireg says:\n%s", log)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	s.host = strings.TrimPrefix(url, "http://")
	return s
}

func (s server) ref(name string) string { return s.host + "/" + name }

// open opens the store that the server serves.
func (s server) open(t *testing.T) *layout.Store {
	t.Helper()
	store, err := layout.Open(s.dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// state is what the server holds.
func (s server) state(t *testing.T) registrytest.State {
	t.Helper()
	return registrytest.State{Store: s.open(t)}
}

// imageLayout writes the content to a layout of its own, as v1.
func imageLayout(t *testing.T, c registrytest.Content) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o600))
	store, err := layout.Open(dir, layout.Repository("app"))
	require.NoError(t, err)
	defer store.Close()
	require.NoError(t, registrytest.Put(t.Context(), store, "app:v1", c))
	return dir
}

// need skips the test if a tool is not installed.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// try runs a tool, and returns what it says.
func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+home(t), "TMPDIR="+home(t))
	out, err := cmd.CombinedOutput()
	t.Logf("%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out), err
}

// run runs a tool that has to succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	require.NoError(t, err, "%s", out)
	return out
}

// home is a directory of the test, in which tools find no configuration.
func home(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "cmdline-home")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	return dir
}
