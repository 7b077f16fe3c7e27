package remote

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// helpers creates credential helpers. The argument scripts maps the name of each
// helper to its script. The directory with the helpers becomes the only one in PATH.
func helpers(t *testing.T, scripts map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a credential helper of this test is a shell script")
	}
	dir := t.TempDir()
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	}
	t.Setenv("PATH", dir)
}

// DockerLogin finds credentials in the file, in a credential helper for the
// host, and in the helper for all hosts. If the file is malformed or a helper
// fails, the error does not show the output of the helper.
func TestDockerLogin(t *testing.T) {
	helpers(t, map[string]string{
		"one":    `read host; [ "$1" = get ] || exit 3; echo "{\"ServerURL\":\"x\",\"Username\":\"one of $host\",\"Secret\":\"s\"}"`,
		"all":    `read host; echo "{\"Username\":\"all of $host\",\"Secret\":\"s\"}"`,
		"token":  `echo '{"Username":"<token>","Secret":"I"}'`,
		"none":   `echo 'credentials not found in native keychain'; exit 1`,
		"broken": `echo 'my secret'; echo 'my secret' >&2; exit 1`,
		"text":   `echo 'my secret'`,
		"dies":   `kill -9 $$`,
	})
	const auths = `"auths":{"r.test":{"auth":"dTpw"},"i.test":{"auth":"dTo=","identitytoken":"I"},"bad.test":{"auth":"!"}}`
	for _, c := range []struct {
		config, host string
		want         Login
		err          string
	}{
		{`{` + auths + `}`, "r.test", Login{Username: "u", Password: "p"}, ""},
		{`{` + auths + `}`, "i.test", Login{Username: "u", IdentityToken: "I"}, ""},
		{`{` + auths + `}`, "other.test", Login{}, ""},
		{`{` + auths + `}`, "bad.test", Login{}, "is not NAME:PASSWORD in base64"},
		{`{` + auths + `,"credHelpers":{"r.test":"one"},"credsStore":"all"}`, "r.test", Login{Username: "one of r.test", Password: "s"}, ""},
		{`{` + auths + `,"credHelpers":{"r.test":"one"},"credsStore":"all"}`, "other.test", Login{Username: "all of other.test", Password: "s"}, ""},
		{`{"credHelpers":{"docker.io":"one"}}`, "docker.io", Login{Username: "one of https://index.docker.io/v1/", Password: "s"}, ""},
		{`{"credsStore":"token"}`, "r.test", Login{IdentityToken: "I"}, ""},
		{`{"credsStore":"none"}`, "r.test", Login{}, ""},
		{`{"credsStore":"broken"}`, "r.test", Login{}, "docker-credential-broken fails"},
		{`{"credsStore":"dies"}`, "r.test", Login{}, "docker-credential-dies fails"},
		{`{"credsStore":"text"}`, "r.test", Login{}, "not JSON with Username and Secret"},
		{`{"credsStore":"missing"}`, "r.test", Login{}, "executable file not found"},
		{`{"credsStore":"../x"}`, "r.test", Login{}, "not the name of a credential helper"},
		{`{"auths":`, "r.test", Login{}, "reading"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(c.config), 0o600))
		for _, how := range []string{"argument", "variable", "home"} {
			given := ""
			t.Setenv("DOCKER_CONFIG", "")
			switch how {
			case "argument":
				given = dir
			case "variable":
				t.Setenv("DOCKER_CONFIG", dir)
			case "home":
				home := t.TempDir()
				require.NoError(t, os.Symlink(dir, filepath.Join(home, ".docker")))
				t.Setenv("HOME", home)
			}
			login, err := DockerLogin(t.Context(), given, c.host)
			require.Equal(t, c.want, login, "%s for %s by %s", c.config, c.host, how)
			if c.err == "" {
				require.NoError(t, err, c.config)
				continue
			}
			require.ErrorContains(t, err, c.err, c.config)
			require.NotContains(t, err.Error(), "my secret")
		}
	}
	login, err := DockerLogin(t.Context(), t.TempDir(), "r.test")
	require.NoError(t, err, "without a file, a client is anonymous")
	require.Zero(t, login)
}

// DockerLogin kills a credential helper when its context is canceled.
func TestDockerLoginEnds(t *testing.T) {
	helpers(t, map[string]string{"slow": `kill -STOP $$`})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"credsStore":"slow"}`), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := DockerLogin(ctx, dir, "r.test")
	require.ErrorContains(t, err, "docker-credential-slow fails")
}
