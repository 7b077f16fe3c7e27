package cmdline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

// A tool is a command-line tool that pushes, pulls or builds images.
type tool struct {
	name string

	// needs lists other programs that the tool requires.
	needs []string

	// version is the argument that makes the tool print its version.
	version string

	// start starts the daemons of the tool, if it has any, and returns a
	// caller of the tool.
	start func(t *testing.T) caller
}

var tools = []tool{
	{name: "skopeo", version: "--version", start: startSkopeo},
	{name: "crane", version: "version", start: startCrane},
	{name: "regctl", version: "version", start: startRegctl},
	{name: "podman", version: "--version", start: func(t *testing.T) caller { return startStorage(t, "podman") }},
	{name: "buildah", version: "--version", start: func(t *testing.T) caller { return startStorage(t, "buildah") }},
	{name: "ctr", needs: []string{"containerd"}, version: "--version", start: startContainerd},
	{name: "docker", needs: []string{"dockerd", "containerd", "runc"}, version: "--version", start: startDocker},
	{name: "ko", version: "version", start: startKo},
	{name: "cosign", version: "version", start: startCosign},
}

// A caller calls one tool. A field is nil if the tool has no such command.
type caller struct {
	// build builds an image on the base image and pushes it. It returns the name
	// of a file in the highest layer.
	build func(base, ref string) (file string, err error)

	// buildIndex builds images for platforms of the base, and pushes an index of them.
	buildIndex func(base, ref string, platforms ...string) error

	// push pushes the image v1 of the layout in dir. pushIndex pushes the index
	// v1 of the layout with all its images.
	push, pushIndex func(dir, ref string) error

	// repacks is set if pushed images may have other digests, because the tool
	// unpacks layers and packs them again.
	repacks bool

	// byDigest is set if the reference of a push may have a digest instead of a tag.
	byDigest bool

	// pull pulls the reference and returns the digest that the tool reports.
	pull func(ref string) (digest string, err error)

	// pullIndex pulls an index and all its images to a new layout.
	pullIndex func(ref, dir string) error

	// pullPlatform pulls the image for a platform from an index.
	pullPlatform func(ref, os, arch string) error

	// run runs an image of ocireg in a container with the arguments, and
	// returns its output.
	run func(ref string, args ...string) (string, error)

	// serve returns the command that runs a pulled image of ocireg in a container
	// with the options. The container is in the network of the host.
	serve func(ref string, options ...string) *exec.Cmd

	// api serves Docker's API until the end of the test, and returns its URL.
	api func() string

	// copy copies an image within a registry. copySigned also copies its
	// signatures and other attachments.
	copy, copySigned func(from, to string) error

	// mirror configures the tool, as the server's banner says, to pull from the
	// server in place of the registry that it mirrors.
	mirror func(s *server) error

	tags func(repo string) (string, error)

	// deleteTag, deleteManifest and deleteBlob delete the tag, manifest or blob
	// that the reference names.
	deleteTag, deleteManifest, deleteBlob func(ref string) error

	// sign signs an image with the key in the directory, and returns the output of
	// the tool. verify verifies the signature.
	sign   func(dir, ref string) (string, error)
	verify func(dir, ref string) error

	// login makes later calls use the credentials of a user.
	login func(host, user, password string) error

	// trust makes later calls use HTTPS and trust the certificate ca.crt in the
	// directory.
	trust func(host, dir string) error
}

// need skips the test if one of the tools is not installed.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this test needs root")
	}
}

// try runs a program and returns its output.
func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, _, err := tryIn(t, "", name, args...)
	return out, err
}

// tryIn runs a program in a directory. It returns all of its output, and its
// standard output alone.
func tryIn(t *testing.T, dir, name string, args ...string) (all, stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	all = out.String() + errs.String()
	t.Logf("%s %s\n%s", name, strings.Join(args, " "), all)
	return all, out.String(), err
}

// run runs a program and fails the test if the program fails. It returns the output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	require.NoError(t, err, "%s", out)
	return out
}

func fails(_ string, err error) error { return err }

// imageLayout writes the content to a new layout, with the tag v1.
func imageLayout(t *testing.T, c content.Content) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, writeLayout(t.Context(), dir, c))

	// Some tools push every entry of a layout. So the index of the layout keeps
	// only the entry with a name, and not the children of an index.
	file := filepath.Join(dir, "index.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var index ocispec.Index
	require.NoError(t, json.Unmarshal(text, &index))
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] == "" })
	text, err = json.Marshal(index)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return dir
}

// writeLayout writes the content to a layout, and creates the layout if it does
// not exist.
func writeLayout(ctx context.Context, dir string, c content.Content) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"schemaVersion":2,"manifests":[]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	store, err := layout.Open(dir, layout.Repository("app"))
	if err != nil {
		return err
	}
	return errors.Join(content.Put(ctx, store, "app:v1", c), store.Close())
}

// digestOf calls pull with a new layout and returns the digest of the manifest in it.
func digestOf(t *testing.T, pull func(ref, dir string) error, ref string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := pull(ref, dir); err != nil {
		return "", err
	}
	store, err := layout.Open(dir, layout.Repository("app"))
	if err != nil {
		return "", err
	}
	defer store.Close()
	desc, err := store.StatManifest(t.Context(), "app", "v1")
	return desc.Digest.String(), err
}

// shortDir returns a temporary directory for programs that need a path without
// capitals or of at most 50 characters. The test fails if, at its end, a process
// has the directory in its arguments.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "it")
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, pid := range processes(dir) {
			t.Errorf("the tool left process %d running", pid)
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Kill()
			}
		}
		for _, mount := range mounts(dir) {
			if err := exec.Command("umount", "-l", mount).Run(); err != nil {
				t.Errorf("the tool left the mount %s: %v", mount, err)
			}
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	return dir
}

// processes returns the IDs of processes that have the directory in their arguments.
func processes(dir string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && pid != os.Getpid() && bytes.Contains(text, []byte(dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mounts returns the mount points below the directory, the newest first.
func mounts(dir string) (points []string) {
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			points = append([]string{fields[1]}, points...)
		}
	}
	return points
}

// daemon starts a daemon, waits until its socket exists, and ends the
// daemon with the test.
func daemon(t *testing.T, socket, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	log := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 10 * time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", name, log)
		}
	})
	for range 300 {
		if _, err := os.Stat(socket); err == nil {
			return
		}
		select {
		case <-ended:
			t.Skipf("%s does not run here: %s", name, log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%s did not start within 30 seconds", name)
}
