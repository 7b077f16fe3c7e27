package cmdline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func startRegctl(t *testing.T) caller {
	t.Setenv("REGCTL_CONFIG", filepath.Join(t.TempDir(), "config.json"))
	// Regctl uses HTTPS, also on loopback, unless its configuration says otherwise.
	secure := false
	call := func(ref string, args ...string) (string, error) {
		if host, _, _ := strings.Cut(ref, "/"); !secure {
			if out, err := try(t, "regctl", "registry", "set", "--tls=disabled", "--skip-check", host); err != nil {
				return out, err
			}
		}
		return try(t, "regctl", args...)
	}
	push := func(dir, ref string) error { return fails(call(ref, "image", "copy", "ocidir://"+dir+":v1", ref)) }
	pull := func(ref, dir string) error { return fails(call(ref, "image", "copy", ref, "ocidir://"+dir+":v1")) }
	// Regctl adds the layer to each image of an index.
	build := func(base, ref string) error {
		dir, err := buildContext(t, base)
		if err != nil {
			return err
		}
		return fails(call(base, "image", "mod", base, "--create", ref, "--layer-add", "dir="+dir))
	}
	return caller{
		build:      func(base, ref string) (string, error) { return "motd", build(base, ref) },
		buildIndex: func(base, ref string, _ ...string) error { return build(base, ref) },
		push:       push,
		pushIndex:  push,
		byDigest:   true,
		pull:       func(ref string) (string, error) { return digestOf(t, pull, ref) },
		pullIndex:  pull,
		pullPlatform: func(ref, platform, arch string) error {
			return fails(call(ref, "image", "copy", "--platform", platform+"/"+arch, ref, "ocidir://"+t.TempDir()+":v1"))
		},
		copy: func(from, to string) error { return fails(call(from, "image", "copy", from, to)) },
		copySigned: func(from, to string) error {
			return fails(call(from, "image", "copy", "--referrers", "--digest-tags", from, to))
		},
		tags:           func(repo string) (string, error) { return call(repo, "tag", "ls", repo) },
		deleteTag:      func(ref string) error { return fails(call(ref, "tag", "delete", ref)) },
		deleteManifest: func(ref string) error { return fails(call(ref, "manifest", "delete", ref)) },
		deleteBlob: func(ref string) error {
			repo, digest, _ := strings.Cut(ref, "@")
			return fails(call(ref, "blob", "delete", repo, digest))
		},
		login: func(host, user, password string) error {
			return fails(call(host, "registry", "login", host, "-u", user, "-p", password))
		},
		trust: func(host, dir string) error {
			secure = true
			ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
			if err != nil {
				return err
			}
			return fails(try(t, "regctl", "registry", "set", "--tls=enabled", "--skip-check", "--cacert", string(ca), host))
		},
	}
}
