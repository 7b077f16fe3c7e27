package cmdline

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"debug/elf"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// checkout is the directory of the main module.
const checkout = "../../.."

// builder compiles the program that builds the image of ocireg, and returns its path.
func builder(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "image")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./internal/image")
	cmd.Dir = checkout
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// buildImage builds the image of ocireg from a checkout into a layout, and
// returns its digest. The variables in env are added to the environment.
func buildImage(t *testing.T, builder, from, dir, platforms string, env ...string) digest.Digest {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), builder, "-o", dir, "-version", "0.1.0", "-platforms", platforms)
	cmd.Dir = from
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	words := strings.Fields(string(out))
	require.Len(t, words, 2, "%s", out)
	require.Equal(t, filepath.Join(dir, "ocireg")+":0.1.0", words[0])
	return digest.Digest(words[1])
}

// A registry of ocireg serves the image of ocireg. A container of it prints its
// version, and serves with TLS, for which it makes a temporary directory.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the command for an image takes half a minute")
	}
	dir := t.TempDir()
	buildImage(t, builder(t), checkout, dir, platform)
	for _, tool := range tools {
		if !slices.Contains([]string{"podman", "buildah", "ctr", "docker"}, tool.name) {
			continue // This tool runs no containers.
		}
		t.Run(tool.name, func(t *testing.T) {
			need(t, append(tool.needs, tool.name, "runc")...)
			c := tool.start(t)
			s := serveDir(t, dir)
			ref := s.ref("ocireg:0.1.0")
			out, err := c.run(ref, "-version")
			if err != nil && count(s.requests(t), 2, "get-blob") == 2 {
				t.Skipf("the image was pulled, but containers do not run here: %s", out)
			}
			require.NoError(t, err)
			require.Regexp(t, `(?m)^ocireg v0\.1\.0 go\S+ `+platform+`$`, out)
			if c.serve != nil {
				serveInContainer(t, c.serve(ref, "--env", "OCIREG_ADDR=127.0.0.1:0", "--env", "OCIREG_TLS=true"))
			}
		})
	}
}

// serveInContainer runs a container that serves HTTPS, sends a request to it, and
// ends it.
func serveInContainer(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	first, _ := lines.ReadString('\n')
	second, _ := lines.ReadString('\n')
	url, _, _ := strings.Cut(first, " ")
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url + "/v2/")
	if err == nil {
		resp.Body.Close()
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	io.Copy(io.Discard, lines)
	require.NoError(t, cmd.Wait(), "%s", stderr.String())
	require.NoError(t, err, "%s%s", first, stderr.String())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, strings.HasPrefix(url, "https://127.0.0.1:"), first)
	require.True(t, strings.HasPrefix(second, "trust /tmp/"), second)
}

// Two checkouts make the same image, whatever the directory, the caches and the
// environment, and the command in it needs no other file.
//
// With an empty cache the second build compiles the standard library for both
// platforms, which takes minutes. In short mode, it builds for one platform, shares
// the cache and compiles only the package of the command again; the image is linked
// and packed again.
func TestImageIsReproducible(t *testing.T) {
	platforms := "linux/amd64,linux/arm64"
	other := filepath.Join(t.TempDir(), "copied", "elsewhere")
	copyCheckout(t, other)
	env := []string{"GOFLAGS=-buildvcs=false -tags=netgo", "GOAMD64=v3", "TMPDIR=" + t.TempDir(), "TZ=Asia/Tokyo", "LANG=C"}
	if testing.Short() {
		platforms = "linux/amd64"
		compileAgain(t, filepath.Join(other, "cmd", "ocireg"))
	} else {
		env = append(env, "GOCACHE="+t.TempDir())
	}
	dir, image := t.TempDir(), builder(t)
	want := buildImage(t, image, checkout, dir, platforms)
	got := buildImage(t, image, other, t.TempDir(), platforms, env...)
	require.Equal(t, want, got)

	store, err := layout.Open(dir, layout.ReadOnly())
	require.NoError(t, err)
	defer store.Close()
	state := content.State{Store: store}
	for _, child := range state.Get(t, "ocireg:0.1.0").Children {
		image := state.Get(t, "ocireg@"+child.Digest.String())
		program := fileOf(t, state.GetBlob(t, "ocireg", image.Layers[0].Digest), "ocireg")
		file, err := elf.NewFile(bytes.NewReader(program))
		require.NoError(t, err)
		for _, p := range file.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type, "the program is linked dynamically")
		}
	}
}

// copyCheckout copies the files of a checkout, except those of Git.
func copyCheckout(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir(checkout, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".git" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(checkout, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
	require.NoError(t, err)
}

// compileAgain adds a comment to each Go file in a directory. The compiler's
// cache then has no entry for the package, although its code is the same.
func compileAgain(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, append(text, "// The end.\n"...), 0o600))
	}
}
