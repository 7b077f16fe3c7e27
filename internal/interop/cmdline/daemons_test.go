package cmdline

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A daemon starts with the first call, so that unused daemons cost nothing.

func startContainerd(t *testing.T) caller {
	needRoot(t)
	dir := shortDir(t)
	config := filepath.Join(dir, "config.toml")
	socket := filepath.Join(dir, "c.sock")
	require.NoError(t, os.WriteFile(config, []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o600))
	started := false
	user, tls := []string(nil), []string{"--plain-http"}
	call := func(args ...string) (string, error) {
		if !started {
			started = true
			daemon(t, socket, "containerd", "--config", config, "--root", filepath.Join(dir, "root"), "--state", filepath.Join(dir, "state"), "--address", socket)
		}
		return try(t, "ctr", append([]string{"-a", socket}, args...)...)
	}
	// with runs a command. It puts the options for TLS and the user before the
	// arguments of the command.
	with := func(command, args []string) (string, error) {
		return call(slices.Concat(command, tls, user, args)...)
	}
	// local imports tag v1 of a layout and returns the name of the image.
	local := func(dir string) (string, error) {
		archive := filepath.Join(t.TempDir(), "image.tar")
		if err := fails(try(t, "tar", "-C", dir, "--exclude", ".ocireg", "-cf", archive, ".")); err != nil {
			return "", err
		}
		return "example.com/app:v1", fails(call("images", "import", "--all-platforms", "--no-unpack", "--base-name", "example.com/app", archive))
	}
	push := func(dir, ref string) error {
		name, err := local(dir)
		if err != nil {
			return err
		}
		return fails(with([]string{"images", "push"}, []string{ref, name}))
	}
	return caller{
		push:      push,
		pushIndex: push,
		byDigest:  true,
		pull: func(ref string) (string, error) {
			if out, err := with([]string{"content", "fetch", "--all-platforms"}, []string{ref}); err != nil {
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
		pullIndex: func(ref, dir string) error {
			if err := fails(with([]string{"content", "fetch", "--all-platforms"}, []string{ref})); err != nil {
				return err
			}
			archive := filepath.Join(t.TempDir(), "image.tar")
			if err := fails(call("images", "export", "--all-platforms", archive, ref)); err != nil {
				return err
			}
			return fails(try(t, "tar", "-C", dir, "-xf", archive))
		},
		pullPlatform: func(ref, platform, arch string) error {
			return fails(with([]string{"content", "fetch", "--platform", platform + "/" + arch}, []string{ref}))
		},
		run: func(ref string, args ...string) (string, error) {
			if out, err := with([]string{"images", "pull", "--snapshotter", "native"}, []string{ref}); err != nil {
				return out, err
			}
			return call(append([]string{"run", "--rm", "--snapshotter", "native", ref, "app"}, args...)...)
		},
		copy: func(from, to string) error {
			if err := fails(with([]string{"content", "fetch"}, []string{from})); err != nil {
				return err
			}
			return fails(with([]string{"images", "push"}, []string{to, from}))
		},
		login: func(_, name, password string) error {
			user = []string{"--user", name + ":" + password}
			return nil
		},
		mirror: func(s *server) error {
			tls = []string{"--hosts-dir", s.snippet(t, "containerd, /etc/containerd/certs.d/"+mirrored+"/hosts.toml", mirrored+"/hosts.toml")}
			return nil
		},
		trust: func(host, certs string) error {
			// Even with --tlscacert, ctr speaks plain HTTP with loopback
			// addresses. A hosts directory changes that.
			hosts := t.TempDir()
			tls = []string{"--hosts-dir", hosts}
			if err := os.Mkdir(filepath.Join(hosts, host), 0o700); err != nil {
				return err
			}
			text := fmt.Sprintf("[host.\"https://%s\"]\nca = %q\n", host, filepath.Join(certs, "ca.crt"))
			return os.WriteFile(filepath.Join(hosts, host, "hosts.toml"), []byte(text), 0o600)
		},
	}
}

func startDocker(t *testing.T) caller {
	needRoot(t)
	dir := shortDir(t)
	socket := filepath.Join(dir, "d.sock")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	// In newer releases, BuildKit is a separate program, which may not be installed.
	t.Setenv("DOCKER_BUILDKIT", "0")
	started := false
	daemonArgs := []string{"-H", "unix://" + socket, "--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"}
	call := func(args ...string) (string, error) {
		if !started {
			started = true
			daemon(t, socket, "dockerd", daemonArgs...)
		}
		return try(t, "docker", append([]string{"-H", "unix://" + socket}, args...)...)
	}
	all := func(calls ...[]string) error {
		for _, args := range calls {
			if err := fails(call(args...)); err != nil {
				return err
			}
		}
		return nil
	}
	// index makes an image for each platform, pushes them, and then pushes an
	// index of them.
	index := func(ref string, platforms []string, create func(platform, ref string) error) error {
		args := []string{"manifest", "create", "--insecure", ref}
		for _, platform := range platforms {
			one := ref + "-" + path.Base(platform)
			if err := create(platform, one); err != nil {
				return err
			}
			if err := all([]string{"push", one}); err != nil {
				return err
			}
			args = append(args, one)
		}
		return all(args, []string{"manifest", "push", "--insecure", ref})
	}
	return caller{
		repacks: true,
		build: func(base, ref string) (string, error) {
			dir, err := buildContext(t, base)
			if err != nil {
				return "", err
			}
			return "motd", all([]string{"build", "--network", "none", "-t", ref, dir}, []string{"push", ref})
		},
		buildIndex: func(base, ref string, platforms ...string) error {
			dir, err := buildContext(t, base)
			if err != nil {
				return err
			}
			return index(ref, platforms, func(platform, one string) error {
				return all([]string{"build", "--network", "none", "--pull", "--platform", platform, "-t", one, dir})
			})
		},
		// Docker loads no layouts, so it pulls the image from another registry first.
		push: func(dir, ref string) error {
			from := serveDir(t, dir, "-repository", "app").ref("app:v1")
			return all([]string{"pull", "-q", from}, []string{"tag", from, ref}, []string{"push", ref})
		},
		pushIndex: func(dir, ref string) error {
			from := serveDir(t, dir, "-repository", "app").ref("app:v1")
			return index(ref, []string{platform, "linux/s390x"}, func(platform, one string) error {
				return all([]string{"pull", "-q", "--platform", platform, from}, []string{"tag", from, one})
			})
		},
		pull: func(ref string) (string, error) {
			if out, err := call("pull", "-q", ref); err != nil {
				return out, err
			}
			out, err := call("image", "inspect", "--format", "{{index .RepoDigests 0}}", ref)
			_, digest, _ := strings.Cut(strings.TrimSpace(out), "@")
			return digest, err
		},
		pullPlatform: func(ref, platform, arch string) error {
			return all([]string{"pull", "-q", "--platform", platform + "/" + arch, ref})
		},
		run: func(ref string, args ...string) (string, error) {
			return call(append([]string{"run", "--rm", "--network", "none", ref}, args...)...)
		},
		copy: func(from, to string) error {
			return all([]string{"pull", "-q", from}, []string{"tag", from, to}, []string{"push", to})
		},
		mirror: func(s *server) error {
			dir := s.snippet(t, "Docker, daemon.json, for pulls", "daemon.json")
			daemonArgs = append(daemonArgs, "--config-file", filepath.Join(dir, "daemon.json"))
			return nil
		},
		login: func(host, user, password string) error {
			return all([]string{"login", "-u", user, "-p", password, host})
		},
		// Docker reads certificates from a system-wide directory, and needs none for
		// a registry on loopback.
		trust: func(string, string) error { return nil },
	}
}
