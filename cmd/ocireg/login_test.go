package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/auth"
)

// readLogin reads the credentials from Docker's config.json or from a credential
// helper. This test sets the environment, so it is not parallel.
func TestReadLogin(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir)
	helpers := map[string]string{
		"good": `read host; echo "{\"Username\":\"u\",\"Secret\":\"$host\"}"`,
		"none": `echo "credentials not found in native keychain"; exit 1`,
		"bad":  `exit 3`,
		"odd":  `echo "<html>"`,
		"id":   `echo '{"Username":"<token>","Secret":"x"}'`,
	}
	if runtime.GOOS != "windows" {
		for name, script := range helpers {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
		}
	}
	for _, c := range []struct {
		config, err string
		want        auth.Credentials
		helper      bool
	}{
		{config: `{}`},
		{config: `{"auths":{"r.test":{"auth":"dTpw"}}}`, want: auth.Credentials{Username: "u", Password: "p"}},
		{config: `{"auths":{"https://r.test":{"auth":"dTpwOnE="}}}`, want: auth.Credentials{Username: "u", Password: "p:q"}},
		{config: `{"auths":{"other.test":{"auth":"dTpw"}}}`},
		{config: `{"auths":{"r.test":{}}}`},
		{config: `{"auths":{"r.test":{"auth":"%"}}}`, err: "auth of r.test is not NAME:PASSWORD in base64"},
		{config: `{"auths":{"r.test":{"identitytoken":"x"}}}`, err: "has an identity token for r.test"},
		{config: `{"auths":`, err: "config.json: unexpected end of JSON input"},
		{config: `{"credHelpers":{"r.test":"../x"}}`, err: `"../x" is not the name of a credential helper`},
		{config: `{"credHelpers":{"r.test":"missing"}}`, err: "asking for credentials"},
		{config: `{"credHelpers":{"r.test":"good"}}`, want: auth.Credentials{Username: "u", Password: "r.test"}, helper: true},
		{config: `{"credsStore":"good"}`, want: auth.Credentials{Username: "u", Password: "r.test"}, helper: true},
		{config: `{"credsStore":"none"}`, helper: true},
		{config: `{"credsStore":"bad"}`, err: "the credential helper docker-credential-bad fails: exit status 3; give -user", helper: true},
		{config: `{"credsStore":"odd"}`, err: "reading the output of docker-credential-odd", helper: true},
		{config: `{"credsStore":"id"}`, err: "has an identity token for r.test", helper: true},
	} {
		if c.helper && runtime.GOOS == "windows" {
			continue // The credential helper of this test is a shell script.
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(c.config), 0o600))
		got, err := readLogin(t.Context(), "r.test")
		require.Equal(t, c.want, got, c.config)
		if c.err == "" {
			require.NoError(t, err, c.config)
		} else {
			require.ErrorContains(t, err, c.err, c.config)
		}
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "config.json")))
	got, err := readLogin(t.Context(), "r.test")
	require.NoError(t, err)
	require.Zero(t, got)
}
