package cmdline

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
)

// A tool is a command that pushes and pulls images.
type tool struct {
	name string

	// needs are the programs, if they are others than the name.
	needs []string

	// start starts what the tool works with, and returns how it is called.
	start func(t *testing.T) caller
}

// A caller calls a tool. What is nil the tool cannot do.
type caller struct {
	// push pushes v1 of an image layout.
	push func(dir, ref string) error

	// repacks says that what is pushed has other digests: layers are kept
	// unpacked, and packed again.
	repacks bool

	// pull pulls, and returns the digest of what it has got then.
	pull func(ref string) (digest string, err error)

	// pullAll pulls all of an index to a new image layout.
	pullAll func(ref, dir string) error

	tags   func(repo string) (string, error)
	delete func(ref string) error

	// login makes the calls after it be those of a user.
	login func(host, user, password string) error
}

func image() registrytest.Content {
	return registrytest.Image(registrytest.Layers(2), registrytest.LayerSizes(300_000))
}

var steps = []struct {
	name  string
	large bool
	run   func(t *testing.T, c caller) string
}{
	{name: "push", run: func(t *testing.T, c caller) string {
		if c.push == nil {
			return "–"
		}
		s := serve(t, nil)
		require.NoError(t, c.push(imageLayout(t, image()), s.ref("team/app:v1")))
		if c.repacks {
			require.Len(t, s.state(t).Manifest(t, "team/app:v1").Layers, len(image().Layers))
			return "ok, packed anew"
		}
		s.state(t).CheckRepository(t, "team/app", map[string]registrytest.Content{"v1": image()})
		return "ok"
	}},
	{name: "pull by tag", run: func(t *testing.T, c caller) string {
		s := serve(t, map[string]registrytest.Content{"team/app:v1": image()})
		got, err := c.pull(s.ref("team/app:v1"))
		require.NoError(t, err)
		require.Equal(t, image().Digest.String(), got)
		return "ok"
	}},
	{name: "pull by digest", run: func(t *testing.T, c caller) string {
		s := serve(t, map[string]registrytest.Content{"team/app": image(), "team/app:other": registrytest.Image()})
		got, err := c.pull(s.ref("team/app@" + image().Digest.String()))
		require.NoError(t, err)
		require.Equal(t, image().Digest.String(), got)
		return "ok"
	}},
	{name: "multi-platform", run: func(t *testing.T, c caller) string {
		if c.pullAll == nil {
			return "–"
		}
		index := registrytest.Index(registrytest.Platforms("linux/amd64", "linux/arm64"))
		s := serve(t, map[string]registrytest.Content{"team/app:v1": index})
		dir := t.TempDir()
		require.NoError(t, c.pullAll(s.ref("team/app:v1"), dir))
		store, err := layout.Open(dir, layout.Repository("app"))
		require.NoError(t, err)
		defer store.Close()
		for m := range index.Manifests() {
			_, err := store.GetManifest(t.Context(), "app", m.Digest.String())
			require.NoError(t, err)
		}
		return "ok"
	}},
	{name: "tags", run: func(t *testing.T, c caller) string {
		if c.tags == nil {
			return "–"
		}
		s := serve(t, map[string]registrytest.Content{"team/app:one": image(), "team/app:two": image()}, "-page-size", "1")
		got, err := c.tags(s.ref("team/app"))
		require.NoError(t, err)
		require.Contains(t, got, "one")
		require.Contains(t, got, "two")
		return "ok"
	}},
	{name: "delete a tag", run: func(t *testing.T, c caller) string {
		if c.delete == nil {
			return "–"
		}
		s := serve(t, map[string]registrytest.Content{"team/app:one": image(), "team/app:two": image()})
		require.NoError(t, c.delete(s.ref("team/app:one")))
		if len(s.state(t).Tags(t, "team/app")) == 0 {
			return "deletes the manifest, and so all of its tags"
		}
		require.Equal(t, []string{"two"}, s.state(t).Tags(t, "team/app"))
		return "ok"
	}},
	{name: "log in", run: func(t *testing.T, c caller) string {
		if c.login == nil {
			return "–"
		}
		s := serve(t, map[string]registrytest.Content{"team/app:v1": image()}, "-user", "ci:secret")
		require.NoError(t, c.login(s.host, "ci", "secret"))
		got, err := c.pull(s.ref("team/app:v1"))
		require.NoError(t, err)
		require.Equal(t, image().Digest.String(), got)
		return "ok"
	}},
	{name: "a pull is cut once", run: func(t *testing.T, c caller) string {
		layer := image().Layers[2]
		s := serve(t, map[string]registrytest.Content{"team/app:v1": image()},
			"-fault", "get-blob digest="+layer.Digest.String()+" once close-at=150000")
		got, err := c.pull(s.ref("team/app:v1"))
		if err != nil {
			return "failed"
		}
		require.Equal(t, image().Digest.String(), got)
		return "ok"
	}},
	{name: "a push is cut once", run: func(t *testing.T, c caller) string {
		if c.push == nil {
			return "–"
		}
		s := serve(t, nil, "-fault", "patch-upload,put-upload once close-at=150000")
		// Whichever blob comes first, it has a byte that far.
		large := registrytest.Image(registrytest.LayerSizes(300_000), registrytest.Config(registrytest.Random("application/vnd.oci.image.config.v1+json", 300_000, 1)))
		if c.repacks {
			// These have to read the config, and push it last.
			large = registrytest.Image(registrytest.LayerSizes(300_000))
		}
		if err := c.push(imageLayout(t, large), s.ref("team/app:v1")); err != nil {
			require.Empty(t, s.state(t).Tags(t, "team/app"))
			return "failed"
		}
		if c.repacks {
			require.Equal(t, []string{"v1"}, s.state(t).Tags(t, "team/app"))
			return "ok"
		}
		s.state(t).CheckTag(t, "team/app:v1", large)
		return "ok"
	}},
	{name: "200 MiB", large: true, run: func(t *testing.T, c caller) string {
		large := registrytest.Image(registrytest.LayerSizes(200 << 20))
		s := serve(t, map[string]registrytest.Content{"team/app:v1": large})
		got, err := c.pull(s.ref("team/app:v1"))
		require.NoError(t, err)
		require.Equal(t, large.Digest.String(), got)
		if c.push != nil && !c.repacks {
			require.NoError(t, c.push(imageLayout(t, large), s.ref("team/copy:v1")))
			s.state(t).CheckTag(t, "team/copy:v1", large)
		}
		return "ok"
	}},
}

func TestTools(t *testing.T) {
	table := matrix.OpenTable(t, "../../../docs/clients.md", "tools")
	for _, step := range steps {
		table.Declare(step.name)
	}
	for _, tool := range tools {
		for _, step := range steps {
			t.Run(tool.name+"/"+step.name, func(t *testing.T) {
				need(t, append(tool.needs, tool.name)...)
				if step.large && testing.Short() {
					t.Skip("moves 400 MiB")
				}
				table.Check(t, step.name, tool.name, step.run(t, tool.start(t)))
			})
		}
	}
}

// digestOf returns the digest of the only tag in a layout.
func digestOf(t *testing.T, dir string) (string, error) {
	store, err := layout.Open(dir, layout.Repository("app"))
	if err != nil {
		return "", err
	}
	defer store.Close()
	desc, err := store.StatManifest(t.Context(), "app", "v1")
	return desc.Digest.String(), err
}

func fails(_ string, err error) error { return err }

var tools = []tool{
	{name: "skopeo", start: func(t *testing.T) caller {
		creds := []string{"--src-tls-verify=false"}
		pull := func(ref, dir string) error {
			return fails(try(t, "skopeo", append(append([]string{"copy", "--all", "--insecure-policy"}, creds...), "docker://"+ref, "oci:"+dir+":v1")...))
		}
		return caller{
			push: func(dir, ref string) error {
				return fails(try(t, "skopeo", "copy", "--all", "--insecure-policy", "--dest-tls-verify=false", "oci:"+dir+":v1", "docker://"+ref))
			},
			pull: func(ref string) (string, error) {
				dir := t.TempDir()
				if err := pull(ref, dir); err != nil {
					return "", err
				}
				return digestOf(t, dir)
			},
			pullAll: pull,
			tags: func(repo string) (string, error) {
				return try(t, "skopeo", "list-tags", "--tls-verify=false", "docker://"+repo)
			},
			delete: func(ref string) error {
				return fails(try(t, "skopeo", "delete", "--tls-verify=false", "docker://"+ref))
			},
			login: func(_, user, password string) error {
				creds = append(creds, "--src-creds", user+":"+password)
				return nil
			},
		}
	}},
	{name: "crane", start: func(t *testing.T) caller {
		t.Setenv("DOCKER_CONFIG", t.TempDir())
		return caller{
			push: func(dir, ref string) error {
				// What crane pushes of a layout is its one manifest.
				return fails(try(t, "crane", "push", dir, ref))
			},
			pull: func(ref string) (string, error) {
				dir := filepath.Join(t.TempDir(), "layout")
				if err := fails(try(t, "crane", "pull", "--format", "oci", ref, dir)); err != nil {
					return "", err
				}
				out, err := try(t, "crane", "digest", ref)
				return strings.TrimSpace(out), err
			},
			pullAll: func(ref, dir string) error {
				return fails(try(t, "crane", "pull", "--format", "oci", ref, dir))
			},
			tags:   func(repo string) (string, error) { return try(t, "crane", "ls", repo) },
			delete: func(ref string) error { return fails(try(t, "crane", "delete", ref)) },
			login: func(host, user, password string) error {
				return fails(try(t, "crane", "auth", "login", host, "-u", user, "-p", password))
			},
		}
	}},
	{name: "regctl", start: func(t *testing.T) caller {
		t.Setenv("REGCTL_CONFIG", filepath.Join(t.TempDir(), "config.json"))
		plain := func(ref string) error {
			host, _, _ := strings.Cut(ref, "/")
			return fails(try(t, "regctl", "registry", "set", "--tls=disabled", "--skip-check", host))
		}
		copy := func(ref, from, to string) error {
			if err := plain(ref); err != nil {
				return err
			}
			return fails(try(t, "regctl", "image", "copy", from, to))
		}
		pull := func(ref, dir string) error { return copy(ref, ref, "ocidir://"+dir+":v1") }
		return caller{
			push: func(dir, ref string) error { return copy(ref, "ocidir://"+dir+":v1", ref) },
			pull: func(ref string) (string, error) {
				dir := t.TempDir()
				if err := pull(ref, dir); err != nil {
					return "", err
				}
				return digestOf(t, dir)
			},
			pullAll: pull,
			tags: func(repo string) (string, error) {
				if err := plain(repo); err != nil {
					return "", err
				}
				return try(t, "regctl", "tag", "ls", repo)
			},
			delete: func(ref string) error {
				if err := plain(ref); err != nil {
					return err
				}
				return fails(try(t, "regctl", "tag", "delete", ref))
			},
			login: func(host, user, password string) error {
				if err := plain(host); err != nil {
					return err
				}
				return fails(try(t, "regctl", "registry", "login", "--skip-check", host, "-u", user, "-p", password))
			},
		}
	}},
	{name: "podman", start: func(t *testing.T) caller {
		return storage(t, "podman")
	}},
	{name: "buildah", start: func(t *testing.T) caller {
		return storage(t, "buildah")
	}},
	{name: "ctr", needs: []string{"containerd"}, start: startContainerd},
	{name: "docker", needs: []string{"dockerd", "containerd", "runc"}, start: startDocker},
}

// storage is how podman and buildah are called, with a storage of the test's.
func storage(t *testing.T, name string) caller {
	if os.Geteuid() != 0 {
		t.Skip("needs to be root")
	}
	root := shortDir(t)
	auth := []string(nil)
	call := func(args ...string) (string, error) {
		return try(t, name, append([]string{"--storage-driver", "vfs", "--root", filepath.Join(root, "root"), "--runroot", filepath.Join(root, "run")}, args...)...)
	}
	return caller{
		repacks: true,
		push: func(dir, ref string) error {
			// The path is taken for a name, which has no capitals.
			link := filepath.Join(root, "layout")
			if err := os.Symlink(dir, link); err != nil {
				return err
			}
			out, err := call("pull", "-q", "oci:"+link+":v1")
			if err != nil {
				return err
			}
			lines := strings.Fields(out)
			return fails(call("push", "--tls-verify=false", lines[len(lines)-1], "docker://"+ref))
		},
		pull: func(ref string) (string, error) {
			if out, err := call(append(append([]string{"pull", "-q", "--tls-verify=false"}, auth...), ref)...); err != nil {
				return out, err
			}
			format := "{{.Digest}}"
			if name == "buildah" {
				format = "{{.FromImageDigest}}"
			}
			out, err := call("inspect", "--type", "image", "--format", format, ref)
			return strings.TrimSpace(out), err
		},
		login: func(host, user, password string) error {
			auth = []string{"--authfile", filepath.Join(root, "auth.json")}
			return fails(call(append(append([]string{"login", "--tls-verify=false"}, auth...), "-u", user, "-p", password, host)...))
		},
	}
}

// shortDir returns a directory of the test, for those that want no more than 50
// characters, or no capitals in them.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "it")
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("something is left: %v", err)
		}
	})
	return dir
}

// daemon starts a daemon, and waits for its socket.
func daemon(t *testing.T, socket, name string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs to be root")
	}
	cmd := exec.Command(name, args...)
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
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
	t.Skipf("%s did not start within 30 seconds: %s", name, log)
}

func startContainerd(t *testing.T) caller {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	socket := filepath.Join(dir, "c.sock")
	require.NoError(t, os.WriteFile(config, []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o600))
	daemon(t, socket, "containerd", "--config", config, "--root", filepath.Join(dir, "root"), "--state", filepath.Join(dir, "state"), "--address", socket)
	user := []string(nil)
	call := func(args ...string) (string, error) {
		return try(t, "ctr", append([]string{"-a", socket}, args...)...)
	}
	return caller{
		push: func(dir, ref string) error {
			tar := filepath.Join(t.TempDir(), "image.tar")
			if err := fails(try(t, "tar", "-C", dir, "--exclude", ".ocireg", "-cf", tar, ".")); err != nil {
				return err
			}
			if err := fails(call("images", "import", "--snapshotter", "native", "--no-unpack", "--base-name", strings.TrimSuffix(ref, ":v1"), tar)); err != nil {
				return err
			}
			return fails(call("images", "push", "--plain-http", ref))
		},
		pull: func(ref string) (string, error) {
			args := append([]string{"content", "fetch", "--plain-http", "--all-platforms"}, user...)
			if out, err := call(append(args, ref)...); err != nil {
				return out, err
			}
			out, err := call("images", "ls", "name=="+ref)
			for _, word := range strings.Fields(out) {
				if strings.HasPrefix(word, "sha256:") {
					return word, err
				}
			}
			return out, err
		},
		login: func(_, name, password string) error {
			user = []string{"--user", name + ":" + password}
			return nil
		},
	}
}

func startDocker(t *testing.T) caller {
	dir := shortDir(t)
	socket := filepath.Join(dir, "d.sock")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	daemon(t, socket, "dockerd", "-H", "unix://"+socket, "--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none")
	call := func(args ...string) (string, error) {
		return try(t, "docker", append([]string{"-H", "unix://" + socket}, args...)...)
	}
	if out, err := call("version"); err != nil {
		t.Skipf("dockerd does not answer: %s", out)
	}
	return caller{
		pull: func(ref string) (string, error) {
			if out, err := call("pull", "-q", ref); err != nil {
				return out, err
			}
			out, err := call("image", "inspect", "--format", "{{index .RepoDigests 0}}", ref)
			_, digest, _ := strings.Cut(strings.TrimSpace(out), "@")
			return digest, err
		},
		login: func(host, user, password string) error {
			return fails(call("login", "-u", user, "-p", password, host))
		},
	}
}
