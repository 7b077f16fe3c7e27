package cmdline

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Skopeo, podman and buildah are of one family, and share their options.

// authFile gives the tools of this family an auth file of the test's own.
func authFile(t *testing.T) {
	t.Helper()
	// The file must exist, even without any users.
	file := filepath.Join(t.TempDir(), "auth.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	t.Setenv("REGISTRY_AUTH_FILE", file)
}

// signBy returns the options of skopeo or podman for signing with the key in the
// directory.
func signBy(t *testing.T, dir string) []string {
	t.Helper()
	// The key is from cosign. Skopeo and podman know the same format by an older name.
	key, err := os.ReadFile(filepath.Join(dir, "cosign.key"))
	require.NoError(t, err)
	key = bytes.ReplaceAll(key, []byte("SIGSTORE PRIVATE KEY"), []byte("COSIGN PRIVATE KEY"))
	old, password := filepath.Join(dir, "old.key"), filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(old, key, 0o600))
	require.NoError(t, os.WriteFile(password, []byte("secret"), 0o600))
	return []string{"--sign-by-sigstore-private-key", old, "--sign-passphrase-file", password}
}

func startSkopeo(t *testing.T) caller {
	authFile(t)
	certs, mirror := "", ""
	// to returns the options for TLS. The parameter end is "src-" or "dest-" for
	// one end of a copy, and empty for the other commands.
	to := func(end string) []string {
		if certs != "" {
			return []string{"--" + end + "cert-dir", certs}
		}
		if mirror != "" {
			return nil
		}
		return []string{"--" + end + "tls-verify=false"}
	}
	call := func(command string, args ...string) error {
		global := []string{"--insecure-policy"}
		if mirror != "" {
			global = append(global, "--registries-conf", mirror)
		}
		return fails(try(t, "skopeo", slices.Concat(global, []string{command}, args)...))
	}
	push := func(dir, ref string) error {
		return call("copy", append(to("dest-"), "--all", "oci:"+dir+":v1", "docker://"+ref)...)
	}
	pull := func(ref, dir string) error {
		return call("copy", append(to("src-"), "--all", "docker://"+ref, "oci:"+dir+":v1")...)
	}
	remove := func(ref string) error { return call("delete", append(to(""), "docker://"+ref)...) }
	// signatures returns the option with a configuration that stores signatures
	// in the registry, which is not the default.
	signatures := func() []string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "default.yaml"), []byte("default-docker:\n  use-sigstore-attachments: true\n"), 0o600))
		return []string{"--registries.d", dir, "--src-tls-verify=false", "--dest-tls-verify=false"}
	}
	return caller{
		push:      push,
		pushIndex: push,
		byDigest:  true,
		pull:      func(ref string) (string, error) { return digestOf(t, pull, ref) },
		pullIndex: pull,
		pullPlatform: func(ref, os, arch string) error {
			return fails(try(t, "skopeo", "--override-os", os, "--override-arch", arch, "--insecure-policy",
				"copy", "--src-tls-verify=false", "docker://"+ref, "oci:"+t.TempDir()+":v1"))
		},
		copy: func(from, to string) error {
			return call("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+from, "docker://"+to)
		},
		copySigned: func(from, to string) error {
			return call("copy", append(signatures(), "docker://"+from, "docker://"+to)...)
		},
		sign: func(dir, ref string) (string, error) {
			return try(t, "skopeo", slices.Concat([]string{"--insecure-policy", "copy"}, signatures(), signBy(t, dir),
				[]string{"docker://" + ref, "docker://" + ref})...)
		},
		verify: func(dir, ref string) error { return verify(t, dir, ref, "--new-bundle-format=false") },
		tags: func(repo string) (string, error) {
			return try(t, "skopeo", append(append([]string{"list-tags"}, to("")...), "docker://"+repo)...)
		},
		deleteTag:      remove,
		deleteManifest: remove,
		login: func(host, user, password string) error {
			return call("login", append(to(""), "-u", user, "-p", password, host)...)
		},
		mirror: func(s *server) error {
			mirror = filepath.Join(s.snippet(t, "Podman, registries.conf", "registries.conf"), "registries.conf")
			return nil
		},
		trust: func(_, dir string) error {
			certs = dir
			return nil
		},
	}
}

// startStorage returns a caller of podman or buildah with a storage in the
// directory of the test.
func startStorage(t *testing.T, name string) caller {
	needRoot(t)
	authFile(t)
	root := shortDir(t)
	global := []string{"--storage-driver", "vfs", "--root", filepath.Join(root, "root"), "--runroot", filepath.Join(root, "run")}
	if name == "podman" {
		// By default, podman shares its locks in /dev/shm and its networks in
		// /etc with the whole machine. Unless limits are set, podman raises its
		// own limits, which root may not do in every container.
		config := filepath.Join(t.TempDir(), "containers.conf")
		text := fmt.Sprintf("[engine]\nlock_type = \"file\"\n[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[network]\nnetwork_config_dir = %q\n", filepath.Join(root, "networks"))
		require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
		t.Setenv("CONTAINERS_CONF", config)
		global = append(global, "--tmpdir", filepath.Join(root, "tmp"), "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
	}
	call := func(args ...string) (string, error) {
		all, out, err := tryIn(t, "", name, slices.Concat(global, args)...)
		if err != nil {
			return all, err
		}
		return strings.TrimSpace(out), nil
	}
	tls := []string{"--tls-verify=false"}
	// with runs a command. It puts the options for TLS before the arguments of the
	// command.
	with := func(command []string, args ...string) (string, error) {
		return call(slices.Concat(command, tls, args)...)
	}
	// local returns a name of tag v1 in the layout for podman and buildah.
	local := func(dir string) (string, error) {
		// Podman makes an image name of the path, and such a name has no
		// capitals. The path of this link has none.
		link := filepath.Join(root, "layout")
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "oci:" + link + ":v1", os.Symlink(dir, link)
	}
	build := func(base, ref string, args ...string) error {
		dir, err := buildContext(t, base)
		if err != nil {
			return err
		}
		return fails(with([]string{"build"}, append(args, "--layers=false", "-f", filepath.Join(dir, "Containerfile"), dir)...))
	}
	c := caller{
		repacks: true,
		build: func(base, ref string) (string, error) {
			if err := build(base, ref, "-t", ref); err != nil {
				return "", err
			}
			return "motd", fails(with([]string{"push"}, ref, "docker://"+ref))
		},
		buildIndex: func(base, ref string, platforms ...string) error {
			if err := build(base, ref, "--platform", strings.Join(platforms, ","), "--manifest", "built"); err != nil {
				return err
			}
			return fails(with([]string{"manifest", "push", "--all"}, "built", "docker://"+ref))
		},
		push: func(dir, ref string) error {
			from, err := local(dir)
			if err != nil {
				return err
			}
			id, err := call("pull", "-q", from)
			if err != nil {
				return err
			}
			return fails(with([]string{"push"}, id, "docker://"+ref))
		},
		pushIndex: func(dir, ref string) error {
			from, err := local(dir)
			if err != nil {
				return err
			}
			for _, args := range [][]string{{"create", "list"}, {"add", "--all", "list", from}} {
				if out, err := call(append([]string{"manifest"}, args...)...); err != nil {
					t.Log(out)
					return err
				}
			}
			return fails(with([]string{"manifest", "push", "--all"}, "list", "docker://"+ref))
		},
		pull: func(ref string) (string, error) {
			if out, err := with([]string{"pull", "-q"}, ref); err != nil {
				return out, err
			}
			format := "{{.Digest}}"
			if name == "buildah" {
				format = "{{.FromImageDigest}}"
			}
			return call("inspect", "--type", "image", "--format", format, ref)
		},
		pullPlatform: func(ref, os, arch string) error {
			return fails(with([]string{"pull", "-q"}, "--os", os, "--arch", arch, ref))
		},
		copy: func(from, to string) error {
			if err := fails(with([]string{"pull", "-q"}, from)); err != nil {
				return err
			}
			return fails(with([]string{"push"}, from, "docker://"+to))
		},
		login: func(host, user, password string) error {
			return fails(with([]string{"login"}, "-u", user, "-p", password, host))
		},
		mirror: func(s *server) error {
			tls = nil
			t.Setenv("CONTAINERS_REGISTRIES_CONF", filepath.Join(s.snippet(t, "Podman, registries.conf", "registries.conf"), "registries.conf"))
			return nil
		},
		trust: func(_, dir string) error {
			tls = []string{"--cert-dir", dir}
			return nil
		},
	}
	if name == "podman" {
		c.tags = func(repo string) (string, error) { return with([]string{"search", "--list-tags"}, repo) }
		c.sign = func(dir, ref string) (string, error) {
			if out, err := with([]string{"pull", "-q"}, ref); err != nil {
				return out, err
			}
			// The push compresses the layers again and changes the digest, so the
			// test signs the tag.
			repo, _, _ := strings.Cut(ref, "@")
			return with([]string{"push"}, append(signBy(t, dir), ref, "docker://"+repo+":v1")...)
		}
		c.verify = func(dir, ref string) error { return verify(t, dir, ref, "--new-bundle-format=false") }
		c.run = func(ref string, args ...string) (string, error) {
			return with([]string{"run", "--rm", "--network", "none"}, append([]string{ref}, args...)...)
		}
		c.serve = func(ref string, args ...string) *exec.Cmd {
			cmd := exec.Command(name, slices.Concat(global, []string{"run", "--rm", "--network", "host", "--pull", "never"}, args, []string{ref})...)
			cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
			return cmd
		}
		c.api = func() string {
			socket := filepath.Join(root, "api.sock")
			daemon(t, socket, name, append(global, "system", "service", "--time", "0", "unix://"+socket)...)
			return "unix://" + socket
		}
	} else {
		c.run = func(ref string, args ...string) (string, error) {
			id, err := with([]string{"from"}, ref)
			if err != nil {
				return id, err
			}
			defer call("rm", id)
			return call(append([]string{"run", "--runtime", "runc", "--network", "none", id, "--", "/ocireg"}, args...)...)
		}
	}
	return c
}

// buildContext writes the directory that an image is built from: a file on a
// base. The build runs no command, since not every machine can run containers.
func buildContext(t *testing.T, base string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	containerfile := "FROM " + base + "\nCOPY motd /motd\n"
	for name, text := range map[string]string{"motd": "hello\n", "Containerfile": containerfile, "Dockerfile": containerfile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
