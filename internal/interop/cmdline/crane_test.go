package cmdline

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Crane, ko and cosign use go-containerregistry: they read credentials from Docker's
// configuration, and speak plain HTTP to loopback addresses.

func startCrane(t *testing.T) caller {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	push := func(dir, ref string) error {
		// Crane pushes the only manifest of a layout, or its whole index.
		return fails(try(t, "crane", "push", dir, ref))
	}
	pull := func(ref, dir string) error {
		return fails(try(t, "crane", "pull", "--format", "oci", ref, dir))
	}
	remove := func(ref string) error { return fails(try(t, "crane", "delete", ref)) }
	build := func(base, ref string, args ...string) error {
		dir, err := buildContext(t, base)
		if err != nil {
			return err
		}
		archive := filepath.Join(t.TempDir(), "layer.tar")
		if err := fails(try(t, "tar", "-C", dir, "-cf", archive, "motd")); err != nil {
			return err
		}
		return fails(try(t, "crane", append([]string{"append", "-b", base, "-f", archive, "-t", ref}, args...)...))
	}
	return caller{
		build: func(base, ref string) (string, error) { return "motd", build(base, ref) },
		buildIndex: func(base, ref string, platforms ...string) error {
			args := []string{"index", "append", "-t", ref}
			for _, platform := range platforms {
				one := ref + "-" + path.Base(platform)
				if err := build(base, one, "--platform", platform); err != nil {
					return err
				}
				args = append(args, "-m", one)
			}
			return fails(try(t, "crane", args...))
		},
		push:      push,
		pushIndex: push,
		byDigest:  true,
		pull: func(ref string) (string, error) {
			dir := filepath.Join(t.TempDir(), "layout")
			if err := pull(ref, dir); err != nil {
				return "", err
			}
			out, err := try(t, "crane", "digest", ref)
			return strings.TrimSpace(out), err
		},
		pullIndex: pull,
		pullPlatform: func(ref, platform, arch string) error {
			return fails(try(t, "crane", "pull", "--platform", platform+"/"+arch, "--format", "oci", ref, filepath.Join(t.TempDir(), "layout")))
		},
		copy:           func(from, to string) error { return fails(try(t, "crane", "copy", from, to)) },
		tags:           func(repo string) (string, error) { return try(t, "crane", "ls", repo) },
		deleteTag:      remove,
		deleteManifest: remove,
		login: func(host, user, password string) error {
			return fails(try(t, "crane", "auth", "login", host, "-u", user, "-p", password))
		},
		trust: trustByEnvironment(t),
	}
}

// trustByEnvironment returns a function for caller.trust. It makes tools written
// in Go, which have no option for that, trust a CA by an environment variable.
func trustByEnvironment(t *testing.T) func(host, dir string) error {
	return func(_, dir string) error {
		t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "ca.crt"))
		return nil
	}
}

func startKo(t *testing.T) caller {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	// Ko runs the go command, which would otherwise fill new caches in the test's home.
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, strings.TrimSpace(string(value)))
	}
	build := func(base, ref string, args ...string) error {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"go.mod":  "module example.com/hello\n\ngo 1.24\n",
			"main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
		repo := strings.TrimSuffix(ref, ":v1")
		t.Setenv("KO_DOCKER_REPO", repo)
		t.Setenv("KO_DEFAULTBASEIMAGE", base)
		_, _, err := tryIn(t, dir, "ko", append(append([]string{"build", "--bare", "-t", "v1", "--sbom", "none"}, args...), ".")...)
		return err
	}
	return caller{
		build: func(base, ref string) (string, error) {
			return "ko-app/hello", build(base, ref, "--platform", platform)
		},
		buildIndex: func(base, ref string, platforms ...string) error {
			return build(base, ref, "--platform", strings.Join(platforms, ","))
		},
		login: func(host, user, password string) error {
			return fails(try(t, "ko", "login", host, "-u", user, "-p", password))
		},
		trust: trustByEnvironment(t),
	}
}
